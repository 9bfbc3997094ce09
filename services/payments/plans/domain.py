"""Plans: terms by version, and which of them counts for whom. No input, no output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.payments import refusals
from services.payments.ledger.currencies import currency
from services.payments.plans import refusals as plan_refusals
from services.payments.plans.calendar import Interval


@dataclass(frozen=True, slots=True)
class Price:
    """What one interval costs somewhere.

    Attributes:
        territory: ISO 3166-1 or 3166-2 code; empty for wherever no other price in the currency is.
        minor_units: above zero.
    """

    territory: str
    currency: str
    minor_units: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a plan.

    Attributes:
        version: counted from 1.
        trial_days: before the first charge.
        grace_days: after an unpaid end, while the subscriber can go on watching.
        dunning_days: after an unpaid end, on which a declined charge is tried again; ascending.
        move_time: from when on subscribers of earlier terms are moved to these at a renewal; None for never.
    """

    version: int
    tier: str
    interval: Interval
    trial_days: int
    grace_days: int
    dunning_days: tuple[int, ...]
    prices: tuple[Price, ...]
    move_time: datetime | None
    create_time: datetime

    def checked(self) -> Terms:
        """The terms, if they are good ones.

        Raises:
            Refusal: INVALID_ARGUMENT `PLAN_TERMS_INVALID`, `AMOUNT_INVALID` or `CURRENCY_UNKNOWN`.
        """
        if any(earlier >= later for earlier, later in zip(self.dunning_days, self.dunning_days[1:], strict=False)):
            raise plan_refusals.plan_terms_invalid("dunning_days", "the days of dunning must ascend")
        if self.dunning_days and self.dunning_days[-1] > self.grace_days:
            raise plan_refusals.plan_terms_invalid("dunning_days", "no charge is tried after the grace; make it longer")
        for price in self.prices:
            currency(price.currency)
            if price.minor_units <= 0:
                raise refusals.amount_invalid("prices.amount", "must be above zero")
        if len({(price.territory, price.currency) for price in self.prices}) < len(self.prices):
            raise plan_refusals.plan_terms_invalid("prices", "there are two prices for one territory in one currency")
        return self

    def price(self, territory: str, code: str) -> int | None:
        """What one interval costs in a territory: by its own price, its country's, or that for anywhere; None when it is not offered."""
        offered = {price.territory: price.minor_units for price in self.prices if price.currency == code}
        for place in (territory, territory.partition("-")[0], ""):
            if place in offered:
                return offered[place]
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan with all terms that it ever had, oldest first."""

    plan_id: str
    organisation_id: str
    display_name: str
    retire_time: datetime | None
    create_time: datetime
    terms: Sequence[Terms]

    @property
    def newest(self) -> Terms:
        """What new subscribers get."""
        return self.terms[-1]

    def of(self, version: int) -> Terms:
        """The terms of a version."""
        return self.terms[version - 1]

    def moved(self, version: int, territory: str, code: str, renew_time: datetime) -> Terms:
        """The terms that count from a renewal on for somebody who had those of `version`: the newest to which they were moved and that have a
        price for them, or else their own."""
        for terms in reversed(self.terms[version:]):
            due = terms.move_time is not None and terms.move_time <= renew_time
            if due and terms.price(territory, code) is not None:
                return terms
        return self.of(version)
