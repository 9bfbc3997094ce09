"""What tax a price carries. No input, no output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final, Protocol

from services.kit.database import Tx
from services.payments.splits.domain import shared_out

WHOLE: Final = 1_000_000
"""Millionths of everything."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of tax.

    Attributes:
        jurisdiction: to whom it is owed, such as `DE` or `US-TX`.
        name: on invoices.
        millionths: of the price without tax.
        inclusive: whether prices are shown with it.
        start_time: from when on it is in force.
    """

    jurisdiction: str
    name: str
    millionths: int
    inclusive: bool
    start_time: datetime


@dataclass(frozen=True, slots=True)
class TaxableOrder:
    """What somebody buys.

    Attributes:
        territory: where they are, such as `DE` or `US-TX`.
        minor_units: the price.
        sell_time: when; by it rates are chosen.
        paid: whether the price is what they paid, which then includes every tax. Otherwise it is the price as it is shown, which includes some
            and not others.
    """

    organisation_id: str
    territory: str
    minor_units: int
    currency: str
    sell_time: datetime
    paid: bool


@dataclass(frozen=True, slots=True)
class TaxLine:
    """Tax of one jurisdiction.

    Attributes:
        minor_units: how much; 0 where nothing is owed, which is not the same as not knowing.
        included: whether the price includes it; otherwise it comes on top.
    """

    jurisdiction: str
    name: str
    millionths: int
    minor_units: int
    included: bool


class TaxProvider(Protocol):
    """Whoever knows what tax an order carries."""

    async def lines(self, tx: Tx, order: TaxableOrder) -> tuple[TaxLine, ...]:
        """The taxes of an order; none when nobody knows any for where the buyer is."""
        ...


def jurisdictions_of(territory: str) -> tuple[str, ...]:
    """Where taxes can be owed for a buyer in a territory: there, and in its country."""
    country = territory.partition("-")[0]
    return (territory,) if territory == country else (territory, country)


def worked_out(order: TaxableOrder, rates: Sequence[Rate]) -> tuple[TaxLine, ...]:
    """The taxes by rates, each of the price without any of them.

    What a price includes is rounded by largest remainder together with the rest of it, so that the parts sum to the price. What comes on top is
    rounded by itself, half away from zero.
    """
    included = [rate for rate in rates if order.paid or rate.inclusive]
    within = shared_out(order.minor_units, [WHOLE, *(rate.millionths for rate in included)])[1:]
    net = Fraction(order.minor_units * WHOLE, WHOLE + sum(rate.millionths for rate in included))
    inside = dict(zip((id(rate) for rate in included), within, strict=True))
    lines = []
    for rate in rates:
        units = inside.get(id(rate))
        if units is None:
            exact = net * rate.millionths / WHOLE
            units = int(exact + Fraction(1, 2))
        lines.append(TaxLine(rate.jurisdiction, rate.name, rate.millionths, units, id(rate) in inside))
    return tuple(lines)


def to_pay(order: TaxableOrder, lines: Sequence[TaxLine]) -> int:
    """What the buyer pays in all, in minor units."""
    return order.minor_units + sum(line.minor_units for line in lines if not line.included)
