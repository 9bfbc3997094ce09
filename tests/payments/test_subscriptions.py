"""Plans and subscriptions through the contract, with the stand-in processor, whose charges end in 02 when there are no funds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration
from reelmesh.payments.v1 import (
    entitlements_service_pb2,
    events_pb2,
    payments_pb2,
    plans_pb2,
    plans_service_pb2,
    plans_service_pb2_grpc,
    subscriptions_pb2,
    subscriptions_service_pb2,
    subscriptions_service_pb2_grpc,
    webhooks_service_pb2,
)

from services.kit.settings import ProcessSettings
from services.payments.__main__ import CONTRACTS
from tests.payments.scene import RECEIVABLE, Books, money, once, refused
from tests.payments.shop import ACCOUNT, Shop, a_shop
from tests.support.running import connected

State = events_pb2.SubscriptionState
if TYPE_CHECKING:
    Plans = plans_service_pb2_grpc.PlansServiceAsyncStub
    Subscriptions = subscriptions_service_pb2_grpc.SubscriptionsServiceAsyncStub
MONTH = plans_pb2.PERIOD_UNIT_MONTH


class Club:
    """A shop with plans."""

    def __init__(self, shop: Shop, channel: Any) -> None:
        self.shop = shop
        self.books: Books = shop.books
        self.plans: Plans = plans_service_pb2_grpc.PlansServiceStub(channel)
        self.subscriptions: Subscriptions = subscriptions_service_pb2_grpc.SubscriptionsServiceStub(channel)

    def terms(self, minor_units: int = 1000, **changes: Any) -> plans_pb2.PlanTerms:
        usual: dict[str, Any] = {
            "tier": "basic",
            "period_unit": MONTH,
            "period_count": 1,
            "grace_days": 8,
            "dunning_days": [1, 3, 5, 7],
            "prices": [plans_pb2.PlanPrice(amount=money(minor_units))],
        }
        return plans_pb2.PlanTerms(**(usual | changes))

    async def plan(self, minor_units: int = 1000, **changes: Any) -> plans_pb2.Plan:
        request = plans_service_pb2.CreatePlanRequest(
            request_id=once(), display_name="A plan", terms=self.terms(minor_units, **changes)
        )
        return (await self.plans.CreatePlan(request)).plan

    async def payment_method(self) -> str:
        """What the stand-in charges of somebody who bought something before."""
        checkout = await self.shop.bought()
        row = self.shop.stand_in._db.execute(
            "SELECT payment_method FROM transactions WHERE checkout_id = ?", (checkout.checkout_id,)
        ).fetchone()
        return str(row["payment_method"])

    async def subscribe(self, plan: plans_pb2.Plan, viewer_id: str = "bob", **changes: Any) -> Any:
        method = changes.pop("payment_method_reference", None) or await self.payment_method()
        usual = {
            "request_id": once(),
            "plan_id": plan.plan_id,
            "viewer_id": viewer_id,
            "currency": "EUR",
            "processor_account_id": ACCOUNT,
            "payment_method_reference": method,
        }
        request = subscriptions_service_pb2.CreateSubscriptionRequest(**(usual | changes))
        return (await self.subscriptions.CreateSubscription(request)).subscription

    async def becomes(
        self, subscription_id: str, state: str, *, pending: bool = False
    ) -> subscriptions_pb2.Subscription:
        """Waits until a subscription stands so; the test's own limit ends it."""
        request = subscriptions_service_pb2.GetSubscriptionRequest(subscription_id=subscription_id)
        wanted = State.Value(f"SUBSCRIPTION_STATE_{state}")
        while True:
            one = (await self.subscriptions.GetSubscription(request)).subscription
            if one.state == wanted and one.charge_pending == pending:
                return one
            await asyncio.sleep(0.02)

    async def call(self, name: str, subscription_id: str) -> subscriptions_pb2.Subscription:
        request = getattr(subscriptions_service_pb2, f"{name}SubscriptionRequest")(subscription_id=subscription_id)
        answer: Any = await getattr(self.subscriptions, f"{name}Subscription")(request)
        subscription: subscriptions_pb2.Subscription = answer.subscription
        return subscription

    async def entitlements(
        self, viewer_id: str = "", *, kind: int = 0, page_size: int = 200
    ) -> list[entitlements_service_pb2.Entitlement]:
        """All that somebody may watch, or everybody, read page by page."""
        request = entitlements_service_pb2.ListEntitlementsRequest(viewer_id=viewer_id, page_size=page_size)
        found: list[entitlements_service_pb2.Entitlement] = []
        while True:
            page = await self.books.entitlements.ListEntitlements(request)
            found.extend(one for one in page.entitlements if not kind or one.kind == kind)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def change(self, subscription_id: str, plan: plans_pb2.Plan) -> Any:
        request = subscriptions_service_pb2.ChangePlanRequest(
            request_id=once(), subscription_id=subscription_id, plan_id=plan.plan_id
        )
        return await self.subscriptions.ChangePlan(request)


