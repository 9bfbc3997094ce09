"""Puts people, banks, clocks and the service together, and lets years pass."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from reelmesh.payments.v1 import events_pb2
from reelmesh.payments.v1.events_pb2 import ENTITLEMENT_KIND_SUBSCRIPTION

from services.kit.database import Database, outbox
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.checkouts.notices import SaleNotices
from services.payments.plans import store as plans
from services.payments.plans.calendar import Interval, Unit
from services.payments.plans.domain import Plan, Price, Terms
from services.payments.processors.contract import Amount, Notice, NoticeKind
from services.payments.sales import store as sales
from services.payments.sales.many import sell_many
from services.payments.sales.recording import Recording
from services.payments.splits import store as splits
from services.payments.splits.domain import Rules
from services.payments.subscriptions import charges, keeping, store
from services.payments.subscriptions.charges import KeptCharge, Stage
from services.payments.subscriptions.domain import Beginning, Payer, State, Subscription
from services.payments.subscriptions.keeping import Step, cancellation
from services.payments.subscriptions.notices import SubscriptionNotices
from services.payments.subscriptions.periods import Charge, Deal, Purpose
from services.payments.subscriptions.proration import begun, change
from services.payments.subscriptions.scheduler import Charger, Scheduler
from services.payments.subscriptions.settling import Settling
from services.payments.webhooks.handling import NOT_MINE, Applied, Handled, NoticeHandler, NotMine, Told
from tests.payments.simulation.bank import (
    CHARGING,
    RENEWING,
    Bank,
    Chances,
    Died,
    Mandate,
    Payment,
    Post,
    RenewingBank,
)
from tests.payments.simulation.oracle import Oracle, Rate, Subscriber, later

BEGIN = datetime(2026, 1, 31, 9, tzinfo=UTC)
JOINING = timedelta(days=60)
_BATCH = 500


@dataclass(slots=True)
class ShiftedClock:
    """The service's clock, which is wrong now and then."""

    true: datetime
    shift: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.true + self.shift


@dataclass(frozen=True, slots=True)
class Script:
    """What is played.

    Attributes:
        rates: plans, each with how many of a hundred choose it.
        looks: when in a tick the scheduler looks: what nobody answered for is asked for again.
        raised: when the price of the first plan goes up by a tenth for all; None for never.
    """

    people: int
    days: int
    seed: int
    rates: Sequence[tuple[Rate, int]]
    tick: timedelta = timedelta(hours=12)
    looks: Sequence[timedelta] = (timedelta(0), timedelta(minutes=5), timedelta(hours=1), timedelta(hours=3))
    renewing: float = 0.05
    trials: float = 0.2
    at_once: float = 0.2
    chances: Chances = field(default_factory=Chances)
    raised: timedelta | None = timedelta(days=200)


