"""CCBill: FlexForms with dynamic pricing, webhooks, and the subscription management of its DataLink."""

from services.payments.processors.ccbill.adapter import KIND

__all__ = ["KIND"]
