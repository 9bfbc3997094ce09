"""PayPal: orders that a buyer approves on PayPal's page, vaulted wallets that are charged by us, and webhooks."""

from services.payments.processors.paypal.adapter import KIND

__all__ = ["KIND"]
