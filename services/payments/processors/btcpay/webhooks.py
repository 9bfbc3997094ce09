"""BTCPay Server's webhooks (Greenfield API, https://docs.btcpayserver.org/API/Greenfield/v1/#tag/Webhooks).

They say which invoice it is and not what was paid: an invoice is settled when all of it is there. Ours take no less than their amount.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Final

from services.payments import refusals
from services.payments.processors import payloads, proofs
from services.payments.processors.contract import Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept

NAME: Final = "btcpay"
HEADER: Final = "btcpay-sig"
PAST: Final = timedelta(days=1)
"""A delivery that failed is sent again for some hours, and keeps its moment."""
_KINDS: Final = {
    "InvoiceSettled": NoticeKind.SALE,
    "InvoiceExpired": NoticeKind.SALE_FAILED,
    "InvoiceInvalid": NoticeKind.SALE_FAILED,
}
_KEPT: Final = (
    "deliveryId webhookId originalDeliveryId isRedelivery type timestamp storeId invoiceId manuallyMarked overPaid partiallyPaid metadata.orderId"
).split()


def signature(secret: str, body: bytes) -> str:
    """The value of `BTCPay-Sig`."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def read(delivery: Delivery, secret: str, store: str) -> Reading:
    """Checks the signature over the raw body, and then what it says."""
    if not proofs.same(signature(secret, delivery.body), delivery.headers.get(HEADER, "")):
        raise refusals.webhook_not_authentic(NAME)
    node = payloads.of_json(NAME, delivery.body)
    moment = node.seconds("timestamp")
    if moment is None:
        raise node.malformed("timestamp is missing")
    proofs.check_moment(NAME, moment, delivery.receive_time, PAST)
    kind = _KINDS.get(node.text("type", least=1), NoticeKind.IGNORED)
    if node.text("storeId") not in {store, ""} or (kind is not NoticeKind.IGNORED and not node.text("storeId")):
        raise refusals.webhook_not_authentic(NAME, "is for another store")
    notice = Notice(
        dedupe_key=node.text("originalDeliveryId") or node.text("deliveryId", least=1),
        kind=kind,
        occur_time=min(moment, delivery.receive_time),
        transaction_reference=node.text("invoiceId", least=0 if kind is NoticeKind.IGNORED else 1),
        checkout_id=node.at("metadata").text("orderId"),
        reason=node.text("type") if kind is NoticeKind.SALE_FAILED else "",
    )
    return Reading((notice,), kept(node.fields, _KEPT))
