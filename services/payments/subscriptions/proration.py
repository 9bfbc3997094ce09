"""What a change of plan costs, to the minor unit. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.kit.ids import new_id
from services.payments.splits.domain import shared_out
from services.payments.subscriptions import refusals as subscription_refusals
from services.payments.subscriptions.domain import State, Subscription
from services.payments.subscriptions.periods import Charge, Deal, Period, Purpose

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of plan does.

    Attributes:
        at_once: otherwise at the end of the period.
        credit: the part of the present price for which was not watched yet; 0 when it takes effect later.
        cost: what the new plan costs from now to the end of `period`; 0 when it takes effect later, or in a trial.
        period: what is paid after it.
    """

    deal: Deal
    at_once: bool
    effect_time: datetime
    credit: int
    cost: int
    period: Period

    @property
    def due_now(self) -> int:
        """What is charged for it."""
        return self.cost - self.credit


def change(subscription: Subscription, offered: Deal, now: datetime) -> Change:
    """What it means to change to what is offered, now.

    What costs more takes effect at once: with the same interval the rest of the period is paid at the new price, and otherwise a new period
    begins; the rest of the old price counts towards it. Everything else waits for the end of the period, so that nothing is ever paid out.

    Raises:
        Refusal: `SUBSCRIPTION_STATE_WRONG`, `CHARGE_PENDING` or `PROCESSOR_RENEWS`.
    """
    if subscription.payer.renews_by_itself:
        raise subscription_refusals.processor_renews(subscription.payer.processor)
    if subscription.open_charge_id:
        raise subscription_refusals.charge_pending()
    deal, period = subscription.deal, subscription.period
    if subscription.state is State.TRIALING:
        return Change(offered, at_once=True, effect_time=now, credit=0, cost=0, period=period)
    if subscription.state is not State.ACTIVE:
        raise subscription_refusals.subscription_state_wrong(
            subscription.state.name, "only of what is paid and goes on the plan can be changed; resume or pay it first"
        )
    if offered.plan_id == deal.plan_id or offered.price <= deal.price:
        return Change(offered, at_once=False, effect_time=period.end, credit=0, cost=0, period=period)
    credit = unused(deal.price, period, now)
    if offered.interval == deal.interval:
        return Change(offered, True, now, credit, unused(offered.price, period, now), period)
    return Change(offered, True, now, credit, offered.price, Period.first(now, offered.interval))


def unused(price: int, period: Period, now: datetime) -> int:
    """The part of a price for the rest of a period, by largest remainder: with the part for what has passed it is the whole price."""
    moment = min(max(now, period.start), period.end)
    return shared_out(price, [(moment - period.start) // _TICK, (period.end - moment) // _TICK])[1]


def begun(subscription: Subscription, wanted: Change) -> tuple[Subscription, Charge | None]:
    """The subscription with the change made, noted for the end of the period, or waiting for its charge."""
    if not wanted.at_once:
        following = "" if wanted.deal.plan_id == subscription.deal.plan_id else wanted.deal.plan_id
        return replace(subscription, next_plan_id=following, next_version=wanted.deal.version), None
    if not wanted.due_now:
        return replace(subscription, deal=wanted.deal, period=wanted.period, next_plan_id=""), None
    charge = Charge(new_id("chg"), Purpose.CHANGE, wanted.due_now, wanted.deal, wanted.period, 1)
    return replace(subscription, open_charge_id=charge.charge_id), charge
