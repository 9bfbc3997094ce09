"""The subscriptions contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import grpc
from reelmesh.payments.v1 import checkouts_service_pb2, subscriptions_pb2, subscriptions_service_pb2_grpc
from reelmesh.payments.v1 import subscriptions_service_pb2 as api

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.plans import refusals as plan_refusals
from services.payments.plans import store as plans
from services.payments.subscriptions import checkouts, messages, store
from services.payments.subscriptions import refusals as subscription_refusals
from services.payments.subscriptions.beginning import Beginnings, Wish
from services.payments.subscriptions.checkouts import Asked
from services.payments.subscriptions.domain import Payer, Subscription
from services.payments.subscriptions.keeping import Step, cancellation, keep
from services.payments.subscriptions.periods import Charge, Deal
from services.payments.subscriptions.proration import Change, begun, change

Context = grpc.aio.ServicerContext[Any, Any]


class Payers(Protocol):
    """Finds out by whom somebody can pay."""

    async def payer(self, tx: Tx, organisation_id: str, account_id: str) -> Payer:
        """A payer by an organisation's account with a processor, without a payment method yet.

        Raises:
            Refusal: NOT_FOUND `PROCESSOR_ACCOUNT_NOT_FOUND`.
        """
        ...


class SubscriptionsRpc(subscriptions_service_pb2_grpc.SubscriptionsServiceServicer):
    """Keeps subscriptions to plans of the caller's organisation."""

    def __init__(self, database: Database, clock: Clock, payers: Payers, opening: checkouts.Opening) -> None:
        self._database = database
        self._clock = clock
        self._payers = payers
        self._opening = opening
        self._beginnings = Beginnings(clock)

    async def CreateSubscriptionCheckout(
        self, request: api.CreateSubscriptionCheckoutRequest, context: Context
    ) -> api.CreateSubscriptionCheckoutResponse:
        """Opens a page for the first period. What is remembered of the answer has no page in it, which a repeat gets anew for its checkout."""
        organisation_id = current_call().organisation_id
        asked = Asked(
            organisation_id,
            _viewer(request.viewer_id),
            request.plan_id,
            request.territory,
            request.currency,
            request.processor_account_id,
        )
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, organisation_id, request, api.CreateSubscriptionCheckoutResponse)
            known = await checkouts.find(tx, organisation_id, earlier.checkout_id) if earlier else None
            if known is None:
                known = await self._opening.begun(tx, asked)
                answer = api.CreateSubscriptionCheckoutResponse(checkout_id=known.checkout_id)
                await remember(tx, organisation_id, request, answer)
            wanted = await self._opening.page(tx, known, request.return_path)
        page = await self._opening.opened(*wanted)
        return api.CreateSubscriptionCheckoutResponse(
            checkout_id=known.checkout_id,
            page=checkouts_service_pb2.PaymentPage(url=page.url, posted=page.method == "POST", fields=page.fields),
        )

    async def CreateSubscription(
        self, request: api.CreateSubscriptionRequest, context: Context
    ) -> api.CreateSubscriptionResponse:
        """Begins a subscription."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateSubscriptionResponse):
                return earlier
            found = await self._payers.payer(tx, organisation_id, request.processor_account_id)
            if found.renews_by_itself:
                raise subscription_refusals.processor_renews(found.processor)
            payer = Payer(found.processor, found.account_id, request.payment_method_reference)
            wish = Wish(organisation_id, request.viewer_id, request.plan_id, request.territory, request.currency, payer)
            made = await self._beginnings.begin(tx, wish)
            answer = api.CreateSubscriptionResponse(subscription=messages.resource(made))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def GetSubscription(
        self, request: api.GetSubscriptionRequest, context: Context
    ) -> api.GetSubscriptionResponse:
        """One subscription."""
        async with self._database.transaction() as tx:
            one = await _reached(tx, request.subscription_id, "payments.read")
            return api.GetSubscriptionResponse(subscription=messages.resource(one))

    async def ListSubscriptions(
        self, request: api.ListSubscriptionsRequest, context: Context
    ) -> api.ListSubscriptionsResponse:
        """The caller's subscriptions, or the organisation's, newest first."""
        part, viewer_id = page_of(request), request.viewer_id
        if not _may("payments.read"):
            own = _own()
            if not own or viewer_id not in {"", own}:
                return api.ListSubscriptionsResponse()
            viewer_id = own
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, viewer_id, part)
        shown = found[: part.size]
        return api.ListSubscriptionsResponse(
            subscriptions=[messages.resource(one) for one in shown],
            next_page_token=part.next_token(shown[-1].subscription_id) if len(found) > part.size else "",
        )

    async def GetPlanChange(self, request: api.GetPlanChangeRequest, context: Context) -> api.GetPlanChangeResponse:
        """What a change of plan would do now."""
        async with self._database.transaction() as tx:
            one = await _reached(tx, request.subscription_id, "payments.read")
            wanted = await self._change(tx, one, request.plan_id)
            return api.GetPlanChangeResponse(change=messages.change(wanted, one.currency))

    async def ChangePlan(self, request: api.ChangePlanRequest, context: Context) -> api.ChangePlanResponse:
        """Changes the plan, at once or at the end of the period."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.ChangePlanResponse):
                await _reached(tx, request.subscription_id, "payments.manage")
                return earlier
            one = await _reached(tx, request.subscription_id, "payments.manage", for_update=True)
            wanted = await self._change(tx, one, request.plan_id)
            after, charge = begun(one, wanted)
            await keep(tx, [Step(one, after, charge)], self._clock.now())
            answer = api.ChangePlanResponse(
                subscription=messages.resource(after), change=messages.change(wanted, one.currency)
            )
            await remember(tx, organisation_id, request, answer)
            return answer

    async def CancelSubscription(
        self, request: api.CancelSubscriptionRequest, context: Context
    ) -> api.CancelSubscriptionResponse:
        """Ends a subscription with what is paid."""
        now = self._clock.now()
        return api.CancelSubscriptionResponse(
            subscription=await self._changed(
                request.subscription_id, lambda one: (one.cancelled(now), cancellation(one))
            )
        )

    async def ResumeSubscription(
        self, request: api.ResumeSubscriptionRequest, context: Context
    ) -> api.ResumeSubscriptionResponse:
        """Lets a subscription be renewed again."""
        now = self._clock.now()
        return api.ResumeSubscriptionResponse(
            subscription=await self._changed(request.subscription_id, lambda one: (one.resumed(now), None))
        )

    async def PauseSubscription(
        self, request: api.PauseSubscriptionRequest, context: Context
    ) -> api.PauseSubscriptionResponse:
        """Lets a subscription rest."""
        return api.PauseSubscriptionResponse(
            subscription=await self._changed(request.subscription_id, lambda one: (one.paused(), None))
        )

    async def _changed(
        self, subscription_id: str, next_state: Callable[[Subscription], tuple[Subscription, Charge | None]]
    ) -> subscriptions_pb2.Subscription:
        async with self._database.transaction() as tx:
            one = await _reached(tx, subscription_id, "payments.manage", for_update=True)
            after, charge = next_state(one)
            if after != one:
                await keep(tx, [Step(one, after, charge)], self._clock.now())
            return messages.resource(after)

    async def _change(self, tx: Tx, one: Subscription, plan_id: str) -> Change:
        plan = await plans.find(tx, one.organisation_id, plan_id)
        if plan is None:
            raise plan_refusals.plan_not_found(plan_id)
        if plan_id == one.deal.plan_id:
            return change(one, one.deal, self._clock.now())
        if plan.retire_time is not None:
            raise plan_refusals.plan_retired(plan_id)
        price = plan.newest.price(one.territory, one.currency)
        if price is None:
            raise plan_refusals.price_not_offered(one.territory, one.currency)
        return change(one, Deal.of(plan_id, plan.newest, price), self._clock.now())


async def _reached(tx: Tx, subscription_id: str, permission: str, *, for_update: bool = False) -> Subscription:
    """A subscription that is the caller's own, or that they may reach by a permission. Others are as if they were not there."""
    one = await store.find(tx, current_call().organisation_id, subscription_id, for_update=for_update)
    if one is None or not (_may(permission) or one.viewer_id == _own()):
        raise subscription_refusals.subscription_not_found(subscription_id)
    return one


def _viewer(named: str) -> str:
    """Who subscribes: a person for themselves, a server for whomever it names."""
    own = _own()
    if own:
        if named not in {"", own}:
            raise refusals.not_your_own(named)
        return own
    if not named:
        raise refusals.grant_invalid("viewer_id", "say who subscribes; an API key is nobody who watches")
    return named


def _may(permission: str) -> bool:
    principal = current_call().principal
    return principal is not None and principal.may(permission)


def _own() -> str:
    """The account of the calling person, by which viewers are named; empty when it is none."""
    principal = current_call().principal
    return principal.account_id if principal else ""
