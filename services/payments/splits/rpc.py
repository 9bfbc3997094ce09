"""The split rules contract."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.payments.v1 import events_pb2, payments_pb2, split_rules_service_pb2_grpc
from reelmesh.payments.v1 import split_rules_service_pb2 as api

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.splits import store
from services.payments.splits.domain import KeptRules, Rules

Context = grpc.aio.ServicerContext[Any, Any]


class SplitRulesRpc(split_rules_service_pb2_grpc.SplitRulesServiceServicer):
    """Keeps the caller's organisation's rules."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def CreateSplitRules(
        self, request: api.CreateSplitRulesRequest, context: Context
    ) -> api.CreateSplitRulesResponse:
        """Makes rules that divide nothing yet."""
        organisation_id, wanted = current_call().organisation_id, request.rules
        rules = Rules(
            platform=wanted.platform_basis_points,
            tax=wanted.tax_basis_points,
            fee=wanted.fee_basis_points,
            reserve=wanted.reserve_basis_points,
            fee_kept_on_refund=wanted.fee_kept_on_refund,
            chargeback_fee_on_creators=wanted.chargeback_fee_on_creators,
        )
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateSplitRulesResponse):
                return earlier
            version = await store.add(tx, organisation_id, rules, wanted.comment, self._clock.now())
            answer = api.CreateSplitRulesResponse(rules=await _shown(tx, organisation_id, version))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def ActivateSplitRules(
        self, request: api.ActivateSplitRulesRequest, context: Context
    ) -> api.ActivateSplitRulesResponse:
        """Divides by other rules from now on."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            await _shown(tx, organisation_id, request.version)
            if await store.activate(tx, organisation_id, request.version, now):
                await announce(
                    tx,
                    events_pb2.SplitRulesActivated(
                        organisation_id=organisation_id, version=request.version, activate_time=timestamp(now)
                    ),
                )
            return api.ActivateSplitRulesResponse(rules=await _shown(tx, organisation_id, request.version))

    async def GetSplitRules(self, request: api.GetSplitRulesRequest, context: Context) -> api.GetSplitRulesResponse:
        """One set of rules."""
        async with self._database.transaction() as tx:
            return api.GetSplitRulesResponse(rules=await _shown(tx, current_call().organisation_id, request.version))

    async def ListSplitRules(self, request: api.ListSplitRulesRequest, context: Context) -> api.ListSplitRulesResponse:
        """The organisation's rules, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListSplitRulesResponse(
            rules=[_resource(rules) for rules in shown],
            next_page_token=part.next_token(str(shown[-1].version)) if len(found) > part.size else "",
        )


async def _shown(tx: Tx, organisation_id: str, version: int) -> payments_pb2.SplitRules:
    found = await store.find(tx, organisation_id, version)
    if found is None:
        raise refusals.split_rules_not_found(version) if version else refusals.split_rules_missing()
    return _resource(found)


def _resource(kept: KeptRules) -> payments_pb2.SplitRules:
    return payments_pb2.SplitRules(
        version=kept.version,
        platform_basis_points=kept.rules.platform,
        tax_basis_points=kept.rules.tax,
        fee_basis_points=kept.rules.fee,
        reserve_basis_points=kept.rules.reserve,
        fee_kept_on_refund=kept.rules.fee_kept_on_refund,
        chargeback_fee_on_creators=kept.rules.chargeback_fee_on_creators,
        comment=kept.comment,
        active=kept.active,
        create_time=timestamp(kept.create_time),
        activate_time=timestamp(kept.activate_time),
    )
