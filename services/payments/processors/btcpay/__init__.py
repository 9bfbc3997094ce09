"""BTCPay Server: invoices that are paid in crypto currency, at a server of the operator's own."""

from services.payments.processors.btcpay.adapter import kind

__all__ = ["kind"]
