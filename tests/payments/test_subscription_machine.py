"""A state machine on the real Postgres: whatever subscribers, processors, clocks and two schedulers do in whatever order, nobody is charged twice for
a period, what was taken is in the books, and what was announced is what was paid."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from reelmesh.payments.v1 import events_pb2

from services.kit.clock import FixedClock
from services.kit.database import outbox
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.checkouts.notices import SaleNotices
from services.payments.ledger.domain import Account, AccountKind
from services.payments.plans import store as plans
from services.payments.plans.calendar import Interval, Unit
from services.payments.plans.domain import Plan, Price, Terms
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
from services.payments.sales.recording import Recording
from services.payments.splits import store as splits
from services.payments.splits.domain import Rules
from services.payments.subscriptions import store
from services.payments.subscriptions.beginning import Beginnings, Wish
from services.payments.subscriptions.domain import Payer, State, Subscription
from services.payments.subscriptions.keeping import Step, keep
from services.payments.subscriptions.notices import SubscriptionNotices
from services.payments.subscriptions.periods import Deal
from services.payments.subscriptions.proration import begun, change
from services.payments.subscriptions.scheduler import Charger, Scheduler
from services.payments.subscriptions.settling import Settling
from services.payments.webhooks.handling import Told
from tests.payments.scene import T0
from tests.payments.test_machines import TRIED, Machine

NAMES = st.sampled_from("ab")


class Gone(BaseException):
    """The scheduler died here."""


class Processor:
    """Takes money once for each key, and says so or not as it is told to."""

    def __init__(self) -> None:
        self.mood = "approve"
        self.taken: dict[str, Charge] = {}

    async def charge(self, charge: Charge) -> Outcome:
        if self.mood == "die before":
            raise Gone
        if charge.idempotency_key in self.taken:
            return Approved(f"tx-{charge.idempotency_key}")
        if self.mood == "decline":
            return Declined("no funds", retryable=True)
        if self.mood == "refuse":
            return Declined("stolen", retryable=False)
        if self.mood == "lose question":
            return Unknown("no answer")
        self.taken[charge.idempotency_key] = charge
        if self.mood == "lose answer":
            return Unknown("no answer")
        if self.mood == "die after":
            raise Gone
        return Approved(f"tx-{charge.idempotency_key}")

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        return Approved(key)


class SubscriptionMachine(Machine):
    """Two people, two plans, one processor, two schedulers."""

    @initialize()
    def begin(self) -> None:
        self.clock = FixedClock(T0)
        self.processor = Processor()
        self.subscriptions: dict[str, str] = {}
        self.until: dict[str, datetime | None] = {}
        self.given_back: Counter[str] = Counter()
        self.schedulers = [Scheduler(self.database, self.clock, self) for _ in range(2)]
        booked = SaleNotices(Recording(self.clock))
        self.notices = SubscriptionNotices(self.clock, Settling(self.database, self.clock), booked)
        self.run(self.prepare())

    async def charger(self, organisation_id: str, account_id: str) -> Charger | None:
        return self.processor

    async def prepare(self) -> None:
        self.plans = []
        async with self.database.transaction() as tx:
            version = await splits.add(tx, self.organisation_id, Rules(2000, 1900, 500, 0, True, False), "", T0)
            await splits.activate(tx, self.organisation_id, version, T0)
            for units in (1000, 1501):
                prices = (Price("", "EUR", units),)
                terms = Terms(1, f"tier-{units}", Interval(Unit.MONTH, 1), 7, 8, (1, 3, 5, 7), prices, None, T0)
                plan = Plan(new_id("pln"), self.organisation_id, "A plan", None, T0, [terms])
                await plans.add(tx, plan)
                self.plans.append(plan)

    @rule(name=NAMES, plan=st.integers(0, 1))
    def subscribe(self, name: str, plan: int) -> None:
        async def work() -> None:
            payer = Payer("stripe", "main", f"pm-{name}")
            wish = Wish(self.organisation_id, name, self.plans[plan].plan_id, "", "EUR", payer)
            async with self.database.transaction() as tx:
                made = await Beginnings(self.clock).begin(tx, wish)
            self.subscriptions[name] = made.subscription_id

        if name in self.subscriptions and self.run(self.look(name)).state is not State.EXPIRED:
            return
        self.run(work())

    async def look(self, name: str) -> Subscription:
        async with self.database.transaction() as tx:
            one = await store.find(tx, self.organisation_id, self.subscriptions[name])
        assert one is not None
        return one

    @precondition(lambda self: self.subscriptions)
    @rule(name=NAMES, wish=st.sampled_from(["cancel", "resume", "pause", "dearer", "cheaper"]))
    def wish(self, name: str, wish: str) -> None:
        async def work() -> None:
            now = self.clock.now()
            async with self.database.transaction() as tx:
                one = (await store.locked(tx, [self.subscriptions[name]]))[self.subscriptions[name]]
                if wish in {"dearer", "cheaper"}:
                    plan = self.plans[1 if wish == "dearer" else 0]
                    price = plan.newest.price("", "EUR")
                    assert price is not None
                    after, charge = begun(one, change(one, Deal.of(plan.plan_id, plan.newest, price), now))
                    await keep(tx, [Step(one, after, charge)], now)
                    return
                moved = (
                    one.paused() if wish == "pause" else one.cancelled(now) if wish == "cancel" else one.resumed(now)
                )
                await keep(tx, [Step(one, moved)], now)

        if name in self.subscriptions:
            with contextlib.suppress(Refusal):
                self.run(work())

    @rule(hours=st.sampled_from([-30, 1, 25, 24 * 7, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(timedelta(hours=hours))

    @rule(
        mood=st.sampled_from(
            ["approve", "approve", "decline", "refuse", "lose answer", "lose question", "die before", "die after"]
        )
    )
    def work(self, mood: str) -> None:
        async def both() -> None:
            outcomes = await self.together_even_dying(*(scheduler.once() for scheduler in self.schedulers))
            assert all(isinstance(outcome, int | Gone) for outcome in outcomes), outcomes

        self.processor.mood = mood
        self.run(both())

    async def together_even_dying(self, *works: Any) -> list[Any]:
        async def lived(work: Any) -> Any:
            try:
                return await work
            except Gone as gone:
                return gone

        return list(await asyncio.gather(*(lived(work) for work in works)))

    @precondition(lambda self: self.processor.taken)
    @rule(back=st.sampled_from([NoticeKind.REFUND, NoticeKind.CHARGEBACK]), which=st.integers(0, 99))
    def goes_back(self, back: NoticeKind, which: int) -> None:
        keys = sorted(self.processor.taken)
        reference = f"tx-{keys[which % len(keys)]}"

        async def work() -> None:
            notice = Notice(
                f"back-{reference}",
                back,
                self.clock.now(),
                transaction_reference=f"back-{reference}",
                original_reference=reference,
                amount=Amount(self.processor.taken[reference.removeprefix("tx-")].amount.minor_units, "EUR"),
            )
            async with self.database.transaction() as tx:
                handled = await self.notices.apply(tx, Told(self.organisation_id, "main", "stripe", notice))
            if type(handled).__name__ == "Applied":
                self.given_back[reference] = notice.amount.minor_units if notice.amount else 0

        if reference not in self.given_back:
            self.run(work())

    @invariant()
    def what_is_paid_is_booked_once(self) -> None:
        """Nobody pays for two periods that overlap, and what the books hold is what the processor took and told."""

        async def looked() -> None:
            async with self.database.transaction() as tx:
                rows = (await tx.execute(sa.text(_CHARGES), {"it": self.organisation_id})).all()
            told = {row.charge_id for row in rows if row.state == 3}
            assert told <= set(self.processor.taken)
            for earlier, row in itertools.pairwise(rows):
                if earlier.subscription_id == row.subscription_id and {earlier.state, row.state} == {3}:
                    assert earlier.period_end <= row.period_start, "two charges for one time"
            taken = sum(self.processor.taken[key].amount.minor_units for key in told)
            held = await self.held()
            receivable = -held.get(Account(AccountKind.PROCESSOR_RECEIVABLE, "stripe", "EUR"), 0)
            assert receivable == taken - sum(self.given_back.values())
            assert sum(held.values()) == 0

        self.run(looked())

    @invariant()
    def what_is_announced_is_what_is_so(self) -> None:
        async def heard() -> None:
            async with self.database.transaction() as tx:
                rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.position))).all()
                await tx.execute(sa.delete(outbox))
            for row in rows:
                if row.subject.endswith("EntitlementGranted"):
                    granted = events_pb2.EntitlementGranted.FromString(row.payload)
                    self.until[granted.entitlement_id] = granted.end_time.ToDatetime(tzinfo=UTC)
                if row.subject.endswith("EntitlementRevoked"):
                    self.until[events_pb2.EntitlementRevoked.FromString(row.payload).entitlement_id] = None
            for name in self.subscriptions:
                one = await self.look(name)
                until = self.until.get(one.entitlement_id)
                if one.entitled_until is not None:
                    assert until == one.entitled_until
                else:
                    assert until is None or until <= max(self.clock.now(), one.change_time) + timedelta(hours=30)

        self.run(heard())


_CHARGES = """
SELECT charge_id, subscription_id, state, period_start, period_end FROM charges
WHERE organisation_id = :it AND purpose = 1 AND state IN (1, 3) ORDER BY subscription_id, period_start, create_time"""


@pytest.mark.timeout(300)
async def test_nobody_is_charged_twice_whatever_happens(mesh: ProcessSettings) -> None:
    here = mesh.model_copy(update={"database_pool": 8})
    made = type("Here", (SubscriptionMachine,), {"here": here})
    await asyncio.to_thread(run_state_machine_as_test, made, settings=TRIED)
