"""Keeps what happens to subscriptions: their next states, the charges that follow, and the events; all in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.kit.database import Tx
from services.kit.events import Told, announce_all
from services.kit.ids import new_id
from services.kit.telemetry import correlation_id
from services.payments.plans import store as plans
from services.payments.plans.domain import Plan
from services.payments.sales.recording import Order
from services.payments.splits.domain import Price
from services.payments.subscriptions import charges, store
from services.payments.subscriptions import refusals as subscription_refusals
from services.payments.subscriptions.announcements import told
from services.payments.subscriptions.charges import KeptCharge
from services.payments.subscriptions.domain import Subscription
from services.payments.subscriptions.periods import Charge, Deal, Purpose
from services.payments.webhooks.handling import content_of

ANSWERED_WITHIN: Final = timedelta(minutes=2)
"""How long whoever asks the processor has it for themselves. After that it counts as dead, and others ask, by the same key."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a subscription, with the charge that is to be made.

    Attributes:
        before: as it is kept; None when it is new.
    """

    before: Subscription | None
    after: Subscription
    charge: Charge | None = None


async def begin(tx: Tx, subscription: Subscription, now: datetime) -> Subscription:
    """Keeps a new subscription.

    Raises:
        Refusal: FAILED_PRECONDITION `SUBSCRIPTION_EXISTS`.
    """
    if living := await store.living(tx, subscription.organisation_id, subscription.viewer_id):
        raise subscription_refusals.subscription_exists(living.subscription_id)
    await begin_all(tx, [subscription], now)
    return subscription


async def begin_all(tx: Tx, made: Sequence[Subscription], now: datetime) -> None:
    """Keeps new subscriptions, of viewers who have none."""
    await store.add_all(tx, made)
    await _tell(tx, [Step(None, one) for one in made], now)


async def keep(tx: Tx, steps: Sequence[Step], now: datetime, *, asked: bool = False) -> list[KeptCharge]:
    """Keeps the next states of subscriptions, which are locked, and their charges. Returns the charges.

    Args:
        tx: the transaction.
        steps: what becomes of each.
        now: the present moment.
        asked: whether the caller asks the processor once this is committed. Otherwise the scheduler does, at its next turn.
    """
    stamped = [replace(step, after=step.after.at(now)) for step in steps if step.after != step.before]
    made = [
        KeptCharge.new(step.after, step.charge, now, now + ANSWERED_WITHIN if asked else now)
        for step in steps
        if step.charge is not None
    ]
    await charges.add_all(tx, made)
    await store.put_all(tx, [step.after for step in stamped])
    await _tell(tx, stamped, now)
    return made


async def _tell(tx: Tx, steps: Iterable[Step], now: datetime) -> None:
    events = [event for step in steps for event in told(step.before, step.after, now)]
    await announce_all(tx, [Told(new_id("evt"), correlation_id(), event) for event in events])


def cancellation(subscription: Subscription) -> Charge | None:
    """What the processor is to be told when a subscription ends that it renews by itself; None where it renews none."""
    payer = subscription.payer
    if not payer.renews_by_itself or not payer.reference:
        return None
    return Charge(new_id("chg"), Purpose.CANCELLATION, 0, subscription.deal, subscription.period, 1)


def order(subscription: Subscription, reference: str, minor_units: int, sell_time: datetime) -> Order:
    """The sale of a period. It grants nothing by itself: the entitlement is the subscription's."""
    return Order(
        organisation_id=subscription.organisation_id,
        reference=reference,
        content=content_of("sale", subscription.payer.processor, reference),
        price=Price(minor_units, subscription.payer.processor),
        currency=subscription.currency,
        viewer_id=subscription.viewer_id,
        granted=None,
        sell_time=sell_time,
    )


class Offers:
    """What the next periods of subscriptions are sold by."""

    def __init__(self, found: dict[str, Plan]) -> None:
        self._plans = found

    @classmethod
    async def to(cls, tx: Tx, subscriptions: Iterable[Subscription]) -> Offers:
        """Those that some subscriptions have."""
        ids = {plan_id for one in subscriptions for plan_id in (one.deal.plan_id, one.next_plan_id) if plan_id}
        return cls(await plans.by_ids(tx, ids) if ids else {})

    def next(self, one: Subscription, now: datetime) -> Deal:
        """The deal of the next period: that of the plan that was chosen to follow, if it has a price, or the own plan's; at the terms
        that were agreed, or those to which subscribers were moved by then."""
        if one.next_plan_id:
            terms = self._plans[one.next_plan_id].moved(one.next_version, one.territory, one.currency, now)
            if (price := terms.price(one.territory, one.currency)) is not None:
                return Deal.of(one.next_plan_id, terms, price)
        terms = self._plans[one.deal.plan_id].moved(one.deal.version, one.territory, one.currency, now)
        if terms.version == one.deal.version:
            return one.deal
        price = terms.price(one.territory, one.currency)
        return one.deal if price is None else Deal.of(one.deal.plan_id, terms, price)
