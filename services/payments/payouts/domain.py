"""Who is paid what, and why not. No input, no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from services.payments.ledger.domain import Account, AccountKind, Direction, Posting

MOST_PAYOUTS: Final = 500
"""Payouts of one batch: they stand in one entry, which one statement makes."""


class TaxForm(IntEnum):
    """Whether a payee's tax form is there; the numbers are those of the contract."""

    NONE = 1
    SUBMITTED = 2
    VERIFIED = 3
    EXPIRED = 4


class Withheld(IntEnum):
    """Why nothing is paid; the numbers are those of the contract."""

    NOTHING = 0
    PAYEE_MISSING = 1
    SUSPENDED = 2
    TAX_FORM_MISSING = 3
    TAX_FORM_UNVERIFIED = 4
    TAX_FORM_EXPIRED = 5
    DESTINATION_MISSING = 6
    NOTHING_EARNED = 7
    ON_HOLD = 8
    BELOW_MINIMUM = 9


class BatchState(IntEnum):
    """How far a batch is; the numbers are those of the contract. It only grows."""

    PREPARED = 1
    APPROVED = 2
    SENT = 3
    COMPLETED = 4
    CANCELLED = 5


class PayoutState(IntEnum):
    """How far a payout is; the numbers are those of the contract. It only grows."""

    PREPARED = 1
    PENDING = 2
    SENT = 3
    POSTED = 4
    VOID = 5
    CANCELLED = 6


@dataclass(frozen=True, slots=True)
class Payee:
    """How a creator is paid.

    Attributes:
        account_id: account with which they sign in; empty when `creator_id` is its id, or they have none.
        minimums: currency to the least minor units that are paid.
        hold_days: how long a sale's money is held.
        reserve_days: how long a reserve is held.
        tax_form_expire_time: from when on the form is no longer good; None: for good.
        bank_account_id: where the money goes; empty when it was not said.
        destination_hint: the same for people to see.
        version: from 1.
    """

    creator_id: str
    account_id: str
    minimums: Mapping[str, int]
    hold_days: int
    reserve_days: int
    tax_form: TaxForm
    tax_form_expire_time: datetime | None
    suspended: bool
    bank_account_id: str = ""
    destination_hint: str = ""
    version: int = 0
    change_time: datetime | None = None

    def withheld(self, now: datetime) -> Withheld:
        """Why nothing can be paid to them, whatever they earned."""
        if self.suspended:
            return Withheld.SUSPENDED
        match self.tax_form:
            case TaxForm.NONE:
                return Withheld.TAX_FORM_MISSING
            case TaxForm.SUBMITTED:
                return Withheld.TAX_FORM_UNVERIFIED
            case TaxForm.EXPIRED:
                return Withheld.TAX_FORM_EXPIRED
        if self.tax_form_expire_time and self.tax_form_expire_time <= now:
            return Withheld.TAX_FORM_EXPIRED
        return Withheld.NOTHING if self.bank_account_id else Withheld.DESTINATION_MISSING


@dataclass(frozen=True, slots=True)
class Standing:
    """What a creator has.

    Attributes:
        balance: what their account holds, in minor units; below zero when more was taken back than earned.
        held: what of it is too young.
        payee: None when nobody said how they are paid.
    """

    creator_id: str
    currency: str
    balance: int
    held: int
    payee: Payee | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a creator is paid, in minor units: all that is payable, or nothing for a reason."""

    standing: Standing
    payable: int
    withheld: Withheld


def judged(standing: Standing, now: datetime) -> Judgement:
    """What a creator is paid.

    What was taken back is taken off what is old enough first: a balance below zero is made good for by what comes, before anything is paid.
    """
    payable = standing.balance - standing.held
    payee = standing.payee
    withheld = payee.withheld(now) if payee else Withheld.PAYEE_MISSING
    if withheld is Withheld.NOTHING and payee:
        if standing.balance <= 0:
            withheld = Withheld.NOTHING_EARNED
        elif payable <= 0:
            withheld = Withheld.ON_HOLD
        elif payable < payee.minimums.get(standing.currency, 0):
            withheld = Withheld.BELOW_MINIMUM
    return Judgement(standing, 0 if withheld else payable, withheld)


@dataclass(frozen=True, slots=True)
class Batch:
    """Payouts that are made together.

    Attributes:
        total: all of them, in minor units.
        payable_time: as of when it was judged what is payable.
        entry_id: by which its money left the creators' accounts; empty before.
    """

    payout_batch_id: str
    organisation_id: str
    currency: str
    total: int
    payout_count: int
    payable_time: datetime
    preparer: str
    create_time: datetime
    state: BatchState = BatchState.PREPARED
    approver: str = ""
    entry_id: str = ""
    change_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """One creator's money on its way.

    Attributes:
        bank_account_id: where it goes, as it was when the batch was prepared.
        entry_id: by which it was settled or given back; empty before.
    """

    payout_id: str
    payout_batch_id: str
    organisation_id: str
    creator_id: str
    currency: str
    minor_units: int
    bank_account_id: str
    destination_hint: str
    state: PayoutState = PayoutState.PREPARED
    bank_reference: str = ""
    reason: str = ""
    entry_id: str = ""
    change_time: datetime | None = None

    def _account(self, kind: AccountKind) -> Account:
        return Account(kind, self.creator_id, self.currency)

    @property
    def on_its_way(self) -> tuple[Posting, Posting]:
        """It leaves the creator's account, which must hold it."""
        return (
            Posting(self._account(AccountKind.CREATOR_PENDING), Direction.DEBIT, self.minor_units, guarded=True),
            Posting(self._account(AccountKind.PAYOUT_CLEARING), Direction.CREDIT, self.minor_units),
        )

    @property
    def arrived(self) -> tuple[Posting, Posting]:
        """It is paid."""
        return (
            Posting(self._account(AccountKind.PAYOUT_CLEARING), Direction.DEBIT, self.minor_units, guarded=True),
            Posting(self._account(AccountKind.PAYOUT_SETTLED), Direction.CREDIT, self.minor_units),
        )

    @property
    def given_back(self) -> tuple[Posting, Posting]:
        """It is the creator's again."""
        return (
            Posting(self._account(AccountKind.PAYOUT_CLEARING), Direction.DEBIT, self.minor_units, guarded=True),
            Posting(self._account(AccountKind.CREATOR_PENDING), Direction.CREDIT, self.minor_units),
        )
