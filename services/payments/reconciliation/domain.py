"""Two sides of one day, and where they differ. No input, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import Final, Protocol

from services.payments.ledger.currencies import CURRENCIES

KINDS: Final = ("sale", "refund", "chargeback", "chargeback-reversal")
"""What a processor reports, as the ledger's references begin."""


class Difference(IntEnum):
    """What differs; the numbers are those of the contract."""

    MISSING_HERE = 1
    MISSING_THERE = 2
    AMOUNT = 3
    CURRENCY = 4
    FEE = 5
    DUPLICATE = 6


class CaseState(IntEnum):
    """How a case stands; the numbers are those of the contract."""

    OPEN = 1
    EXPLAINED = 2
    RESOLVED = 3


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction, as a processor reports it or the ledger has it.

    Attributes:
        reference: as the ledger names it: `sale/ccbill/0123456`.
        minor_units: how much, above zero whichever way it went.
        fee: what the processor keeps; None when it was not said.
    """

    reference: str
    minor_units: int
    currency: str
    fee: int | None = None

    def __str__(self) -> str:
        """For people: `19.99 EUR, fee 1.00`."""
        said = f"{_decimal(self.minor_units, self.currency)} {self.currency}"
        return said if self.fee is None else f"{said}, fee {_decimal(self.fee, self.currency)}"


class ReportSource(Protocol):
    """Whoever has a processor's reports."""

    async def transactions(self, organisation_id: str, report_date: date) -> Sequence[Transaction] | None:
        """All transactions of one day, in UTC; None when the report is not there yet."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference.

    Attributes:
        ours: what the ledger has, for people; empty when it has nothing.
        theirs: what the processor has; empty when it has nothing.
    """

    difference: Difference
    reference: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found."""

    matched: int
    findings: tuple[Finding, ...]


def compared(
    theirs: Sequence[Transaction], ours: Mapping[str, Transaction], booked: Sequence[Transaction], told: frozenset[str]
) -> Compared:
    """Compares a day.

    Args:
        theirs: the report.
        ours: what the ledger has, of any day, under the references of the report.
        booked: what the ledger has of this day.
        told: references of `booked` that the processor told of on another day: clocks differ around midnight.
    """
    findings = []
    matched = 0
    counts = Counter(transaction.reference for transaction in theirs)
    seen: set[str] = set()
    for transaction in theirs:
        reference = transaction.reference
        if reference in seen:
            continue
        seen.add(reference)
        if counts[reference] > 1:
            said = f"{counts[reference]} times {transaction}"
            findings.append(Finding(Difference.DUPLICATE, reference, str(ours.get(reference, "")), said))
        mine = ours.get(reference)
        difference = _difference(mine, transaction)
        if difference is None:
            matched += 1
        else:
            findings.append(Finding(difference, reference, str(mine or ""), str(transaction)))
    findings += [
        Finding(Difference.MISSING_THERE, mine.reference, str(mine), "")
        for mine in booked
        if mine.reference not in seen and mine.reference not in told
    ]
    return Compared(matched, tuple(findings))


def _difference(mine: Transaction | None, transaction: Transaction) -> Difference | None:
    """The first thing that differs; None when nothing does."""
    if mine is None:
        return Difference.MISSING_HERE
    if mine.currency != transaction.currency:
        return Difference.CURRENCY
    if mine.minor_units != transaction.minor_units:
        return Difference.AMOUNT
    if transaction.fee is not None and mine.fee is not None and mine.fee != transaction.fee:
        return Difference.FEE
    return None


def _decimal(minor_units: int, code: str) -> str:
    exponent = CURRENCIES[code].exponent
    if not exponent:
        return str(minor_units)
    whole, rest = divmod(minor_units, 10**exponent)
    return f"{whole}.{rest:0{exponent}}"


@dataclass(frozen=True, slots=True)
class Case:
    """A difference that somebody looks at.

    Attributes:
        note: why it is explained or resolved; empty while it is open.
        entry_id: what mended it; empty when nothing did.
        actor: who said so; empty while it is open, `report` where a later report did.
    """

    case_id: str
    organisation_id: str
    processor: str
    report_date: date
    finding: Finding
    create_time: datetime
    state: CaseState = CaseState.OPEN
    note: str = ""
    entry_id: str = ""
    actor: str = ""
    change_time: datetime | None = None
