"""The plans contract."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
from reelmesh.payments.v1 import events_pb2, payments_pb2, plans_pb2, plans_service_pb2_grpc
from reelmesh.payments.v1 import plans_service_pb2 as api

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments.plans import refusals as plan_refusals
from services.payments.plans import store
from services.payments.plans.calendar import Interval, Unit
from services.payments.plans.domain import Plan, Price, Terms

Context = grpc.aio.ServicerContext[Any, Any]


class PlansRpc(plans_service_pb2_grpc.PlansServiceServicer):
    """Keeps the plans of the caller's organisation."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def CreatePlan(self, request: api.CreatePlanRequest, context: Context) -> api.CreatePlanResponse:
        """Makes a plan."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        terms = _terms(request.terms, 1, None, now)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreatePlanResponse):
                return earlier
            plan = Plan(new_id("pln"), organisation_id, request.display_name, None, now, [terms])
            await store.add(tx, plan)
            await _announced(tx, plan, now)
            answer = api.CreatePlanResponse(plan=_resource(plan))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def UpdatePlan(self, request: api.UpdatePlanRequest, context: Context) -> api.UpdatePlanResponse:
        """Gives a plan new terms, and announces from when on subscribers are moved to them."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.UpdatePlanResponse):
                return earlier
            plan = await _found(tx, request.plan_id, for_update=True)
            move_time = now + request.notice.ToTimedelta() if request.HasField("notice") else None
            terms = _terms(request.terms, plan.newest.version + 1, move_time, now)
            await store.add_terms(tx, plan.plan_id, terms)
            plan = replace(plan, terms=[*plan.terms, terms])
            await _announced(tx, plan, now)
            answer = api.UpdatePlanResponse(plan=_resource(plan))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def RetirePlan(self, request: api.RetirePlanRequest, context: Context) -> api.RetirePlanResponse:
        """Stops offering a plan."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            plan = await _found(tx, request.plan_id, for_update=True)
            if plan.retire_time is None:
                plan = replace(plan, retire_time=now)
                await store.retire(tx, plan.plan_id, now)
                await _announced(tx, plan, now)
            return api.RetirePlanResponse(plan=_resource(plan))

    async def GetPlan(self, request: api.GetPlanRequest, context: Context) -> api.GetPlanResponse:
        """One plan."""
        async with self._database.transaction() as tx:
            return api.GetPlanResponse(plan=_resource(await _found(tx, request.plan_id)))

    async def ListPlans(self, request: api.ListPlansRequest, context: Context) -> api.ListPlansResponse:
        """The organisation's plans, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part, retired=request.retired)
        shown = found[: part.size]
        return api.ListPlansResponse(
            plans=[_resource(plan) for plan in shown],
            next_page_token=part.next_token(shown[-1].plan_id) if len(found) > part.size else "",
        )


async def _found(tx: Tx, plan_id: str, *, for_update: bool = False) -> Plan:
    plan = await store.find(tx, current_call().organisation_id, plan_id, for_update=for_update)
    if plan is None:
        raise plan_refusals.plan_not_found(plan_id)
    return plan


async def _announced(tx: Tx, plan: Plan, now: datetime) -> None:
    await announce(
        tx,
        events_pb2.PlanChanged(
            plan_id=plan.plan_id,
            organisation_id=plan.organisation_id,
            version=plan.newest.version,
            move_time=timestamp(plan.newest.move_time),
            retired=plan.retire_time is not None,
            change_time=timestamp(now),
        ),
    )


def _terms(message: plans_pb2.PlanTerms, version: int, move_time: datetime | None, now: datetime) -> Terms:
    return Terms(
        version=version,
        tier=message.tier,
        interval=Interval(Unit(message.period_unit), message.period_count),
        trial_days=message.trial_days,
        grace_days=message.grace_days,
        dunning_days=tuple(message.dunning_days),
        prices=tuple(_prices(message.prices)),
        move_time=move_time,
        create_time=now,
    ).checked()


def _prices(messages: Iterable[plans_pb2.PlanPrice]) -> Iterable[Price]:
    for message in messages:
        yield Price(message.territory, message.amount.currency, message.amount.minor_units)


def _resource(plan: Plan) -> plans_pb2.Plan:
    terms = plan.newest
    return plans_pb2.Plan(
        plan_id=plan.plan_id,
        organisation_id=plan.organisation_id,
        display_name=plan.display_name,
        terms=plans_pb2.PlanTerms(
            version=terms.version,
            tier=terms.tier,
            period_unit=plans_pb2.PeriodUnit.ValueType(terms.interval.unit),
            period_count=terms.interval.count,
            trial_days=terms.trial_days,
            grace_days=terms.grace_days,
            dunning_days=terms.dunning_days,
            prices=[
                plans_pb2.PlanPrice(
                    territory=price.territory,
                    amount=payments_pb2.Money(minor_units=price.minor_units, currency=price.currency),
                )
                for price in terms.prices
            ],
            move_time=timestamp(terms.move_time),
            create_time=timestamp(terms.create_time),
        ),
        retire_time=timestamp(plan.retire_time),
        create_time=timestamp(plan.create_time),
    )
