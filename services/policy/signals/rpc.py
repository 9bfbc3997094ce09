"""SignalsService: the contract, put in terms of the store."""

from __future__ import annotations

from typing import Any, Final

import grpc
from reelmesh.policy.v1 import signals_service_pb2 as api
from reelmesh.policy.v1 import signals_service_pb2_grpc

from services.kit import events
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.policy.decision.gathering import Gathering
from services.policy.decision.rules import RuleKind
from services.policy.follower import Follower
from services.policy.signals import store
from services.policy.signals.announcements import clearing
from services.policy.signals.messages import risk_message, signal_message
from services.policy.signals.watching import Watch

Context = grpc.aio.ServicerContext[Any, Any]

_MOST_SHOWN: Final = 50


class SignalsServicer(signals_service_pb2_grpc.SignalsServiceServicer):
    """Serves `reelmesh.policy.v1.SignalsService`."""

    def __init__(
        self, database: Database, clock: Clock, gathering: Gathering, watch: Watch, follower: Follower
    ) -> None:
        self._database = database
        self._clock = clock
        self._gathering = gathering
        self._watch = watch
        self._follower = follower

    async def ListSignals(self, request: api.ListSignalsRequest, context: Context) -> api.ListSignalsResponse:
        """The organisation's signals, newest first."""
        _storable("viewer_id", request.viewer_id)
        organisation_id, part = current_call().organisation_id, page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(
                tx, organisation_id, part, viewer_id=request.viewer_id, session_id=request.session_id
            )
        shown = found[: part.size]
        return api.ListSignalsResponse(
            signals=[signal_message(signal) for signal in shown],
            next_page_token=part.next_token(shown[-1].signal_id) if len(found) > part.size else "",
        )

    async def GetViewerRisk(self, request: api.GetViewerRiskRequest, context: Context) -> api.GetViewerRiskResponse:
        """The score of a viewer."""
        _storable("viewer_id", request.viewer_id)
        async with self._database.transaction() as tx:
            risk = await self._risk(tx, current_call().organisation_id, request.viewer_id)
        return api.GetViewerRiskResponse(risk=risk)

    async def ClearViewerRisk(
        self, request: api.ClearViewerRiskRequest, context: Context
    ) -> api.ClearViewerRiskResponse:
        """Sets the score of a viewer back."""
        _storable("viewer_id", request.viewer_id)
        _storable("comment", request.comment)
        call, now = current_call(), self._clock.now()
        async with self._database.transaction() as tx:
            before = await store.locked_risk(tx, call.organisation_id, request.viewer_id)
            if before is not None and before.score > 0:
                after = before.cleared(now)
                await store.put_risk(tx, after)
                await store.clear(tx, call.organisation_id, request.viewer_id, now)
                actor = call.principal.name if call.principal else ""
                await events.announce(tx, clearing(after, actor, request.comment, now))
            risk = await self._risk(tx, call.organisation_id, request.viewer_id)
        self._watch.forget(call.organisation_id, request.viewer_id)
        await self._follower.catch_up()
        return api.ClearViewerRiskResponse(risk=risk)

    async def _risk(self, tx: Tx, organisation_id: str, viewer_id: str) -> api.ViewerRisk:
        rules = await self._gathering.rules(tx, organisation_id)
        risk = await store.risk_of(tx, organisation_id, viewer_id)
        signals = await store.counting(tx, organisation_id, viewer_id, _MOST_SHOWN)
        return risk_message(viewer_id, risk, rules.rule(RuleKind.RISK), signals, self._clock.now())


def _storable(field: str, text: str) -> None:
    """Refuses the one character that the database cannot keep."""
    if "\0" in text:
        message = "send text without NUL characters"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, message)]
        )
