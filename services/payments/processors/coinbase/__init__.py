"""Coinbase Commerce: charges that are paid in crypto currency."""

from services.payments.processors.coinbase.adapter import KIND

__all__ = ["KIND"]
