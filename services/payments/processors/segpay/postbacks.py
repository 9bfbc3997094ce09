"""Segpay's postbacks (https://gethelp.segpay.com/docs/Content/DeveloperDocs/ProcessingAPI/06-Postbacks.htm and 07-PostbackParameters.htm).

A postback is a URL that the operator writes with parameters in angle brackets, so names may come in any case, in the query or in a form.
Nothing signs it: it is authentic by where it comes from and by the user and password that Segpay sends, if it was told some. The whole table
of parameters could not be read; `trantype`, `tranid`, `relatedtranid`, `purchaseid`, `price`, `currencycode` and `eticketid` are as merchants
use them, and that a credit's price has a sign in some set-ups is allowed for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from services.payments import refusals
from services.payments.processors import amounts, payloads, proofs
from services.payments.processors.contract import Amount, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.redaction import kept

NAME: Final = "segpay"
CHECKOUT_FIELD: Final = "merchantpartnerid"
"""Segpay hands it through from the page to the postbacks and shows it to nobody."""
_RENEWALS: Final = frozenset({"conversion", "instantconversion", "rebill"})
_UNDOING: Final = frozenset({NoticeKind.REFUND, NoticeKind.CHARGEBACK, NoticeKind.VOID})
_MONEY: Final = _UNDOING | {NoticeKind.SALE, NoticeKind.RENEWAL}
_KEPT: Final = (
    "action stage approved trantype purchaseid tranid transguid relatedtranid price currencycode eticketid billertranstime "
    f"initialvalue initialperiod recurringvalue recurringperiod standin {CHECKOUT_FIELD}"
).split()


class Postbacks:
    """Reads what one account is told.

    Args:
        networks: from where Segpay sends; empty for anywhere.
        login: user and password that it sends; None when it sends none.
    """

    def __init__(self, networks: proofs.Networks, login: tuple[str, str] | None) -> None:
        self._networks = networks
        self._login = login

    def read(self, delivery: Delivery) -> Reading:
        """Checks where it comes from and the password, and then what it says."""
        proofs.check_source(NAME, delivery.source_address, self._networks)
        if self._login is not None and not proofs.same(":".join(self._login), _credentials(delivery)):
            raise refusals.webhook_not_authentic(NAME, "does not have the account's user and password")
        named = payloads.of_form(NAME, delivery.query, delivery.body)
        node = _small(named)
        kind = _kind(node)
        moment = node.moment("billertranstime")
        proofs.check_moment(NAME, moment, delivery.receive_time, proofs.UNSIGNED_PAST, proofs.UNSIGNED_FUTURE)
        transaction = node.text("tranid")
        if kind in _MONEY and not transaction:
            raise node.malformed("tranid is missing")
        original = node.text("relatedtranid")
        # Postbacks about members have no transaction; told twice, they say the same.
        known_by = transaction or hashlib.sha256(repr(sorted(node.fields.items())).encode()).hexdigest()
        amount = _amount(node, kind)
        reference = f"{transaction}:{kind.name.lower()}" if transaction == original else transaction
        if kind is NoticeKind.REFUND and original and amount is not None:
            reference = refund_reference(original, amount)
        notice = Notice(
            dedupe_key=f"{kind.name.lower()}:{known_by}"[:200],
            kind=kind,
            occur_time=min(moment or delivery.receive_time, delivery.receive_time),
            transaction_reference=reference,
            original_reference=original if kind in _UNDOING else "",
            subscription_reference=node.text("purchaseid"),
            checkout_id=node.text(CHECKOUT_FIELD),
            amount=amount,
        )
        return Reading((notice,), kept(node.fields, _KEPT))


def refund_reference(original: str, amount: Amount) -> str:
    """What a refund is known by: Segpay's answer to one does not say what the postback of it will call it."""
    return f"{original}:refund:{amount.minor_units}"


def _small(node: payloads.Node) -> payloads.Node:
    fields: dict[str, str] = {}
    for name, value in node.fields.items():
        if fields.setdefault(name.lower(), value) != value:
            raise node.malformed("a field says two things")
    return payloads.Node(NAME, fields)


def _credentials(delivery: Delivery) -> str:
    scheme, _, text = delivery.headers.get("authorization", "").partition(" ")
    try:
        return base64.b64decode(text.strip(), validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        return ""


def _kind(node: payloads.Node) -> NoticeKind:
    action, stage, approved = node.lower("action"), node.lower("stage"), node.lower("approved")
    match action, node.lower("trantype"):
        case "void", _:
            return NoticeKind.VOID
        case "disable", _:
            return NoticeKind.EXPIRY
        case "cancel", _:
            return NoticeKind.CANCELLATION
        case _, "credit":
            return NoticeKind.REFUND
        case _, "charge":
            return NoticeKind.CHARGEBACK
        case "auth", "sale" if stage in _RENEWALS and approved in {"yes", "no"}:
            return NoticeKind.RENEWAL if approved == "yes" else NoticeKind.RENEWAL_FAILED
        case "auth", "sale" if stage == "initial" and approved in {"yes", "no"}:
            return NoticeKind.SALE if approved == "yes" else NoticeKind.SALE_FAILED
        case _ if not action:
            raise node.malformed("action is missing")
        case _:
            return NoticeKind.IGNORED


def _amount(node: payloads.Node, kind: NoticeKind) -> Amount | None:
    if kind not in _MONEY:
        return None
    text = node.text("price", least=1)
    return amounts.of_decimal(
        NAME, text.removeprefix("-") if kind in _UNDOING else text, node.text("currencycode").upper()
    )