def usual_rates(*, monthly: int = 25, quarterly: int = 35, yearly: int = 40) -> list[tuple[Rate, int]]:
    """Plans of three intervals, dear and cheap."""
    return [
        (Rate("monthly", 999, months=1), monthly - monthly // 3),
        (Rate("monthly premium", 1499, months=1), monthly // 3),
        (Rate("quarterly", 2699, months=3), quarterly),
        (Rate("yearly", 8900, months=12), yearly - yearly // 3),
        (Rate("yearly premium", 13900, months=12), yearly // 3),
    ]


@dataclass
class World:
    """Everything that there is."""

    script: Script
    database: Database
    organisation_id: str = field(default_factory=lambda: new_id("org"))
    clock: ShiftedClock = field(default_factory=lambda: ShiftedClock(BEGIN))
    oracle: Oracle = field(default_factory=Oracle)
    plans: dict[str, Plan] = field(default_factory=dict)
    subscription_ids: dict[str, str] = field(default_factory=dict)
    quiet_until: dict[str, datetime] = field(default_factory=dict)
    restarts: int = 0

    def __post_init__(self) -> None:
        seed = self.script.seed
        self.dice = random.Random(seed)
        self.post = Post(random.Random(seed + 1))
        chances, paid = self.script.chances, self.oracle.paid
        self.bank = Bank(lambda: self.clock.true, random.Random(seed + 2), chances, self.post, paid)
        self.renewing = RenewingBank(lambda: self.clock.true, random.Random(seed + 3), chances, self.post, paid)
        self.recording = Recording(self.clock)
        booked = SaleNotices(self.recording)
        self.handlers: list[NoticeHandler] = [
            SubscriptionNotices(self.clock, Settling(self.database, self.clock), booked),
            booked,
        ]
        self.scheduler = self._started()
        self.joiners = sorted(self._joiners(), key=lambda joiner: joiner[0])

    async def charger(self, organisation_id: str, account_id: str) -> Charger | None:
        """The banks, by their names."""
        return self.bank if account_id == CHARGING else self.renewing

    def _started(self) -> Scheduler:
        return Scheduler(self.database, self.clock, self)

    def _joiners(self) -> Iterator[tuple[datetime, int]]:
        """Who joins when: many at one moment, so that all of them fall due at once for ever, and the others by and by."""
        script = self.script
        for number in range(script.people):
            crowd = self.dice.random() < script.at_once
            yield BEGIN if crowd else BEGIN + self.dice.random() * JOINING, number

    # --- before ----------------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Makes plans and split rules."""
        rules = Rules(2000, 1900, 500, 1000, fee_kept_on_refund=False, chargeback_fee_on_creators=False)
        async with self.database.transaction() as tx:
            version = await splits.add(tx, self.organisation_id, rules, "", BEGIN)
            await splits.activate(tx, self.organisation_id, version, BEGIN)
            for rate, _ in self.script.rates:
                terms = _terms(rate, 1, rate.minor_units, None)
                plan = Plan(new_id("pln"), self.organisation_id, rate.name, None, BEGIN, [terms])
                await plans.add(tx, plan)
                self.plans[rate.name] = plan

    async def _raise(self) -> None:
        """Announces that the first plan will cost a tenth more, thirty days from now."""
        rate = self.script.rates[0][0]
        now = self.clock.now()
        dearer, moment = rate.minor_units * 11 // 10, now + timedelta(days=30)
        async with self.database.transaction() as tx:
            await plans.add_terms(tx, self.plans[rate.name].plan_id, _terms(rate, 2, dearer, moment))
        # It has the new price at once for whoever comes new, and from then on for all others.
        rate.raised = (moment, dearer)

    # --- time passes -----------------------------------------------------------------------------------------------------

    async def play(self, told: Callable[[datetime, World], None]) -> None:
        """Lets all days pass."""
        end = BEGIN + timedelta(days=self.script.days)
        raise_at = BEGIN + self.script.raised if self.script.raised else None
        while self.clock.true < end:
            await self._tick()
            if raise_at and self.clock.true >= raise_at:
                await self._raise()
                raise_at = None
            told(self.clock.true, self)
            self.clock.true += self.script.tick
        self.bank.away, self.clock.shift = False, timedelta(0)
        for _ in range(8):  # whatever is still on its way
            await self._tick(quiet=True)
            self.clock.true += self.script.tick

    async def _tick(self, *, quiet: bool = False) -> None:
        begin = self.clock.true
        self._trouble(quiet=quiet)
        if not quiet:
            await self._join()
            await self._act()
        for look in self.script.looks:
            self.clock.true = begin + look
            unclear = self.bank.lost, self.restarts
            if not quiet:  # what it took last could not be told of before the end
                self.renewing.work()
            await self._deliver()
            await self._schedule()
            if unclear == (self.bank.lost, self.restarts):
                break  # whoever was asked has answered, and is not asked again
        await self._hear()
        self.oracle.look(self.clock.true)
        self.clock.true = begin

    def _trouble(self, *, quiet: bool) -> None:
        """Outages, clocks that are wrong, and processes that die."""
        self.bank.away = not quiet and self.dice.random() < 0.01
        self.clock.shift = timedelta(0)
        if not quiet and self.dice.random() < 0.02:
            self.clock.shift = self.dice.uniform(-5, 5) * timedelta(hours=1)
        soon = max(2, self.script.people // 200)
        self.bank.die_in = self.dice.randint(1, soon) if not quiet and self.dice.random() < 0.05 else None

    async def _schedule(self) -> None:
        while True:
            try:
                if not await self.scheduler.once():
                    return
            except Died:
                self.restarts += 1
                self.bank.die_in = None
                self.scheduler = self._started()
                return  # it is started again by the next look

    # --- people ----------------------------------------------------------------------------------------------------------

    async def _join(self) -> None:
        while self.joiners and self.joiners[0][0] <= self.clock.true:
            number = sum(1 for moment, _ in self.joiners[:_BATCH] if moment <= self.clock.true)
            batch, self.joiners = self.joiners[:number], self.joiners[number:]
            await self._begin([self._subscribed(number) for _, number in batch])

    def _subscribed(self, number: int) -> tuple[Subscription, Payment | None]:
        """Somebody who comes from a checkout: tried, or paid."""
        card, now = f"card-{number}", self.clock.now()
        rate = self.dice.choices([rate for rate, _ in self.script.rates], [share for _, share in self.script.rates])[0]
        by_itself = self.dice.random() < self.script.renewing
        price = max(rate.prices(rate.minor_units, self.clock.true + timedelta(days=999)))
        bank = RENEWING if by_itself else CHARGING
        reference = f"mandate-{number}" if by_itself else ""
        payer = Payer(bank, bank, card, reference, f"chk-{number}", renews_by_itself=by_itself)
        deal = self._deal(rate)
        beginning = Beginning(self.organisation_id, card, "", "EUR", payer, deal)
        if not by_itself and self.dice.random() < self.script.trials:
            made = beginning.tried(now, 14)
            person = Subscriber(card, rate, price, made.period.end, made.period.end, start=now)
            self.oracle.people[card] = person
            return made, None
        made = beginning.paid(now)
        self.oracle.people[card] = Subscriber(card, rate, price, now, now, by_itself=by_itself)
        payment = Payment(bank, f"first-{number}", card, Amount(deal.price, "EUR"), now, now)
        (self.renewing if by_itself else self.bank).payments[payment.reference] = payment
        self.oracle.paid(payment)
        if by_itself:
            mandate = Mandate(reference, card, payment.amount, lambda times: later(now, rate, times))
            self.renewing.opened(mandate)
        return made, payment

    def _deal(self, rate: Rate) -> Deal:
        plan = self.plans[rate.name]
        raised = rate.raised
        terms = _terms(rate, 2, raised[1], raised[0]) if raised else plan.newest
        return Deal.of(plan.plan_id, terms, terms.prices[0].minor_units)

    async def _begin(self, made: Sequence[tuple[Subscription, Payment | None]]) -> None:
        now = self.clock.now()
        async with self.database.transaction() as tx:
            await keeping.begin_all(tx, [one for one, _ in made], now)
            paid = [(one, payment) for one, payment in made if payment is not None]
            orders = [keeping.order(one, payment.reference, payment.amount.minor_units, now) for one, payment in paid]
            sold = await sell_many(tx, orders, ENTITLEMENT_KIND_SUBSCRIPTION, now) if orders else []
            first = []
            for (one, payment), sale in zip(paid, sold, strict=True):
                charge = Charge(new_id("chg"), Purpose.NOTICED, payment.amount.minor_units, one.deal, one.period, 1)
                kept = KeptCharge.new(one, charge, now, now)
                first.append(_done(kept, payment.reference, sale.sale_id, now))
            await charges.add_all(tx, first)
        for one, _ in made:
            self.subscription_ids[one.viewer_id] = one.subscription_id

    async def _act(self) -> None:
        """People change their minds."""
        people = list(self.oracle.people.values())
        often = len(people) * 0.0015
        number = math.floor(often) + (self.dice.random() < often % 1)
        chosen = {one.card: one for one in self.dice.sample(people, min(number, len(people)))}
        free = [one for one in chosen.values() if self.quiet_until.get(one.card, BEGIN) <= self.clock.true]
        if not free:
            return
        ids = [self.subscription_ids[one.card] for one in free]
        async with self.database.transaction() as tx:
            found = await store.locked(tx, ids)
            steps = [self._acted(one, found[self.subscription_ids[one.card]]) for one in free]
            await keeping.keep(tx, [step for step in steps if step], self.clock.now())

    def _acted(self, person: Subscriber, one: Subscription) -> Step | None:
        now, choice = self.clock.now(), self.dice.random()
        try:
            if one.state in {State.PAUSED, State.CANCELLING}:
                if person.over or self.clock.shift or one.payer.renews_by_itself:
                    return None
                return self._resumed(person, one)
            if choice < 0.5:
                return self._cancelled(person, one)
            if choice < 0.65:
                after = one.paused()
                self.oracle.rest(person, self.clock.true)
                return Step(one, after)
            rate = self.dice.choice([rate for rate, _ in self.script.rates])
            wanted = change(one, self._deal(rate), now)
            after, charge = begun(one, wanted)
        except Refusal:
            return None
        self.quiet_until[person.card] = self.clock.true + timedelta(days=2)
        if not wanted.at_once:
            person.next, person.next_price = None if rate is person.rate else rate, wanted.deal.price
            person.wanted = None  # a change that was not paid is none; while it may yet be, no other is taken
        elif charge is not None:
            person.wanted = rate, now
        else:
            person.rate, person.price, person.next = rate, wanted.deal.price, None
        return Step(one, after, charge)

    def _cancelled(self, person: Subscriber, one: Subscription) -> Step:
        self.oracle.quit(person, self.clock.true)
        self.quiet_until[person.card] = self.clock.true + timedelta(days=2)
        return Step(one, one.cancelled(self.clock.now()), cancellation(one))

    def _resumed(self, person: Subscriber, one: Subscription) -> Step:
        now = self.clock.now()
        person.quit_time = None
        after = one.resumed(now)
        if after.state is State.PAST_DUE:  # a new period begins, and is counted from here
            person.anchor, person.counted, person.through, person.back_time = now, 0, now, now
        return Step(one, after)

    # --- notices and events ----------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        """Hands over what the banks tell, as the queue of webhooks does; what comes too early comes again."""
        for processor, notice in self.post.arrived(self.clock.true):
            handled = await self._handled(Told(self.organisation_id, processor, processor, notice))
            if not isinstance(handled, Applied):
                self.oracle.tally["notices that came too early"] += 1
                self.post.again(processor, notice, self.clock.true + timedelta(hours=1))
            elif notice.original_reference:
                self._given_back(processor, notice)

    async def _handled(self, told: Told) -> Handled:
        async with self.database.transaction() as tx:
            for handler in self.handlers:
                if not isinstance(handled := await handler.apply(tx, told), NotMine):
                    return handled
        return NOT_MINE

    def _given_back(self, processor: str, notice: Notice) -> None:
        payment = self._payments(processor)[notice.original_reference]
        if not payment.given_back:
            self.oracle.took_back(payment, notice, self.clock.true)
        if notice.kind is NoticeKind.CHARGEBACK and processor == RENEWING:
            self.oracle.tally["chargebacks told by the renewing bank"] += 1

    def _payments(self, processor: str) -> dict[str, Payment]:
        return self.bank.payments if processor == CHARGING else self.renewing.payments

    async def _hear(self) -> None:
        """Takes all events out of the outbox, in their order, as a listener would get them."""
        async with self.database.transaction() as tx:
            rows = (await tx.execute(sa.select(outbox.c.subject, outbox.c.payload).order_by(outbox.c.position))).all()
            if rows:
                await tx.execute(sa.delete(outbox))
        for subject, payload in rows:
            match subject.rpartition(".")[2]:
                case "EntitlementGranted":
                    granted = events_pb2.EntitlementGranted.FromString(payload)
                    until = granted.end_time.ToDatetime(tzinfo=UTC)
                    self.oracle.granted(granted.entitlement_id, granted.viewer_id, until)
                case "EntitlementRevoked":
                    self.oracle.revoked(events_pb2.EntitlementRevoked.FromString(payload).entitlement_id)

    # --- afterwards ------------------------------------------------------------------------------------------------------

    async def judged(self) -> None:
        """Holds what is in the books against what the banks took."""
        query = sa.select(
            sales.sales.c.processor,
            sales.sales.c.reference,
            sales.sales.c.gross,
            sales.sales.c.currency,
            sales.sales.c.refunded + sales.sales.c.charged_back,
        ).where(sales.sales.c.organisation_id == self.organisation_id)
        async with self.database.transaction() as tx:
            sold = {(row[0], row[1]): (row[2], row[3], row[4]) for row in await tx.execute(query)}
        payments = [*self.bank.payments.values(), *self.renewing.payments.values()]
        self.oracle.balance(payments, sold)


def _done(kept: KeptCharge, reference: str, sale_id: str, now: datetime) -> KeptCharge:
    return KeptCharge(
        kept.charge,
        kept.subscription_id,
        kept.organisation_id,
        kept.processor,
        kept.currency,
        kept.create_time,
        None,
        Stage.DONE,
        reference,
        sale_id=sale_id,
        outcome_time=now,
    )


def _terms(rate: Rate, version: int, minor_units: int, move_time: datetime | None) -> Terms:
    interval = Interval(Unit.MONTH, rate.months) if rate.months else Interval(Unit.DAY, rate.days)
    return Terms(
        version=version,
        tier=hashlib.sha256(rate.name.encode()).hexdigest()[:8].replace("0", "o"),
        interval=interval,
        trial_days=14,
        grace_days=rate.grace,
        dunning_days=(1, 3, 5, 7),
        prices=(Price("", "EUR", minor_units),),
        move_time=move_time,
        create_time=BEGIN,
    )


async def played(settings: ProcessSettings, script: Script, told: Callable[[datetime, World], None]) -> World:
    """Plays a script to its end. What is wrong stands in the oracle's complaints, and in the report of the ledger's verification."""
    from services.payments.ledger.verification import verified

    database = Database.of("payments", settings)
    world = World(script, database)
    began = time.monotonic()
    await world.prepare()
    await world.play(told)
    await world.judged()
    report = await verified(database)
    world.oracle.complaints.extend(f"the ledger differs: {difference}" for difference in report.differences)
    world.oracle.tally["entries"] = report.entries
    world.oracle.tally["postings"] = report.postings
    world.oracle.tally["seconds"] = round(time.monotonic() - began)
    await database.close()
    return world