@pytest.fixture
async def club(mesh: ProcessSettings, tmp_path: Path) -> AsyncIterator[Club]:
    async with a_shop(mesh, tmp_path) as shop, connected(mesh, "payments", *CONTRACTS) as channel:
        yield Club(shop, channel)


async def test_a_subscription_is_charged_renewed_changed_and_ended(club: Club) -> None:
    basic, premium = await club.plan(1000), await club.plan(1500, tier="premium")
    begun = await club.subscribe(basic)
    assert begun.state == events_pb2.SUBSCRIPTION_STATE_PAST_DUE, "until its first charge"
    paid = await club.becomes(begun.subscription_id, "ACTIVE")
    told = await club.books.bus.hears(events_pb2.EntitlementGranted, count=2)
    assert (told.kind, told.entitlement_id) == (events_pb2.ENTITLEMENT_KIND_SUBSCRIPTION, paid.entitlement_id)
    assert told.end_time == paid.entitled_until_time
    assert (await club.books.balances())[RECEIVABLE, "stand_in", "EUR"] == 499 + 1000
    (shown,) = await club.entitlements("bob", kind=events_pb2.ENTITLEMENT_KIND_SUBSCRIPTION)
    assert (shown.subscription_id, shown.end_time) == (paid.subscription_id, paid.entitled_until_time)
    assert shown.state == entitlements_service_pb2.ENTITLEMENT_STATE_ACTIVE
    with refused("ENTITLEMENT_OF_SUBSCRIPTION"):
        await club.books.entitlements.RevokeEntitlement(
            entitlements_service_pb2.RevokeEntitlementRequest(entitlement_id=paid.entitlement_id)
        )
    with refused("SUBSCRIPTION_EXISTS"):
        await club.subscribe(premium, payment_method_reference="pm_x")

    preview = (
        await club.subscriptions.GetPlanChange(
            subscriptions_service_pb2.GetPlanChangeRequest(
                subscription_id=paid.subscription_id, plan_id=premium.plan_id
            )
        )
    ).change
    assert (preview.credit, preview.cost, preview.due_now) == (money(1000), money(1500), money(500))
    changing = await club.change(paid.subscription_id, premium)
    assert changing.subscription.charge_pending
    dearer = await club.becomes(paid.subscription_id, "ACTIVE")
    assert (dearer.tier, dearer.price, dearer.period_end_time) == ("premium", money(1500), paid.period_end_time)

    club.books.clock.advance(timedelta(days=31))
    while (renewed := await club.becomes(paid.subscription_id, "ACTIVE")).period_end_time == paid.period_end_time:
        await asyncio.sleep(0.02)
    await club.shop.carry()  # the stand-in tells of its charges too, and nothing is sold twice by that
    await club.shop.settled()
    assert (await club.books.balances())[RECEIVABLE, "stand_in", "EUR"] == 499 + 1000 + 500 + 1500

    ending = await club.call("Cancel", paid.subscription_id)
    assert ending.state == events_pb2.SUBSCRIPTION_STATE_CANCELLING
    assert ending.entitled_until_time == renewed.period_end_time
    assert (await club.call("Resume", paid.subscription_id)).state == events_pb2.SUBSCRIPTION_STATE_ACTIVE
    assert (await club.call("Pause", paid.subscription_id)).state == events_pb2.SUBSCRIPTION_STATE_PAUSED
    await club.call("Cancel", paid.subscription_id)
    club.books.clock.advance(timedelta(days=31))
    over = await club.becomes(paid.subscription_id, "EXPIRED")
    assert over.end_reason == events_pb2.SUBSCRIPTION_END_REASON_CANCELLED
    while (last := club.books.bus.heard(events_pb2.SubscriptionChanged)[-1]).state != over.state:
        await asyncio.sleep(0.02)
    assert last.tier == ""
    await club.books.in_order()


