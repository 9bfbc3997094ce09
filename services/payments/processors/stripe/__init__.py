"""Stripe: Checkout's pages, saved payment methods that are charged by us, and webhooks."""

from services.payments.processors.stripe.adapter import KIND

__all__ = ["KIND"]
