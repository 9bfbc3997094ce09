"""How a subscription comes to be: after a checkout, or with a payment method that a processor keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from reelmesh.payments.v1.events_pb2 import ENTITLEMENT_KIND_SUBSCRIPTION

from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.ids import new_id
from services.payments.plans import refusals as plan_refusals
from services.payments.plans import store as plans
from services.payments.sales.many import sell_many
from services.payments.subscriptions import charges, keeping, store
from services.payments.subscriptions.charges import KeptCharge, Stage
from services.payments.subscriptions.domain import Beginning, Payer, Subscription
from services.payments.subscriptions.periods import Charge, Deal, Purpose


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to subscribe to.

    Attributes:
        territory: to find the price; empty for that of anywhere.
        payer: who pays, and by what.
    """

    organisation_id: str
    viewer_id: str
    plan_id: str
    territory: str
    currency: str
    payer: Payer


@dataclass(frozen=True, slots=True)
class Paid:
    """What was paid for the first period already, at a checkout.

    Attributes:
        reference: the processor's own id of the transaction.
    """

    reference: str
    minor_units: int
    pay_time: datetime


class Beginnings:
    """Begins subscriptions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def begin(self, tx: Tx, wish: Wish, paid: Paid | None = None) -> Subscription:
        """Begins a subscription, in the caller's transaction: with the period that was paid; or with the plan's trial, of which everybody has one;
        or with a first charge, which falls due at once.

        What was paid is booked and given whatever the plan has become meanwhile.

        Raises:
            Refusal: `PLAN_NOT_FOUND`, `PLAN_RETIRED`, `PRICE_NOT_OFFERED`, `SUBSCRIPTION_EXISTS`, or what is wrong with the sale.
        """
        now = self._clock.now()
        plan = await plans.find(tx, wish.organisation_id, wish.plan_id)
        if plan is None:
            raise plan_refusals.plan_not_found(wish.plan_id)
        if plan.retire_time is not None and paid is None:
            raise plan_refusals.plan_retired(wish.plan_id)
        terms = plan.newest
        price = terms.price(wish.territory, wish.currency)
        if price is None and paid is None:
            raise plan_refusals.price_not_offered(wish.territory, wish.currency)
        deal = Deal.of(plan.plan_id, terms, price if price is not None else paid.minor_units if paid else 0)
        beginning = Beginning(wish.organisation_id, wish.viewer_id, wish.territory, wish.currency, wish.payer, deal)
        if paid is not None:
            return await self._paid(tx, beginning.paid(paid.pay_time), paid, now)
        if terms.trial_days and not await store.tried(tx, wish.organisation_id, wish.viewer_id):
            return await keeping.begin(tx, beginning.tried(now, terms.trial_days), now)
        return await keeping.begin(tx, beginning.unpaid(now), now)

    async def _paid(self, tx: Tx, one: Subscription, paid: Paid, now: datetime) -> Subscription:
        await keeping.begin(tx, one, now)
        sale = (
            await sell_many(
                tx,
                [keeping.order(one, paid.reference, paid.minor_units, paid.pay_time)],
                ENTITLEMENT_KIND_SUBSCRIPTION,
                now,
            )
        )[0]
        charge = Charge(new_id("chg"), Purpose.NOTICED, paid.minor_units, one.deal, one.period, 1)
        made = KeptCharge.new(one, charge, now, now)
        done = replace(made, stage=Stage.DONE, reference=paid.reference, ask_time=None, outcome_time=now)
        await charges.add_all(tx, [replace(done, sale_id=sale.sale_id)])
        return one
