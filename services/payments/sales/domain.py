"""A sale, and what follows from giving parts of it back. No input, no output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from services.payments.ledger.domain import Account, AccountKind, Direction, EntryKind, Posting, netted
from services.payments.splits.domain import Part, Rules, shared_out, taken_back


class Takeback(Enum):
    """A way in which a price goes back, with the kind of its entry."""

    REFUND = EntryKind.REFUND
    CHARGEBACK = EntryKind.CHARGEBACK


@dataclass(frozen=True, slots=True)
class Taken:
    """Something of a sale that was given back.

    Attributes:
        entry_id: its entry.
        amounts: how much of each part of the sale, in the order of its parts.
        revoked: whether it ends what the sale granted although something of the price is left.
        reversed: whether it was won back, or was a mistake.
    """

    entry_id: str
    sale_id: str
    kind: Takeback
    amounts: tuple[int, ...]
    revoked: bool
    reversed: bool

    @property
    def minor_units(self) -> int:
        """How much it was."""
        return sum(self.amounts)


@dataclass(frozen=True, slots=True)
class Sale:
    """Something that was sold.

    Attributes:
        gross: what was paid, in minor units of `currency`.
        parts: how it was divided, with what is left of each.
        refunded: how much of it was refunded and not reversed.
        charged_back: how much of it was charged back, and neither won nor reversed.
        reversed: whether the sale was a mistake.
        entitlement_id: what the viewer may watch by it; empty when nothing was granted.
        entitled: whether the money for that stands.
    """

    sale_id: str
    organisation_id: str
    entry_id: str
    processor: str
    reference: str
    viewer_id: str
    gross: int
    currency: str
    split_rules_version: int
    parts: tuple[Part, ...]
    refunded: int
    charged_back: int
    reversed: bool
    entitlement_id: str
    entitled: bool
    sell_time: datetime
    create_time: datetime

    @property
    def remaining(self) -> int:
        """How much of the price was not given back."""
        return sum(part.remaining for part in self.parts)

    def taken(self, kind: Takeback, total: int) -> tuple[Sale, tuple[int, ...]]:
        """The sale less what is given back, and how much of each part that is.

        Raises:
            Refusal: FAILED_PRECONDITION `AMOUNT_EXCEEDS_REMAINING`.
        """
        amounts = tuple(taken_back(self.parts, total))
        return self._less(kind, amounts, 1), amounts

    def given_again(self, taken: Taken) -> Sale:
        """The sale as if something had not been given back."""
        return self._less(taken.kind, taken.amounts, -1)

    def _less(self, kind: Takeback, amounts: Sequence[int], sign: int) -> Sale:
        parts = tuple(
            replace(part, remaining=part.remaining - sign * units)
            for part, units in zip(self.parts, amounts, strict=True)
        )
        total = sign * sum(amounts)
        if kind is Takeback.REFUND:
            return replace(self, parts=parts, refunded=self.refunded + total)
        return replace(self, parts=parts, charged_back=self.charged_back + total)

    def undone(self) -> Sale:
        """The sale as one that never was."""
        return replace(self, parts=tuple(replace(part, remaining=0) for part in self.parts), reversed=True)

    def entitling(self, standing: Sequence[Taken]) -> Sale:
        """The sale with its entitlement as it should be, after what of it was given back and stands: it ends with the price, or when somebody
        said so."""
        entitled = (
            bool(self.entitlement_id)
            and not self.reversed
            and self.remaining > 0
            and not any(taken.revoked for taken in standing if not taken.reversed)
        )
        return replace(self, entitled=entitled)


def _receivable(sale: Sale) -> Account:
    return Account(AccountKind.PROCESSOR_RECEIVABLE, sale.processor, sale.currency)


def postings_of_sale(sale: Sale) -> tuple[Posting, ...]:
    """The processor owes the price, and everybody has their part of it."""
    return (
        Posting(_receivable(sale), Direction.DEBIT, sale.gross),
        *(
            Posting(Account(part.kind, part.owner_id, sale.currency), Direction.CREDIT, part.minor_units)
            for part in sale.parts
        ),
    )


def postings_of_takeback(sale: Sale, rules: Rules, amounts: Sequence[int], fee: int = 0) -> tuple[Posting, ...]:
    """The processor owes so much less, everybody gives their share of it, and somebody bears what the processor charges for it."""
    postings = [Posting(_receivable(sale), Direction.CREDIT, sum(amounts)), *_given(sale, rules, amounts)]
    if fee:
        postings.append(
            Posting(Account(AccountKind.PROCESSOR_FEE, sale.processor, sale.currency), Direction.CREDIT, fee)
        )
        postings.extend(_borne(sale, rules, fee))
    return netted(postings)


def postings_of_win(sale: Sale, rules: Rules, amounts: Sequence[int]) -> tuple[Posting, ...]:
    """The opposite of a takeback, but for what the processor charged for it."""
    return tuple(posting.opposite for posting in postings_of_takeback(sale, rules, amounts))


def _given(sale: Sale, rules: Rules, amounts: Sequence[int]) -> Iterator[Posting]:
    for part, units in zip(sale.parts, amounts, strict=True):
        if not units:
            continue
        kept = part.kind is AccountKind.PROCESSOR_FEE and rules.fee_kept_on_refund
        kind, owner_id = (AccountKind.PLATFORM_REVENUE, "") if kept else (part.kind, part.owner_id)
        yield Posting(Account(kind, owner_id, sale.currency), Direction.DEBIT, units)


def _borne(sale: Sale, rules: Rules, fee: int) -> Iterator[Posting]:
    creators = [part for part in sale.parts if part.kind is AccountKind.CREATOR_PENDING]
    if not creators or not rules.chargeback_fee_on_creators:
        yield Posting(Account(AccountKind.PLATFORM_REVENUE, "", sale.currency), Direction.DEBIT, fee)
        return
    for part, units in zip(creators, shared_out(fee, [part.minor_units for part in creators]), strict=True):
        if units:
            yield Posting(Account(part.kind, part.owner_id, sale.currency), Direction.DEBIT, units)
