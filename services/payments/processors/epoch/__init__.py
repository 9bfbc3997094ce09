"""Epoch: join pages, FlexPost and DataPlus postbacks, and its customer search, by which memberships are cancelled."""

from services.payments.processors.epoch.adapter import KIND

__all__ = ["KIND"]
