"""CCBill's webhooks (https://ccbill.com/doc/webhooks-user-guide).

Forms or JSON, with `?eventType=` in the URL. What makes one authentic is where it comes from and the account numbers in it; only sales have a
digest. That CCBill's moments without zone are of Arizona (UTC-7) and that a refund, void, chargeback or return has the `transactionId` of
what it undoes is not written there; both are as merchants find them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

from services.payments import refusals
from services.payments.processors import amounts, payloads, proofs
from services.payments.processors.ccbill.digests import approval_digest, form_digest
from services.payments.processors.contract import Amount, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept, words

NAME: Final = "ccbill"
CHECKOUT_FIELD: Final = "X-checkout"
"""FlexForms hand what begins with `X-` through to the webhooks."""
_ARIZONA: Final = timezone(timedelta(hours=-7))
_SALES: Final = frozenset({"NewSaleSuccess", "UpSaleSuccess", "UpgradeSuccess", "CrossSaleSuccess"})
_KINDS: Final = {
    **dict.fromkeys(_SALES, NoticeKind.SALE),
    "NewSaleFailure": NoticeKind.SALE_FAILED,
    "UpSaleFailure": NoticeKind.SALE_FAILED,
    "UpgradeFailure": NoticeKind.SALE_FAILED,
    "CrossSaleFailure": NoticeKind.SALE_FAILED,
    "RenewalSuccess": NoticeKind.RENEWAL,
    "RenewalFailure": NoticeKind.RENEWAL_FAILED,
    "Refund": NoticeKind.REFUND,
    "Chargeback": NoticeKind.CHARGEBACK,
    "Return": NoticeKind.CHARGEBACK,
    "Void": NoticeKind.VOID,
    "Cancellation": NoticeKind.CANCELLATION,
    "Expiration": NoticeKind.EXPIRY,
}
_UNDOING: Final = frozenset({NoticeKind.REFUND, NoticeKind.CHARGEBACK, NoticeKind.VOID})
_ENDING: Final = frozenset({NoticeKind.CANCELLATION, NoticeKind.EXPIRY})
_KEPT: Final = (
    "eventType subscriptionId transactionId clientAccnum clientSubacc timestamp nextRenewalDate renewalDate nextRetryDate "
    "billedInitialPrice billedRecurringPrice billedCurrencyCode billedCurrency billedAmount amount currency currencyCode "
    "accountingInitialPrice accountingRecurringPrice accountingAmount accountingCurrency accountingCurrencyCode "
    "initialPeriod recurringPeriod rebills failureCode formName flexId originalSubscriptionId source paymentType "
    f"{CHECKOUT_FIELD}"
).split()
_EVENT_TYPE: Final = re.compile(r"[A-Za-z]{1,40}", re.ASCII)


class Webhooks:
    """Reads what one sub-account is told.

    Args:
        account: its main and its sub-account number.
        salt: for digests.
        networks: from where CCBill sends.
    """

    def __init__(self, account: tuple[str, str], salt: str, networks: proofs.Networks) -> None:
        self._account = account
        self._salt = salt
        self._networks = networks

    def read(self, delivery: Delivery) -> Reading:
        """Checks where it comes from and whom it is for, and then what it says."""
        proofs.check_source(NAME, delivery.source_address, self._networks)
        node = _fields(delivery)
        event = node.text("eventType")
        if not _EVENT_TYPE.fullmatch(event):
            raise node.malformed("eventType is missing")
        numbers = (node.text("clientAccnum"), node.text("clientSubacc").zfill(4))
        if not proofs.same("/".join(self._account), "/".join(numbers)):
            raise refusals.webhook_not_authentic(NAME, "is for another account")
        if event in _SALES:
            self._check_digest(node)
        moment = node.moment("timestamp", _ARIZONA)
        proofs.check_moment(NAME, moment, delivery.receive_time, proofs.UNSIGNED_PAST, proofs.UNSIGNED_FUTURE)
        notice = _notice(node, event, min(moment or delivery.receive_time, delivery.receive_time))
        return Reading((notice,), kept({**node.fields, CHECKOUT_FIELD: notice.checkout_id}, _KEPT))

    def _check_digest(self, node: payloads.Node) -> None:
        """An approved sale comes with a digest that the salt is in: of the subscription, or in some set-ups the form's own again."""
        given = node.text("dynamicPricingValidationDigest").lower()
        initial = node.text("subscriptionInitialPrice"), node.text("initialPeriod")
        number = node.text("subscriptionCurrencyCode")
        recurring = node.text("subscriptionRecurringPrice"), node.text("recurringPeriod"), node.text("rebills")
        expected = (
            approval_digest(self._salt, node.text("subscriptionId", least=1)),
            form_digest(self._salt, *initial, number),
            form_digest(self._salt, *initial, number, recurring),
        )
        if not proofs.any_same(expected, given):
            raise refusals.webhook_not_authentic(NAME)


def _fields(delivery: Delivery) -> payloads.Node:
    if delivery.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        asked = payloads.of_form(NAME, delivery.query)
        told = payloads.of_json(NAME, delivery.body)
        return payloads.Node(NAME, {**told.fields, **asked.fields})
    return payloads.of_form(NAME, delivery.query, delivery.body)


def _notice(node: payloads.Node, event: str, moment: datetime) -> Notice:
    kind = _KINDS.get(event, NoticeKind.IGNORED)
    subscription, transaction = node.text("subscriptionId"), node.text("transactionId")
    reference = ":".join(filter(None, (subscription, transaction)))
    if kind not in _ENDING and kind is not NoticeKind.IGNORED and not transaction:
        raise node.malformed("transactionId is missing")
    if kind in _ENDING and not subscription:
        raise node.malformed("subscriptionId is missing")
    undoes = kind in _UNDOING
    # A subscription can be cancelled, taken up again and cancelled again.
    known_by = transaction or f"{subscription}.{node.text('timestamp')}"
    return Notice(
        dedupe_key=f"{event}:{known_by}"[:200],
        kind=kind,
        occur_time=moment,
        transaction_reference=f"{reference}:{event.lower()}" if undoes else reference if transaction else "",
        original_reference=reference if undoes else "",
        subscription_reference=subscription,
        checkout_id=_checkout_id(node),
        amount=_amount(node, kind),
        reason=words(node.fields.get("failureCode") or node.fields.get("reason")),
    )


def _checkout_id(node: payloads.Node) -> str:
    """Forms have it beside the rest; JSON may have it in `passThrough`, with or without its `X-`."""
    through = node.at("passThrough")
    return node.text(CHECKOUT_FIELD) or through.text(CHECKOUT_FIELD) or through.text(CHECKOUT_FIELD.removeprefix("X-"))


def _amount(node: payloads.Node, kind: NoticeKind) -> Amount | None:
    match kind:
        case NoticeKind.SALE:
            return _billed(node, "billedInitialPrice", "billedCurrency")
        case NoticeKind.RENEWAL:
            return _billed(node, "billedAmount", "billedCurrency")
        case NoticeKind.REFUND | NoticeKind.CHARGEBACK | NoticeKind.VOID:
            return _billed(node, "amount", "currency")
        case _:
            return None


def _billed(node: payloads.Node, price: str, currency: str) -> Amount | None:
    text = node.text(price, least=1)
    code = node.text(f"{currency}Code") or node.text(currency)
    code = amounts.code_of(NAME, code) if code.isdecimal() else code.upper()
    trial = price == "billedInitialPrice" and not text.strip("0.") and node.text("billedRecurringPrice").strip("0.")
    return None if trial and code else amounts.of_decimal(NAME, text, code)
