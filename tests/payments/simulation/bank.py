"""Banks that fail in every way that real ones do, and know to the cent what they took.

One charges when it is asked, by key; the other renews by itself, and tells. What they do follows from a seed and from what they are asked.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.payments.processors.contract import (
    Amount,
    Approved,
    Charge,
    Declined,
    Notice,
    NoticeKind,
    Outcome,
    Unknown,
)

CHARGING = "charging"
RENEWING = "renewing"


class Died(BaseException):
    """The process that asked is dead. Nothing that it still has in mind will be done."""


@dataclass(frozen=True, slots=True)
class Chances:
    """How often what happens, of 1.

    Attributes:
        decline: no funds, today.
        refuse: and never again.
        lose_answer: the money is taken, and nobody hears.
        lose_question: nothing is taken, and nobody hears.
        return_: a payment is refunded or charged back some day.
    """

    decline: float = 0.04
    refuse: float = 0.004
    lose_answer: float = 0.01
    lose_question: float = 0.01
    return_: float = 0.004


@dataclass(slots=True)
class Payment:
    """What a bank took.

    Attributes:
        ask_time: when it was asked for this first.
        through: until when it pays, as the oracle thinks.
    """

    processor: str
    reference: str
    card: str
    amount: Amount
    ask_time: datetime
    pay_time: datetime
    given_back: int = 0
    through: datetime | None = None


@dataclass(slots=True)
class Post:
    """Notices on their way: late, twice, and in another order than they were sent."""

    dice: random.Random
    waiting: list[tuple[datetime, int, str, Notice]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def send(self, processor: str, notice: Notice, now: datetime) -> None:
        """Puts a notice on its way; every twentieth goes twice."""
        for _ in range(2 if self.dice.random() < 0.05 else 1):
            late = timedelta(minutes=self.dice.expovariate(1 / 90))
            self.again(processor, notice, now + late)

    def again(self, processor: str, notice: Notice, when: datetime) -> None:
        heapq.heappush(self.waiting, (when, next(self.numbers), processor, notice))

    def arrived(self, now: datetime) -> list[tuple[str, Notice]]:
        """What has arrived by now."""
        found = []
        while self.waiting and self.waiting[0][0] <= now:
            _, _, processor, notice = heapq.heappop(self.waiting)
            found.append((processor, notice))
        return found


@dataclass(slots=True)
class Bank:
    """The bank that is asked.

    Attributes:
        now: the true time.
        paid: by whom it is told of each payment, the moment it takes it.
        asked: by whom it is told of each key, the first time that it is seen.
        away: whether it answers nobody.
        die_in: after so many more calls the caller dies; None for never.
    """

    now: Callable[[], datetime]
    dice: random.Random
    chances: Chances
    post: Post
    paid: Callable[[Payment], None]
    away: bool = False
    die_in: int | None = None
    first_asked: dict[str, datetime] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    calls: int = 0
    lost: int = 0
    deaths: int = 0
    declines: int = 0

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money, once for each key."""
        self.calls += 1
        key, moment = charge.idempotency_key, self.dice.random()
        if self._dies():
            raise Died
        self.first_asked.setdefault(key, self.now())
        if self.away or moment < self.chances.lose_question:
            self.lost += 1
            return Unknown("no answer")
        outcome = self.outcomes.get(key)
        if outcome is None:
            outcome = self.outcomes[key] = self._decided(charge)
        if self._dies():
            self._tell(charge, outcome)
            raise Died
        if moment > 1 - self.chances.lose_answer:
            self._tell(charge, outcome)
            self.lost += 1
            return Unknown("no answer")
        return outcome

    def _tell(self, charge: Charge, outcome: Outcome) -> None:
        """Tells of what was taken by a notice too, as all processors do. It matters only where nobody heard the answer, so it is sent only there."""
        if not isinstance(outcome, Approved):
            return
        notice = Notice(
            dedupe_key=f"paid-{outcome.reference}",
            kind=NoticeKind.RENEWAL,
            occur_time=self.now(),
            transaction_reference=outcome.reference,
            payment_method_reference=charge.payment_method_reference,
            amount=charge.amount,
        )
        self.post.send(CHARGING, notice, self.now())

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        raise AssertionError("nothing is renewed here")

    def _dies(self) -> bool:
        if self.die_in is None:
            return False
        self.die_in -= 1
        if self.die_in == 0:
            self.deaths += 1
        return self.die_in <= 0

    def _decided(self, charge: Charge) -> Outcome:
        chance = self.dice.random()
        if chance < self.chances.decline + self.chances.refuse:
            self.declines += 1
            return Declined("no funds", retryable=chance < self.chances.decline)
        reference = f"pay-{len(self.payments)}"
        now = self.now()
        payment = Payment(
            CHARGING,
            reference,
            charge.payment_method_reference,
            charge.amount,
            self.first_asked[charge.idempotency_key],
            now,
        )
        self.payments[reference] = payment
        self.paid(payment)
        if self.dice.random() < self.chances.return_:
            self.post.again(
                CHARGING, given_back(payment, self.dice, now), now + timedelta(days=self.dice.uniform(1, 60))
            )
        return Approved(reference)


