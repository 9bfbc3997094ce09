"""Adyen's standard webhooks (https://docs.adyen.com/development-resources/webhooks).

One delivery has many items, each with a digest of its own, over eight fields. What is not among those may have been changed on the way: so
what matters is read from the eight, and our checkout and whether it is a renewal are in `merchantReference`, which is one of them. Of the rest
only the stored payment method is used, which is of no use without the shopper's reference, which is our checkout again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from services.payments import refusals
from services.payments.processors import payloads, proofs
from services.payments.processors.contract import Amount, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept
from services.payments.processors.scales import Scale

NAME: Final = "adyen"
RENEWAL_MARK: Final = "/"
"""Between our checkout and a renewal's key in `merchantReference`."""
SCALE: Final = Scale(NAME, {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2})
"""As https://docs.adyen.com/development-resources/currency-codes says: some currencies are not counted as in ISO 4217."""
_MOST_ITEMS: Final = 100
_UNDOING: Final = {
    "CANCELLATION": NoticeKind.VOID,
    "TECHNICAL_CANCEL": NoticeKind.VOID,
    "REFUND": NoticeKind.REFUND,
    "CHARGEBACK": NoticeKind.CHARGEBACK,
    "SECOND_CHARGEBACK": NoticeKind.CHARGEBACK,
    "CHARGEBACK_REVERSED": NoticeKind.CHARGEBACK_WON,
}
_OWN_REFERENCE: Final = frozenset({"AUTHORISATION", "REFUND"})
_KEPT: Final = tuple(
    f"notificationItems.NotificationRequestItem.{name}"
    for name in (
        "pspReference originalReference merchantAccountCode merchantReference amount.value amount.currency eventCode success eventDate paymentMethod"
    ).split()
)


def signature(key: bytes, item: Mapping[str, Any]) -> bytes:
    """The digest of an item, in base64."""
    amount = item.get("amount")
    money = amount if isinstance(amount, dict) else {}
    values = (
        item.get("pspReference"),
        item.get("originalReference"),
        item.get("merchantAccountCode"),
        item.get("merchantReference"),
        money.get("value"),
        money.get("currency"),
        item.get("eventCode"),
        item.get("success"),
    )
    text = ":".join(
        "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in values
    )
    return base64.b64encode(hmac.new(key, text.encode(errors="replace"), hashlib.sha256).digest())


def read(delivery: Delivery, key: bytes, merchant_account: str, *, live: bool, networks: proofs.Networks) -> Reading:
    """Checks every item, and then what they say. One that is not authentic makes the whole delivery so."""
    proofs.check_source(NAME, delivery.source_address, networks)
    node = payloads.of_json(NAME, delivery.body)
    items = [item.at("NotificationRequestItem") for item in node.items("notificationItems")]
    if not 0 < len(items) <= _MOST_ITEMS or len(items) != len(node.fields["notificationItems"]):
        raise node.malformed("notificationItems are missing")
    authentic = [_is_authentic(item, key) for item in items]  # each is looked at, so that time says nothing of which
    if not all(authentic):
        raise refusals.webhook_not_authentic(NAME)
    if not _is(live, node.fields.get("live")):
        raise refusals.webhook_not_authentic(NAME, "is not of the environment that the account is in")
    notices = tuple(_notice(item, delivery, merchant_account) for item in items)
    return Reading(notices, kept(node.fields, ("live", *_KEPT)))


def _is_authentic(item: payloads.Node, key: bytes) -> bool:
    given = item.at("additionalData").fields.get("hmacSignature")
    return proofs.same(signature(key, item.fields), given if isinstance(given, str) else "")


def _notice(item: payloads.Node, delivery: Delivery, merchant_account: str) -> Notice:
    if item.text("merchantAccountCode") != merchant_account:
        raise refusals.webhook_not_authentic(NAME, "is for another account")
    moment = item.moment("eventDate")
    proofs.check_moment(NAME, moment, delivery.receive_time, proofs.UNSIGNED_PAST, proofs.UNSIGNED_FUTURE)
    event, reference = item.text("eventCode", least=1), item.text("pspReference", least=1)
    success = _is(True, item.fields.get("success"))
    checkout_id, mark, _ = item.text("merchantReference").partition(RENEWAL_MARK)
    if event == "AUTHORISATION":
        kinds = (NoticeKind.RENEWAL, NoticeKind.RENEWAL_FAILED) if mark else (NoticeKind.SALE, NoticeKind.SALE_FAILED)
        kind = kinds[0 if success else 1]
    else:
        kind = _UNDOING.get(event, NoticeKind.IGNORED) if success else NoticeKind.IGNORED
    return Notice(
        dedupe_key=f"{event}:{reference}:{success}",
        kind=kind,
        occur_time=min(moment or delivery.receive_time, delivery.receive_time),
        # A dispute's events all have its own reference.
        transaction_reference=reference if event in _OWN_REFERENCE else f"{reference}:{event.lower()}",
        original_reference=item.text("originalReference"),
        checkout_id=checkout_id,
        amount=_amount(item, kind),
        payment_method_reference=_payment_method(item, checkout_id) if kind is NoticeKind.SALE else "",
        reason="" if success else event,
    )


def _is(expected: bool, value: object) -> bool:
    """Adyen writes booleans as texts, and in places as booleans."""
    return value is expected or value == ("true" if expected else "false")


def _amount(item: payloads.Node, kind: NoticeKind) -> Amount | None:
    money = item.at("amount")
    if kind in {NoticeKind.SALE_FAILED, NoticeKind.RENEWAL_FAILED, NoticeKind.IGNORED, NoticeKind.VOID}:
        return None
    if kind is NoticeKind.SALE and money.fields.get("value") == 0:
        return None  # a payment method that is kept for later: a trial
    return SCALE.amount(money.fields.get("value"), money.text("currency").upper())


def _payment_method(item: payloads.Node, checkout_id: str) -> str:
    """`shopper:stored method`, as `charge` takes it; empty when none was kept."""
    more = item.at("additionalData")
    stored = more.text("tokenization.storedPaymentMethodId") or more.text("recurring.recurringDetailReference")
    return f"{checkout_id}:{stored}" if stored else ""
