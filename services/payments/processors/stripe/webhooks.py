"""Stripe's webhooks (https://docs.stripe.com/webhooks).

The signature is verified here and not by Stripe's library, which accepts moments of the future and knows no clock but the machine's. Stripe
signs each attempt anew, so five minutes either way are enough for retries too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from services.payments import refusals
from services.payments.processors import payloads, proofs
from services.payments.processors.contract import Amount, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept
from services.payments.processors.scales import Scale

NAME: Final = "stripe"
HEADER: Final = "stripe-signature"
CHECKOUT_FIELD: Final = "checkout_id"
RENEWAL_FIELD: Final = "renewal"
SCALE: Final = Scale(NAME, {"ISK": 2, "UGX": 2, "MGA": 0})
"""As https://docs.stripe.com/currencies says: no decimals where ISO has two, and two where ISO has none."""
_MOST_SIGNATURES: Final = 20
_SECONDS: Final = re.compile(r"[0-9]{1,11}", re.ASCII)
_KINDS: Final = {
    "payment_intent.succeeded": NoticeKind.SALE,
    "payment_intent.payment_failed": NoticeKind.SALE_FAILED,
    "setup_intent.succeeded": NoticeKind.SALE,
    "refund.created": NoticeKind.REFUND,
    "refund.updated": NoticeKind.REFUND,
    "charge.refund.updated": NoticeKind.REFUND,
    "charge.dispute.funds_withdrawn": NoticeKind.CHARGEBACK,
    "charge.dispute.funds_reinstated": NoticeKind.CHARGEBACK_WON,
}
_OF_RENEWALS: Final = {NoticeKind.SALE: NoticeKind.RENEWAL, NoticeKind.SALE_FAILED: NoticeKind.RENEWAL_FAILED}
_KEPT: Final = (
    "id object type created livemode api_version account data.object.id data.object.object data.object.amount data.object.amount_received "
    "data.object.amount_total data.object.currency data.object.status data.object.payment_intent data.object.charge data.object.customer "
    "data.object.payment_method data.object.latest_charge data.object.client_reference_id data.object.created data.object.reason "
    f"data.object.metadata.{CHECKOUT_FIELD} data.object.metadata.{RENEWAL_FIELD} data.object.last_payment_error.code "
    "data.object.last_payment_error.decline_code data.object.balance_transactions.id data.object.balance_transactions.fee "
    "data.object.balance_transactions.currency"
).split()


def signature(secret: str, body: bytes, seconds: int) -> str:
    """The `v1` of a body that was signed at a second since 1970."""
    return hmac.new(secret.encode(), b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()


def signed_at(secret: str, body: bytes, header: str) -> datetime | None:
    """When a body was signed, by any of the header's `v1=`; None when it was not."""
    moments, given = [], []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            moments.append(value)
        elif name == "v1":
            given.append(value)
    if len(moments) != 1 or not _SECONDS.fullmatch(moments[0]) or len(given) > _MOST_SIGNATURES:
        return None
    expected = signature(secret, body, int(moments[0]))
    matching = [proofs.same(expected, one) for one in given]  # each is compared, so that time says nothing
    return datetime.fromtimestamp(int(moments[0]), UTC) if any(matching) else None


def read(delivery: Delivery, secret: str, *, live: bool) -> Reading:
    """Checks the signature over the raw body and its moment, and then what it says."""
    moment = signed_at(secret, delivery.body, delivery.headers.get(HEADER, ""))
    if moment is None:
        raise refusals.webhook_not_authentic(NAME)
    proofs.check_moment(NAME, moment, delivery.receive_time)
    node = payloads.of_json(NAME, delivery.body)
    if node.fields.get("livemode", live) is not live:
        raise refusals.webhook_not_authentic(NAME, "is not of the mode that the account is in")
    happened = node.seconds("created") or delivery.receive_time
    if happened - delivery.receive_time > timedelta(minutes=5):
        raise refusals.webhook_out_of_time(NAME)
    notice = _notice(node, min(happened, delivery.receive_time))
    return Reading((notice,), kept(node.fields, _KEPT))


def _notice(node: payloads.Node, happened: datetime) -> Notice:
    event, thing = node.text("type", least=1), node.at("data", "object")
    kind = _KINDS.get(event, NoticeKind.IGNORED)
    identity = node.text("id", least=1)
    metadata = thing.at("metadata")
    checkout_id = metadata.text(CHECKOUT_FIELD)
    if metadata.text(RENEWAL_FIELD):
        kind = _OF_RENEWALS.get(kind, kind)
    if kind is NoticeKind.REFUND:
        return _refund(node, thing, happened)
    if event.startswith("charge.dispute.") and kind is not NoticeKind.IGNORED:
        return _dispute(thing, kind, identity, happened)
    if kind in {NoticeKind.SALE, NoticeKind.RENEWAL} and not event.startswith("setup_intent"):
        amount: Amount | None = SCALE.amount(thing.fields.get("amount_received"), thing.text("currency").upper())
    else:
        amount = None
    customer, method = _reference(thing, "customer"), _reference(thing, "payment_method")
    failure = thing.at("last_payment_error")
    return Notice(
        dedupe_key=identity,
        kind=kind,
        occur_time=happened,
        transaction_reference=thing.text("id", least=0 if kind is NoticeKind.IGNORED else 1),
        checkout_id=checkout_id or (thing.text("client_reference_id") if event.startswith("checkout.") else ""),
        amount=amount,
        payment_method_reference=f"{customer}:{method}" if kind is NoticeKind.SALE and customer and method else "",
        reason=failure.text("decline_code") or failure.text("code"),
    )


def _refund(node: payloads.Node, refund: payloads.Node, happened: datetime) -> Notice:
    """A refund is told when it is made and again when its state changes; it counts once, when it has succeeded."""
    reference, done = refund.text("id", least=1), refund.text("status") == "succeeded"
    return Notice(
        dedupe_key=f"refund:{reference}" if done else node.text("id"),
        kind=NoticeKind.REFUND if done else NoticeKind.IGNORED,
        occur_time=happened,
        transaction_reference=reference,
        original_reference=_reference(refund, "payment_intent") or _reference(refund, "charge"),
        amount=SCALE.amount(refund.fields.get("amount"), refund.text("currency").upper()) if done else None,
        reason="" if done else f"refund {refund.text('status')}",
    )


def _dispute(dispute: payloads.Node, kind: NoticeKind, identity: str, happened: datetime) -> Notice:
    reference = dispute.text("id", least=1)
    amount = SCALE.amount(dispute.fields.get("amount"), dispute.text("currency").upper())
    fee = sum(
        moved.fields["fee"]
        for moved in dispute.items("balance_transactions")
        if isinstance(moved.fields.get("fee"), int) and moved.text("currency").upper() == amount.currency
    )
    return Notice(
        dedupe_key=identity,
        kind=kind,
        occur_time=happened,
        transaction_reference=reference if kind is NoticeKind.CHARGEBACK else f"{reference}:won",
        original_reference=_reference(dispute, "payment_intent") or _reference(dispute, "charge"),
        amount=amount,
        fee=SCALE.amount(fee, amount.currency) if kind is NoticeKind.CHARGEBACK and fee > 0 else None,
        reason=dispute.text("reason"),
    )


def _reference(thing: payloads.Node, name: str) -> str:
    """An id, where there may be the object itself."""
    return thing.at(name).text("id") if isinstance(thing.fields.get(name), dict) else thing.text(name)