async def test_who_pays_on_the_page_subscribes(club: Club) -> None:
    plan = await club.plan(1000, trial_days=14)
    request = subscriptions_service_pb2.CreateSubscriptionCheckoutRequest(
        request_id=once(), plan_id=plan.plan_id, currency="EUR", viewer_id="bob"
    )
    opened = await club.subscriptions.CreateSubscriptionCheckout(request)
    assert (await club.subscriptions.CreateSubscriptionCheckout(request)) == opened
    assert "10.00 EUR" in (await club.shop.pages.get(opened.page.url)).text
    await club.shop.press(opened.page.url, "approve")
    await club.shop.carry()
    listed = subscriptions_service_pb2.ListSubscriptionsRequest(viewer_id="bob")
    while not (found := (await club.subscriptions.ListSubscriptions(listed)).subscriptions):
        await asyncio.sleep(0.02)
    assert found[0].state == events_pb2.SUBSCRIPTION_STATE_ACTIVE
    with refused("SUBSCRIPTION_EXISTS"):
        request.request_id = once()
        await club.subscriptions.CreateSubscriptionCheckout(request)
    club.books.clock.advance(timedelta(days=31))
    while (renewed := await club.becomes(found[0].subscription_id, "ACTIVE")).period_end_time == found[
        0
    ].period_end_time:
        await asyncio.sleep(0.02)
    await club.shop.carry()
    assert all(event.state == webhooks_service_pb2.WEBHOOK_EVENT_STATE_DONE for event in await club.shop.settled())
    assert (await club.books.balances())[RECEIVABLE, "stand_in", "EUR"] == 2000
    assert renewed.price == money(1000)


async def test_a_refund_of_the_running_period_ends_it_within_moments(club: Club) -> None:
    begun = await club.subscribe(await club.plan())
    await club.becomes(begun.subscription_id, "ACTIVE")
    sold = await club.books.bus.hears(events_pb2.SaleRecorded, count=2)
    sale = payments_pb2.Sale(sale_id=sold.sale_id, gross=money(sold.gross_minor_units))
    await club.books.refund(sale)
    over = await club.becomes(begun.subscription_id, "EXPIRED")
    assert over.end_reason == events_pb2.SUBSCRIPTION_END_REASON_REFUNDED
    revoked = await club.books.bus.hears(events_pb2.EntitlementRevoked)
    assert revoked.entitlement_id == begun.entitlement_id
    wanted = entitlements_service_pb2.GetEntitlementRequest(entitlement_id=begun.entitlement_id)
    ended = (await club.books.entitlements.GetEntitlement(wanted)).entitlement
    assert ended.state == entitlements_service_pb2.ENTITLEMENT_STATE_ENDED


