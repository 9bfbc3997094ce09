"""Divides a price, and takes parts of it back, so that parts always sum to the whole. No input, no output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Final

from services.payments import refusals
from services.payments.ledger.domain import AccountKind

WHOLE: Final = 10_000
"""Basis points of everything."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How prices are divided. Rates are in basis points; `tax` is of the price without tax, `reserve` of a creator's share."""

    platform: int
    tax: int
    fee: int
    reserve: int
    fee_kept_on_refund: bool
    chargeback_fee_on_creators: bool


@dataclass(frozen=True, slots=True)
class KeptRules:
    """Rules as they are kept.

    Attributes:
        active: whether sales are divided by them now.
        activate_time: when they were activated last; None when never.
    """

    version: int
    rules: Rules
    comment: str
    create_time: datetime
    activate_time: datetime | None
    active: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a price.

    Attributes:
        minor_units: how much it was.
        remaining: how much of that was not given back.
    """

    kind: AccountKind
    owner_id: str
    minor_units: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Price:
    """What is to be divided.

    Attributes:
        gross: what the buyer paid, in minor units, above zero.
        processor: who takes the fee.
        creators: (creator, weight); none when all is the platform's.
        taxes: (jurisdiction, minor units) where somebody worked them out; empty for the rules' rate.
        fee: minor units where the processor said; None for the rules' rate.
    """

    gross: int
    processor: str
    creators: tuple[tuple[str, int], ...] = ()
    taxes: tuple[tuple[str, int], ...] = ()
    fee: int | None = None


def shared_out(total: int, weights: Sequence[Fraction | int]) -> list[int]:
    """Divides a total by weights, by largest remainder (Hamilton's method): each gets its share rounded down, and what is left goes one by
    one to those who lost most by that, the first of them first.

    No share is further than 1 from its exact value, and none is above its weight where the weights are integers that sum to no less than the
    total.
    """
    whole = sum(weights, Fraction(0))
    if whole == 0:
        if total:
            raise ValueError("nobody is there to have it")
        return [0] * len(weights)
    exact = [Fraction(weight) * total / whole for weight in weights]
    shares = [share.numerator // share.denominator for share in exact]
    by_loss = sorted(range(len(shares)), key=lambda place: shares[place] - exact[place])
    for place in by_loss[: total - sum(shares)]:
        shares[place] += 1
    return shares


@lru_cache(maxsize=4096)
def divided(rules: Rules, price: Price) -> tuple[Part, ...]:
    """The parts of a price, which sum to it exactly; parts of nothing are left out. Subscribers by the thousand pay one price: it is worked out once.

    Raises:
        Refusal: INVALID_ARGUMENT `SPLIT_IMPOSSIBLE` when tax and fee are more than the price.
    """
    gross = Fraction(price.gross)
    taxes = [(place, Fraction(units)) for place, units in price.taxes] or [
        ("", gross * rules.tax / (WHOLE + rules.tax))
    ]
    fee = Fraction(price.fee) if price.fee is not None else gross * rules.fee / WHOLE
    deductions = sum((units for _, units in taxes), fee)
    left = gross - deductions
    if left < 0:
        raise refusals.split_impossible(price.gross, -(-deductions.numerator // deductions.denominator))
    platform = left * rules.platform / WHOLE if price.creators else left
    weights = sum(weight for _, weight in price.creators)
    wanted: dict[tuple[AccountKind, str], Fraction] = {}

    def want(kind: AccountKind, owner_id: str, units: Fraction) -> None:
        wanted[kind, owner_id] = wanted.get((kind, owner_id), Fraction(0)) + units

    for place, units in taxes:
        want(AccountKind.TAX_PAYABLE, place, units)
    want(AccountKind.PROCESSOR_FEE, price.processor, fee)
    want(AccountKind.PLATFORM_REVENUE, "", platform)
    for creator, weight in price.creators:
        share = (left - platform) * weight / weights
        held_back = share * rules.reserve / WHOLE
        want(AccountKind.CREATOR_PENDING, creator, share - held_back)
        want(AccountKind.RESERVE, creator, held_back)
    shares = shared_out(price.gross, list(wanted.values()))
    return tuple(
        Part(kind, owner_id, units, units) for (kind, owner_id), units in zip(wanted, shares, strict=True) if units
    )


def taken_back(parts: Sequence[Part], total: int) -> list[int]:
    """How much of each part is taken back when a total is, in proportion to what is left of it. All of it together takes all of each.

    By what is left, not by what each was at first: so many small refunds end exactly where one large one does, and no part is taken twice.

    Raises:
        Refusal: FAILED_PRECONDITION `AMOUNT_EXCEEDS_REMAINING`.
    """
    remaining = [part.remaining for part in parts]
    if total > sum(remaining):
        raise refusals.amount_exceeds_remaining(sum(remaining))
    return shared_out(total, remaining)
