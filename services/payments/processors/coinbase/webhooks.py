"""Coinbase Commerce's webhooks (https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-fields)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Final

from services.payments import refusals
from services.payments.processors import amounts, payloads, proofs
from services.payments.processors.contract import REPLAY_WINDOW, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept

NAME: Final = "coinbase"
HEADER: Final = "x-cc-webhook-signature"
CHECKOUT_FIELD: Final = "checkout_id"
PAST: Final = timedelta(days=3) + REPLAY_WINDOW
"""A delivery that is not acknowledged is sent again for three days, as it was."""
_KINDS: Final = {"charge:confirmed": NoticeKind.SALE, "charge:failed": NoticeKind.SALE_FAILED}
_KEPT: Final = (
    "id attempt_number scheduled_for event.id event.type event.api_version event.created_at event.data.id event.data.code "
    "event.data.pricing_type event.data.pricing.local.amount event.data.pricing.local.currency event.data.pricing.settlement.amount "
    f"event.data.pricing.settlement.currency event.data.timeline.time event.data.timeline.status event.data.metadata.{CHECKOUT_FIELD}"
).split()


def signature(secret: str, body: bytes) -> str:
    """The value of `X-CC-Webhook-Signature`."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def read(delivery: Delivery, secret: str) -> Reading:
    """Checks the signature over the raw body, and then what it says. What is pending is not yet paid."""
    if not proofs.same(signature(secret, delivery.body), delivery.headers.get(HEADER, "")):
        raise refusals.webhook_not_authentic(NAME)
    node = payloads.of_json(NAME, delivery.body)
    event = node.at("event")
    moment = event.moment("created_at")
    if moment is None:
        raise node.malformed("event.created_at is missing")
    proofs.check_moment(NAME, moment, delivery.receive_time, PAST)
    data = event.at("data")
    kind = _KINDS.get(event.text("type", least=1), NoticeKind.IGNORED)
    price = data.at("pricing", "local")
    notice = Notice(
        dedupe_key=event.text("id", least=1),
        kind=kind,
        occur_time=min(moment, delivery.receive_time),
        transaction_reference=data.text("code") or data.text("id", least=0 if kind is NoticeKind.IGNORED else 1),
        checkout_id=data.at("metadata").text(CHECKOUT_FIELD),
        amount=amounts.of_decimal(NAME, price.text("amount"), price.text("currency").upper())
        if kind is NoticeKind.SALE
        else None,
        reason=event.text("type") if kind is NoticeKind.SALE_FAILED else "",
    )
    return Reading((notice,), kept(node.fields, _KEPT))
