"""Periods of a subscription, and what is charged for them. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from services.payments.plans.calendar import Interval
from services.payments.plans.domain import Terms


@dataclass(frozen=True, slots=True)
class Deal:
    """What somebody subscribed to, as it was agreed.

    Attributes:
        version: of the plan's terms.
        price: of one interval, in minor units of the subscription's currency.
        grace_days: after an unpaid end, while it can still be watched.
        dunning_days: after an unpaid end, on which a declined charge is tried again; ascending.
    """

    plan_id: str
    version: int
    tier: str
    interval: Interval
    price: int
    grace_days: int
    dunning_days: tuple[int, ...]

    @classmethod
    def of(cls, plan_id: str, terms: Terms, price: int) -> Deal:
        """Some terms of a plan at the price that somebody has."""
        return cls(plan_id, terms.version, terms.tier, terms.interval, price, terms.grace_days, terms.dunning_days)


@dataclass(frozen=True, slots=True)
class Period:
    """A period that is paid, or was tried out.

    Attributes:
        anchor: from where its end is counted.
        number: how many intervals lie between the anchor and the end; 0 for a trial, and before anything is paid.
        start: when it begins. The same as `end` before anything is paid.
    """

    anchor: datetime
    number: int
    start: datetime
    end: datetime

    @classmethod
    def first(cls, anchor: datetime, interval: Interval) -> Period:
        """The one that begins at an anchor."""
        return cls(anchor, 1, anchor, interval.after(anchor, 1))

    @classmethod
    def none(cls, now: datetime) -> Period:
        """Nothing is paid yet."""
        return cls(now, 0, now, now)

    @classmethod
    def trial(cls, now: datetime, end: datetime) -> Period:
        """A trial, at whose end counting begins."""
        return cls(end, 0, now, end)

    @property
    def empty(self) -> bool:
        """Whether nothing is paid yet."""
        return self.start == self.end

    def following(self, before: Interval, interval: Interval, now: datetime) -> Period:
        """The next one. It begins where this ends, so that nobody loses days by paying late; but it begins now when nothing was paid before, or
        when the next would have passed as a whole, as after a long outage: nobody could have watched in it.

        Args:
            before: the interval by which this one was counted.
            interval: that by which the next is.
            now: the moment of the charge.
        """
        if self.empty:
            return Period.first(now, interval)
        if before != interval:
            following = Period.first(self.end, interval)
        else:
            following = Period(self.anchor, self.number + 1, self.end, interval.after(self.anchor, self.number + 1))
        return Period.first(now, interval) if now >= following.end else following


class Purpose(IntEnum):
    """What a charge is for. Kept in a table: never renumber."""

    RENEWAL = 1
    CHANGE = 2
    CANCELLATION = 3
    """No money is asked for: the processor is to renew no more."""
    NOTICED = 4
    """The processor made it by itself, and said so: a renewal of its own, or what was paid at the checkout."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Something that the processor is asked for, until it says what became of it.

    Attributes:
        charge_id: `chg_…`, by which the processor knows it for the same when it is asked again.
        minor_units: how much; 0 for a cancellation.
        deal: what the subscriber has once it is approved.
        period: what they have paid then.
        attempt: the how manieth for this period, from 1.
    """

    charge_id: str
    purpose: Purpose
    minor_units: int
    deal: Deal
    period: Period
    attempt: int
