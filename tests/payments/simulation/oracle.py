"""Knows what everybody paid and what they have to have for it, by its own arithmetic, and complains of whatever is otherwise.

It hears of payments from the banks and of entitlements from the events, and shares nothing with the code that it judges: not its calendar, not its
proration, not its tables.
"""

from __future__ import annotations

import calendar
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

from services.payments.processors.contract import Notice, NoticeKind
from tests.payments.simulation.bank import Payment

SKEW = timedelta(hours=30)
"""By how much moments may differ: the service's clock may be wrong by hours, and a new anchor is the moment of a charge by that clock."""
SHIFT = timedelta(hours=6)
"""By how much the service's clock is wrong at most, and how late it may ask."""
PATIENCE = timedelta(days=2)
"""After a payment at most until what it buys must be there: the answer may have been lost for a day."""


@dataclass(slots=True, eq=False)
class Rate:
    """A plan, as the oracle sees it: months between two renewals, or days."""

    name: str
    minor_units: int
    months: int = 0
    days: int = 0
    grace: int = 8
    raised: tuple[datetime, int] | None = None

    def prices(self, mine: int, when: datetime) -> set[int]:
        """What may be asked of somebody who has paid `mine` until then."""
        if self.raised is None:
            return {mine}
        moment, dearer = self.raised
        return ({mine} if when < moment + SKEW else set()) | ({dearer} if when > moment - SKEW else set())

    def same_interval(self, other: Rate) -> bool:
        return (self.months, self.days) == (other.months, other.days)


def later(anchor: datetime, rate: Rate, times: int) -> datetime:
    """So many intervals after an anchor, by the day of the anchor."""
    if rate.days:
        return anchor + timedelta(days=rate.days * times)
    year, month = anchor.year, anchor.month
    for _ in range(rate.months * times):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    last = calendar.monthrange(year, month)[1]
    return anchor.replace(year=year, month=month, day=min(anchor.day, last))


@dataclass(slots=True)
class Subscriber:
    """One person.

    Attributes:
        price: what one interval costs them.
        counted: how many intervals of `rate` since `anchor` are paid.
        start: begin of what was paid last.
        through: until when it is.
        until: until when they can watch, as was announced; None when they cannot.
        quit_time: when they cancelled or paused, or their bank took money back; None while they go on.
        wanted: the plan to which they want to change at once, and when they said so.
        next: the plan to which they change at the next renewal.
        next_price: what that cost when they chose it.
        by_itself: whether their bank renews.
        reckoned: whether their periods are counted from a moment by the service's clock, which may have been wrong by hours.
        back_time: when they came back after what they had paid was used up; a period begins when it is paid. None otherwise.
    """

    card: str
    rate: Rate
    price: int
    anchor: datetime
    through: datetime
    by_itself: bool = False
    start: datetime | None = None
    counted: int = 0
    until: datetime | None = None
    quit_time: datetime | None = None
    wanted: tuple[Rate, datetime] | None = None
    next: Rate | None = None
    next_price: int = 0
    over: bool = False
    reckoned: bool = False
    back_time: datetime | None = None
    payments: int = 0


