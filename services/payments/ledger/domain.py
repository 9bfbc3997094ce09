"""Accounts, sides, and entries that balance. No input, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

from services.payments import refusals
from services.payments.ledger.currencies import currency


class AccountKind(IntEnum):
    """What an account is for; the numbers are those of the contract."""

    PROCESSOR_RECEIVABLE = 1
    CREATOR_PENDING = 2
    PLATFORM_REVENUE = 3
    TAX_PAYABLE = 4
    PROCESSOR_FEE = 5
    RESERVE = 6
    PAYOUT_CLEARING = 10
    PAYOUT_SETTLED = 11


DEBIT_NORMAL: Final = frozenset({AccountKind.PROCESSOR_RECEIVABLE})
"""Assets and expenses: they grow by debits. All others are liabilities and income, which grow by credits."""


class Direction(IntEnum):
    """A side of an account; the numbers are those of the contract."""

    DEBIT = 1
    CREDIT = 2

    @property
    def opposite(self) -> Direction:
        """The other side."""
        return Direction.CREDIT if self is Direction.DEBIT else Direction.DEBIT


class EntryKind(IntEnum):
    """What an entry tells of; the numbers are those of the contract."""

    SALE = 1
    REFUND = 2
    CHARGEBACK = 3
    CHARGEBACK_REVERSAL = 4
    REVERSAL = 5
    PAYOUT = 10
    PAYOUT_SETTLED = 11
    PAYOUT_VOID = 12
    RESERVE_RELEASED = 13


UNDOING: Final = frozenset({EntryKind.CHARGEBACK_REVERSAL, EntryKind.REVERSAL})
"""Kinds that undo another entry as a whole. Of each entry there is at most one; the database holds that too."""


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """An account of an organisation, by what it is for. It exists as soon as something is posted to it, and for ever.

    Attributes:
        owner_id: a creator, a jurisdiction, a processor; empty for the platform.
        currency: code of the one currency that it is kept in.
    """

    kind: AccountKind
    owner_id: str
    currency: str


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry.

    Attributes:
        minor_units: how much, above zero.
        guarded: whether the whole entry is refused when the account would hold less than nothing after it.
    """

    account: Account
    direction: Direction
    minor_units: int
    guarded: bool = False

    @property
    def opposite(self) -> Posting:
        """The same amount on the other side, which nothing can refuse: what happened happened."""
        return replace(self, direction=self.direction.opposite, guarded=False)


class Unbalanced(Exception):
    """An entry that is none: a defect of whoever made it up, as the rules of sales cannot."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is about to be made.

    Attributes:
        reference: by what it is known in its organisation for ever. A second one with the same reference is the same entry, if its content
            is the same, and is refused otherwise.
        content: SHA-256 of what was asked for, by which that is told.
        reverses_entry_id: the entry that it undoes, or takes back in part; empty when it does not.
        description: why, for people.
        occur_time: when it happened.
    """

    organisation_id: str
    kind: EntryKind
    reference: str
    content: bytes
    postings: tuple[Posting, ...]
    occur_time: datetime
    reverses_entry_id: str = ""
    description: str = ""

    def checked(self) -> Draft:
        """The entry with at most one posting for each side of each account, if it is a good one.

        Raises:
            Refusal: INVALID_ARGUMENT `AMOUNT_INVALID` or `CURRENCY_UNKNOWN`.
            Unbalanced: it has fewer than two postings, one account on both sides, or sides that differ in a currency.
        """
        for posting in self.postings:
            currency(posting.account.currency)
            if posting.minor_units <= 0:
                raise refusals.amount_invalid("minor_units", "must be above zero; the direction says which way it goes")
        merged = _merged(self.postings)
        if len(merged) < 2:
            raise Unbalanced("an entry has at least two postings")
        if len({posting.account for posting in merged}) < len(merged):
            raise Unbalanced("an account stands on both sides of an entry")
        sums = Counter[str]()
        for posting in merged:
            sign = 1 if posting.direction is Direction.DEBIT else -1
            sums[posting.account.currency] += sign * posting.minor_units
        if off := {code: difference for code, difference in sums.items() if difference}:
            raise Unbalanced(f"debits and credits differ: {off}")
        return replace(self, postings=merged)


def _merged(postings: Iterable[Posting]) -> tuple[Posting, ...]:
    sides: dict[tuple[Account, Direction], Posting] = {}
    for posting in postings:
        key = posting.account, posting.direction
        if earlier := sides.get(key):
            posting = replace(  # noqa: PLW2901  # the two become one
                posting,
                minor_units=posting.minor_units + earlier.minor_units,
                guarded=posting.guarded or earlier.guarded,
            )
        sides[key] = posting
    return tuple(sides.values())


def netted(postings: Iterable[Posting]) -> tuple[Posting, ...]:
    """Postings with each account on one side only, by what is left of it; accounts of which nothing is left are not there."""
    sums: dict[Account, int] = {}
    for posting in postings:
        sign = 1 if posting.direction is Direction.DEBIT else -1
        sums[posting.account] = sums.get(posting.account, 0) + sign * posting.minor_units
    return tuple(
        Posting(account, Direction.DEBIT if units > 0 else Direction.CREDIT, abs(units))
        for account, units in sums.items()
        if units
    )


@dataclass(frozen=True, slots=True)
class KeptPosting:
    """A posting as the books have it.

    Attributes:
        number: place among all postings of its account, from 1.
        balance: what the account held after it, in minor units.
        book_time: when it was booked; never earlier than the account's posting before.
    """

    account: Account
    direction: Direction
    minor_units: int
    number: int
    balance: int
    book_time: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the books have it."""

    entry_id: str
    organisation_id: str
    kind: EntryKind
    reference: str
    content: bytes
    reverses_entry_id: str
    description: str
    occur_time: datetime
    create_time: datetime
    postings: tuple[KeptPosting, ...] = ()

    @property
    def opposite(self) -> tuple[Posting, ...]:
        """Postings that undo it."""
        return tuple(
            Posting(posting.account, posting.direction.opposite, posting.minor_units) for posting in self.postings
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds.

    Attributes:
        account_id: by which accounts are ordered.
        debits: all debits so far, in minor units.
        credits: all credits so far.
        postings: how many there were.
    """

    account_id: str
    account: Account
    debits: int
    credits: int
    postings: int

    @property
    def minor_units(self) -> int:
        """What it holds, counted on the side on which it grows."""
        held = self.credits - self.debits
        return -held if self.account.kind in DEBIT_NORMAL else held
