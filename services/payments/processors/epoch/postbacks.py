"""Epoch's postbacks: FlexPost at the moment of a sale, DataPlus for what comes later, and cancellations.

No public page of Epoch's own describes them all. DataPlus is described in https://mage2.pro/t/topic/5044; the fields of FlexPost (`ans`,
`transaction_id`, `order_id`, `trans_amount`, `trans_currency`, `localamount`, `currency`, `amount`) and of cancellations (`mcs_or_idx`) are as
merchants use them. Of the letters of `ets_transaction_type`, C is a credit, D a chargeback, N and U are renewals, J is one that was denied, K a trial
that was cancelled, X a cheque that came back, and I, F, T and O are sales, which FlexPost has told before, with our own reference, which
DataPlus does not have.

Everything must have a digest. Whether DataPlus is sent with one is the operator's arrangement with Epoch: an account whose DataPlus comes
without says so in a setting, and must then say from where it comes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from services.payments import refusals
from services.payments.processors import amounts, payloads, proofs
from services.payments.processors.contract import Amount, Delivery, Notice, NoticeKind, Reading
from services.payments.processors.epoch.digests import FIELD, digest
from services.payments.processors.redaction import kept

NAME: Final = "epoch"
CHECKOUT_FIELD: Final = "x_checkout"
"""Epoch hands what begins with `x_` through to FlexPost."""
_DATA_PLUS: Final = {
    "C": NoticeKind.REFUND,
    "D": NoticeKind.CHARGEBACK,
    "N": NoticeKind.RENEWAL,
    "U": NoticeKind.RENEWAL,
    "X": NoticeKind.VOID,
    "J": NoticeKind.RENEWAL_FAILED,
    "K": NoticeKind.CANCELLATION,
}
_UNDOING: Final = frozenset({NoticeKind.REFUND, NoticeKind.CHARGEBACK, NoticeKind.VOID})
_MONEY: Final = _UNDOING | {NoticeKind.RENEWAL}
_KEPT: Final = (
    "transaction_id order_id member_id pi_code co_code reseller amount localamount currency trans_amount trans_currency trans_amount_usd "
    "event_datetime payment_type payment_subtype submit_count ets_transaction_id ets_member_idx ets_transaction_date ets_transaction_type "
    "ets_co_code ets_pi_code ets_transaction_amount ets_payment_type ets_ref_trans_ids mcs_or_idx mcs_canceldate mcs_cocode mcs_picode "
    f"mcs_reason {CHECKOUT_FIELD}"
).split()


class Postbacks:
    """Reads what one company is told.

    Args:
        key: the secret that digests are made with.
        networks: from where Epoch sends; empty for anywhere.
        bare_data_plus: whether DataPlus may come without a digest.
        settlement_currency: of amounts that come without one.
    """

    def __init__(self, key: str, networks: proofs.Networks, settlement_currency: str, *, bare_data_plus: bool) -> None:
        self._key = key
        self._networks = networks
        self._currency = settlement_currency
        self._bare = bare_data_plus

    def read(self, delivery: Delivery) -> Reading:
        """Checks where it comes from and the digest, and then what it says."""
        proofs.check_source(NAME, delivery.source_address, self._networks)
        node = payloads.of_form(NAME, delivery.query, delivery.body)
        data_plus = any(name.startswith(("ets_", "mcs_")) for name in node.fields)
        given = node.fields.get(FIELD, "")
        if not (self._bare and data_plus and not given) and not proofs.same(
            digest(self._key, node.fields), given.lower()
        ):
            raise refusals.webhook_not_authentic(NAME)
        if "ets_transaction_type" in node.fields:
            notice = self._data_plus(node, delivery.receive_time)
        elif "mcs_or_idx" in node.fields:
            notice = _cancellation(node, delivery.receive_time)
        else:
            notice = self._flex_post(node, delivery.receive_time)
        return Reading((notice,), kept(node.fields, _KEPT))

    def _flex_post(self, node: payloads.Node, now: datetime) -> Notice:
        answer = node.fields.get("ans", "")
        approved = answer.upper().startswith("Y")
        if not answer or (not approved and not answer.upper().startswith("N")):
            raise node.malformed("ans is missing")
        transaction = node.text("transaction_id", least=1 if approved else 0)
        kind = NoticeKind.SALE if approved else NoticeKind.SALE_FAILED
        moment = _checked(node.seconds("event_datetime"), now)
        checkout_id = node.text(CHECKOUT_FIELD)
        return Notice(
            dedupe_key=f"{kind.name.lower()}:{transaction or checkout_id}:{'' if approved else moment.isoformat()}",
            kind=kind,
            occur_time=moment,
            transaction_reference=transaction,
            subscription_reference=node.text("order_id") or node.text("member_id"),
            checkout_id=checkout_id,
            amount=self._paid(node) if approved else None,
        )

    def _paid(self, node: payloads.Node) -> Amount:
        """The pair that says what the buyer paid in their own currency; failing that, dollars."""
        for price, currency in (("trans_amount", "trans_currency"), ("localamount", "currency")):
            if node.text(price) and node.text(currency):
                return amounts.of_decimal(NAME, node.text(price), node.text(currency).upper())
        return amounts.of_decimal(NAME, node.text("amount", least=1), self._currency)

    def _data_plus(self, node: payloads.Node, now: datetime) -> Notice:
        transaction = node.text("ets_transaction_id", least=1)
        letter = node.text("ets_transaction_type").upper()
        kind = _DATA_PLUS.get(letter, NoticeKind.IGNORED)
        amount = None
        if kind in _MONEY:
            text = node.text("ets_transaction_amount", least=1)
            amount = amounts.of_decimal(NAME, text.removeprefix("-") if kind in _UNDOING else text, self._currency)
        return Notice(
            dedupe_key=f"{letter}:{transaction}",
            kind=kind,
            occur_time=_checked(node.moment("ets_transaction_date"), now),
            transaction_reference=transaction,
            original_reference=node.text("ets_ref_trans_ids") if kind in _UNDOING else "",
            subscription_reference=node.text("ets_member_idx"),
            amount=amount,
        )


def _cancellation(node: payloads.Node, now: datetime) -> Notice:
    member = node.text("mcs_or_idx", least=1)
    return Notice(
        dedupe_key=f"cancellation:{member}:{node.text('mcs_canceldate')}"[:200],
        kind=NoticeKind.CANCELLATION,
        occur_time=_checked(node.moment("mcs_canceldate"), now),
        subscription_reference=member,
    )


def _checked(moment: datetime | None, now: datetime) -> datetime:
    proofs.check_moment(NAME, moment, now, proofs.UNSIGNED_PAST, proofs.UNSIGNED_FUTURE)
    return min(moment or now, now)
