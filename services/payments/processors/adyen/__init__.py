"""Adyen: payment links, stored payment methods that are charged by us, and standard webhooks."""

from services.payments.processors.adyen.adapter import KIND

__all__ = ["KIND"]
