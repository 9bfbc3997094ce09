"""Segpay: payment pages with dynamic or fixed prices, postbacks, and the consumer support calls of its reporting service (SRS)."""

from services.payments.processors.segpay.adapter import KIND

__all__ = ["KIND"]