@dataclass(slots=True)
class Oracle:
    """Judges."""

    people: dict[str, Subscriber] = field(default_factory=dict)
    by_entitlement: dict[str, Subscriber] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    _owed: deque[tuple[datetime, Subscriber, datetime]] = field(default_factory=deque)
    _granted: list[tuple[Subscriber, datetime]] = field(default_factory=list)

    # --- what the banks say ----------------------------------------------------------------------------------------------

    def paid(self, payment: Payment) -> None:
        """A bank took money: for what, and was it due?"""
        one, now = self.people[payment.card], payment.pay_time
        one.payments += 1
        self.tally["payments"] += 1
        if one.quit_time is not None and payment.ask_time > one.quit_time + SKEW and not one.by_itself:
            self._complain(one, now, f"was charged after they had quit at {one.quit_time}")
        usual = one.rate.prices(one.price, payment.ask_time)
        if one.next is not None:
            usual |= one.next.prices(one.next_price, payment.ask_time)
        if one.wanted is not None and payment.amount.minor_units not in usual:
            self._changed(one, payment)
        else:
            self._renewed(one, payment)
        payment.through = one.through
        self._owed.append((now + PATIENCE, one, one.through))

    def _renewed(self, one: Subscriber, payment: Payment) -> None:
        now = payment.pay_time
        if payment.ask_time < one.through - SKEW:
            self._complain(one, now, f"was charged twice: it is paid through {one.through}")
        rate = one.next or one.rate
        allowed = (
            {one.price} if one.by_itself else rate.prices(one.next_price if one.next else one.price, payment.ask_time)
        )
        if payment.amount.minor_units not in allowed:
            self._complain(one, now, f"was charged {payment.amount} and not {allowed}")
        if not rate.same_interval(one.rate):
            one.anchor, one.counted = one.through, 0
        one.rate, one.next, one.price = rate, None, payment.amount.minor_units
        one.wanted = None  # nothing is renewed while a change is still to be paid: its charge was declined
        anew = (one.over and one.by_itself) or one.back_time is not None
        if anew or payment.ask_time >= later(one.anchor, rate, one.counted + 1):
            one.anchor, one.counted = payment.ask_time, 0
            one.start, one.over, one.back_time, one.reckoned = payment.ask_time, False, None, True
        else:
            one.start = one.through
        one.counted += 1
        one.through = later(one.anchor, rate, one.counted)
        self.tally["renewals"] += 1

    def _changed(self, one: Subscriber, payment: Payment) -> None:
        assert one.wanted is not None
        assert one.start is not None
        rate, when = one.wanted
        one.wanted = None
        whole = (one.through - one.start) / timedelta(microseconds=1)
        # Whoever changes in the hours between the end of a period and its renewal has no rest.
        rest = max(Fraction(0), Fraction((one.through - when) / timedelta(microseconds=1)) / Fraction(whole))
        same = rate.same_interval(one.rate)
        cost = max(rate.prices(rate.minor_units, when))
        exact = Fraction(cost) * (rest if same else 1) - one.price * rest
        hours = Fraction(SHIFT / timedelta(microseconds=1)) / Fraction(whole) if one.reckoned else 0
        if abs(payment.amount.minor_units - exact) > 1 + max(one.price, cost) * hours:
            self._complain(one, payment.pay_time, f"paid {payment.amount} for a change that costs {float(exact)}")
        if not same:
            one.anchor, one.counted, one.start, one.reckoned = when, 1, when, False
            one.through = later(when, rate, 1)
        one.rate, one.next, one.price = rate, None, cost
        self.tally["changes at once"] += 1

    def took_back(self, payment: Payment, notice: Notice, now: datetime) -> None:
        """A price went back, and the service was told."""
        assert notice.amount is not None
        payment.given_back += notice.amount.minor_units
        one = self.people[payment.card]
        whole = payment.given_back == payment.amount.minor_units
        self.tally[f"{notice.kind.name.lower()}s"] += 1
        if notice.kind is NoticeKind.CHARGEBACK or (whole and payment.through == one.through):
            self.quit(one, now)
            one.over = True

    # --- what people do --------------------------------------------------------------------------------------------------

    def quit(self, one: Subscriber, now: datetime) -> None:
        """They go on no more, as far as they know."""
        self.rest(one, now)
        one.next = None

    def rest(self, one: Subscriber, now: datetime) -> None:
        """They pause: the plan that they chose to follow still does when they come back."""
        if one.quit_time is None:
            one.quit_time = now

    # --- what is announced -----------------------------------------------------------------------------------------------

    def granted(self, entitlement_id: str, card: str, until: datetime) -> None:
        """Somebody may watch."""
        one = self.by_entitlement.setdefault(entitlement_id, self.people[card])
        one.until = until
        self.tally["grants"] += 1
        self._granted.append((one, until))

    def revoked(self, entitlement_id: str) -> None:
        """Somebody may not watch any more."""
        self.by_entitlement[entitlement_id].until = None
        self.tally["revocations"] += 1

    def look(self, now: datetime) -> None:
        """Judges what was paid and announced by now: whoever paid can watch, and nobody for longer than they paid, but for the grace."""
        for one, until in self._granted:
            if until > one.through + timedelta(days=one.rate.grace) + SKEW:
                self._complain(one, now, f"may watch until {until}, and is paid through {one.through}")
        self._granted.clear()
        while self._owed and self._owed[0][0] <= now:
            _, one, through = self._owed.popleft()
            self.tally["periods judged"] += 1
            kept = one.until is not None and one.until >= min(through, one.through) - SKEW
            if not kept and not one.over and one.through > now:
                self._complain(one, now, f"paid through {through} and may watch until {one.until}")

    # --- the end ---------------------------------------------------------------------------------------------------------

    def balance(self, payments: Iterable[Payment], sales: dict[tuple[str, str], tuple[int, str, int]]) -> None:
        """Each payment is one sale, of the same amount, with the same given back; and there are no others."""
        seen = 0
        for payment in payments:
            seen += 1
            sale = sales.get((payment.processor, payment.reference))
            wanted = (*payment.amount, payment.given_back)
            if sale != wanted:
                self.complaints.append(f"{payment.processor} {payment.reference}: {wanted} were paid, and {sale} sold")
        if seen != len(sales):
            self.complaints.append(f"{seen} payments are {len(sales)} sales")

    def _complain(self, one: Subscriber, now: datetime, what: str) -> None:
        bank = " by its bank" if one.by_itself else ""
        self.complaints.append(f"{now:%Y-%m-%d %H:%M} {one.card} ({one.rate.name}){bank} {what}")