def given_back(payment: Payment, dice: random.Random, now: datetime) -> Notice:
    """A notice that a payment goes back: a part of it, all of it, or by the buyer's bank."""
    kind = dice.choice([NoticeKind.REFUND, NoticeKind.REFUND, NoticeKind.CHARGEBACK])
    part = kind is NoticeKind.REFUND and dice.random() < 0.5
    units = payment.amount.minor_units // 3 if part else payment.amount.minor_units
    return Notice(
        dedupe_key=f"back-{payment.reference}",
        kind=kind,
        occur_time=now,
        transaction_reference=f"back-{payment.reference}",
        original_reference=payment.reference,
        amount=Amount(units, payment.amount.currency),
    )


@dataclass(slots=True)
class Mandate:
    """A subscription that the renewing bank keeps."""

    reference: str
    card: str
    amount: Amount
    renewal: Callable[[int], datetime]
    number: int = 1
    fails: int = 0
    due: datetime | None = None


@dataclass(slots=True)
class RenewingBank:
    """The bank that renews by itself."""

    now: Callable[[], datetime]
    dice: random.Random
    chances: Chances
    post: Post
    paid: Callable[[Payment], None]
    mandates: dict[str, Mandate] = field(default_factory=dict)
    calendar: list[tuple[datetime, str]] = field(default_factory=list)
    payments: dict[str, Payment] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    async def charge(self, charge: Charge) -> Outcome:
        return Declined("renews by itself", retryable=False)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Renews no more, and says so."""
        if self.dice.random() < self.chances.lose_answer * 10:
            return Unknown("no answer")
        if subscription_reference not in self.cancelled:
            self.cancelled.add(subscription_reference)
            self._tell(NoticeKind.CANCELLATION, self.mandates[subscription_reference], self.now(), "")
        return Approved(f"end-{subscription_reference}")

    def opened(self, mandate: Mandate) -> None:
        """Keeps a mandate whose first payment was made just now."""
        self.mandates[mandate.reference] = mandate
        self._plan(mandate, mandate.renewal(1))

    def work(self) -> None:
        """Renews what is due."""
        now = self.now()
        while self.calendar and self.calendar[0][0] <= now:
            due, reference = heapq.heappop(self.calendar)
            if reference not in self.cancelled:
                self._renew(self.mandates[reference], due)

    def _plan(self, mandate: Mandate, due: datetime) -> None:
        heapq.heappush(self.calendar, (due, mandate.reference))

    def _renew(self, mandate: Mandate, due: datetime) -> None:
        if self.dice.random() < self.chances.decline:
            mandate.fails += 1
            self._tell(NoticeKind.RENEWAL_FAILED, mandate, due, "")
            if mandate.fails == 3:
                self.cancelled.add(mandate.reference)
                self._tell(NoticeKind.EXPIRY, mandate, due, "")
            else:
                self._plan(mandate, due + timedelta(days=1))
            return
        mandate.fails, mandate.number = 0, mandate.number + 1
        reference = f"ren-{len(self.payments)}"
        payment = Payment(RENEWING, reference, mandate.card, mandate.amount, due, due)
        self.payments[reference] = payment
        self.paid(payment)
        self._tell(NoticeKind.RENEWAL, mandate, due, reference)
        self._plan(mandate, mandate.renewal(mandate.number))
        if self.dice.random() < self.chances.return_:
            self.post.send(RENEWING, given_back(payment, self.dice, due), due)

    def _tell(self, kind: NoticeKind, mandate: Mandate, when: datetime, reference: str) -> None:
        notice = Notice(
            dedupe_key=f"{kind.name}-{mandate.reference}-{when:%Y%m%d%H%M}",
            kind=kind,
            occur_time=when,
            transaction_reference=reference,
            subscription_reference=mandate.reference,
            amount=mandate.amount if reference else None,
        )
        self.post.send(RENEWING, notice, self.now())
