"""Payees, batches and payouts as the contract shows them."""

from __future__ import annotations

from reelmesh.payments.v1 import payments_pb2
from reelmesh.payments.v1 import payouts_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.ledger.currencies import currency
from services.payments.payouts.domain import Batch, Judgement, Payee, Payout, TaxForm
from services.payments.requests import moment


def payee(kept: Payee) -> api.Payee:
    """How a creator is paid."""
    return api.Payee(
        creator_id=kept.creator_id,
        account_id=kept.account_id,
        minimums=[
            payments_pb2.Money(minor_units=units, currency=code) for code, units in sorted(kept.minimums.items())
        ],
        hold_days=kept.hold_days,
        reserve_days=kept.reserve_days,
        tax_form=api.TaxFormStatus.ValueType(kept.tax_form),
        tax_form_expire_time=timestamp(kept.tax_form_expire_time),
        suspended=kept.suspended,
        destination_hint=kept.destination_hint,
        version=kept.version,
        change_time=timestamp(kept.change_time),
    )


def wanted_payee(wanted: api.Payee, before: Payee | None) -> Payee:
    """How a creator is to be paid, where they were paid as before; their destination stays.

    Raises:
        Refusal: `CURRENCY_UNKNOWN`, `CURRENCY_MIXED` or `AMOUNT_INVALID`.
    """
    minimums: dict[str, int] = {}
    for least in wanted.minimums:
        code = currency(least.currency).code
        if least.minor_units < 0:
            raise refusals.amount_invalid("payee.minimums", "must not be below zero")
        if code in minimums:
            raise _twice(code)
        minimums[code] = least.minor_units
    return Payee(
        creator_id=wanted.creator_id,
        account_id=wanted.account_id,
        minimums=minimums,
        hold_days=wanted.hold_days,
        reserve_days=wanted.reserve_days,
        tax_form=TaxForm(wanted.tax_form),
        tax_form_expire_time=moment(wanted, "tax_form_expire_time"),
        suspended=wanted.suspended,
        bank_account_id=before.bank_account_id if before else "",
        destination_hint=before.destination_hint if before else "",
    )


def _twice(code: str) -> Refusal:
    return refusals.amount_invalid("payee.minimums", f"names {code} twice; name each currency once")


def payable_payee(judgement: Judgement) -> api.PayablePayee:
    """What a creator would be paid."""
    standing = judgement.standing
    return api.PayablePayee(
        creator_id=standing.creator_id,
        balance_minor_units=standing.balance,
        held_minor_units=standing.held,
        payable_minor_units=judgement.payable,
        withheld=api.WithheldReason.ValueType(judgement.withheld),
    )


def batch(made: Batch) -> api.PayoutBatch:
    """A batch."""
    return api.PayoutBatch(
        payout_batch_id=made.payout_batch_id,
        state=api.PayoutBatchState.ValueType(made.state),
        total=payments_pb2.Money(minor_units=made.total, currency=made.currency),
        payout_count=made.payout_count,
        payable_time=timestamp(made.payable_time),
        preparer=made.preparer,
        approver=made.approver,
        entry_id=made.entry_id,
        create_time=timestamp(made.create_time),
        change_time=timestamp(made.change_time),
    )


def payout(made: Payout) -> api.Payout:
    """A payout."""
    return api.Payout(
        payout_id=made.payout_id,
        payout_batch_id=made.payout_batch_id,
        creator_id=made.creator_id,
        amount=payments_pb2.Money(minor_units=made.minor_units, currency=made.currency),
        state=api.PayoutState.ValueType(made.state),
        destination_hint=made.destination_hint,
        bank_reference=made.bank_reference,
        void_reason=made.reason,
        entry_id=made.entry_id,
        change_time=timestamp(made.change_time),
    )