async def test_entitlements_of_subscriptions_are_listed_among_the_others(club: Club) -> None:
    plan = await club.plan(trial_days=14)
    for number in range(3):
        await club.books.entitlements.GrantEntitlement(
            entitlements_service_pb2.GrantEntitlementRequest(
                request_id=once(), viewer_id="bob", grant=payments_pb2.Grant(kind=events_pb2.ENTITLEMENT_KIND_GIFT)
            )
        )
        await club.subscribe(plan, f"viewer-{number}", payment_method_reference=f"pm_{number}")
    whole = await club.entitlements()
    ids = [one.entitlement_id for one in whole]
    assert ids == sorted(ids, reverse=True)
    assert sum(bool(one.subscription_id) for one in whole) == 3
    assert await club.entitlements(page_size=2) == whole, "page by page they are the same"


async def test_declined_and_lost_charges_are_tried_again_and_taken_once(club: Club) -> None:
    plan = await club.plan(1000, trial_days=14)
    begun = await club.subscribe(plan)
    assert begun.state == events_pb2.SUBSCRIPTION_STATE_TRIALING
    club.shop.line.cut = "answer"
    club.books.clock.advance(timedelta(days=14))
    await club.becomes(begun.subscription_id, "TRIALING", pending=True)
    club.shop.line.cut = ""
    club.books.clock.advance(timedelta(hours=2))
    await club.becomes(begun.subscription_id, "ACTIVE")
    charged = club.shop.stand_in._db.execute("SELECT count(*) FROM transactions WHERE kind = 'charge'").fetchone()[0]
    assert charged == 1
    await club.books.in_order()


async def test_prices_change_for_new_subscribers_at_once_and_for_others_with_notice(club: Club) -> None:
    plan = await club.plan(1000)
    update = plans_service_pb2.UpdatePlanRequest(
        request_id=once(), plan_id=plan.plan_id, terms=club.terms(1200), notice=Duration(seconds=30 * 86400)
    )
    begun = await club.subscribe(plan)
    paid = await club.becomes(begun.subscription_id, "ACTIVE")
    changed = (await club.plans.UpdatePlan(update)).plan
    assert (changed.terms.version, changed.terms.prices[0].amount) == (2, money(1200))
    assert (await club.plans.UpdatePlan(update)).plan == changed
    assert (await club.books.bus.hears(events_pb2.PlanChanged, count=2)).HasField("move_time")
    club.books.clock.advance(timedelta(days=31))
    while (renewed := await club.becomes(begun.subscription_id, "ACTIVE")).period_end_time == paid.period_end_time:
        await asyncio.sleep(0.02)
    assert (renewed.price, renewed.plan_version) == (money(1200), 2)


async def test_retired_plans_and_what_is_not_offered_are_refused(club: Club) -> None:
    plan = await club.plan()
    with refused("PRICE_NOT_OFFERED"):
        await club.subscribe(plan, currency="USD", payment_method_reference="pm_x")
    with refused("PROCESSOR_ACCOUNT_NOT_FOUND"):
        await club.subscribe(plan, processor_account_id="other", payment_method_reference="pm_x")
    retire = plans_service_pb2.RetirePlanRequest(plan_id=plan.plan_id)
    retired = (await club.plans.RetirePlan(retire)).plan
    assert retired.HasField("retire_time")
    assert (await club.plans.RetirePlan(retire)).plan == retired
    with refused("PLAN_RETIRED"):
        await club.subscribe(plan, payment_method_reference="pm_x")
    listed = plans_service_pb2.ListPlansRequest()
    assert not (await club.plans.ListPlans(listed)).plans
    assert (await club.plans.ListPlans(plans_service_pb2.ListPlansRequest(retired=True))).plans == [retired]
    with refused("PLAN_TERMS_INVALID"):
        await club.plan(dunning_days=[3, 1])
    with refused("PLAN_NOT_FOUND"):
        await club.plans.GetPlan(plans_service_pb2.GetPlanRequest(plan_id=begun_nowhere("pln")))
    with refused("SUBSCRIPTION_NOT_FOUND"):
        await club.call("Cancel", begun_nowhere("sub"))


def begun_nowhere(prefix: str) -> str:
    """An id of which nobody knows."""
    return f"{prefix}_00000000000000000000000000"
