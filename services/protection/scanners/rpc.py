"""HoldsService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from reelmesh.protection.v1 import events_pb2, holds_pb2, holds_service_pb2_grpc
from reelmesh.protection.v1 import holds_service_pb2 as api

from services.kit import idempotency, pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.server import Call, current_call
from services.protection.gate import Check, Unreachable
from services.protection.scanners import store
from services.protection.scanners.domain import Decision, Hold, HoldState, Review, ScreeningState
from services.protection.scanners.refusals import evidence_not_there
from services.protection.scanners.screening import Gate, Reachable
from services.protection.scanners.store import Viewpoint

Context = grpc.aio.ServicerContext[Any, Any]
_PIECE: Final = 256 * 1024
_PATIENCE: Final = 5.0


class HoldsRpc(holds_service_pb2_grpc.HoldsServiceServicer):
    """Serves `reelmesh.protection.v1.HoldsService`.

    Args:
        house: the operator's organisation; empty when the install has none.
    """

    def __init__(self, database: Database, clock: Clock, gate: Gate, house: str) -> None:
        self._database = database
        self._clock = clock
        self._gate = gate
        self._house = house

    async def GetHold(self, request: api.GetHoldRequest, context: Context) -> api.GetHoldResponse:
        """One hold."""
        viewpoint = self._viewpoint()
        async with self._database.transaction() as tx:
            hold = await store.hold_seen_from(tx, viewpoint, request.hold_id)
            twins = await store.cleared_with(tx, hold.sha256) if viewpoint.house else ()
        told = resource(hold)
        told.twin_asset_ids.extend(twins)
        return api.GetHoldResponse(hold=told)

    async def ListHolds(self, request: api.ListHoldsRequest, context: Context) -> api.ListHoldsResponse:
        """Holds, newest first."""
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of_holds(tx, self._viewpoint(), request.state, part)
        shown = found[: part.size]
        return api.ListHoldsResponse(
            holds=[resource(hold) for hold in shown],
            next_page_token=part.next_token(shown[-1].hold_id) if len(found) > part.size else "",
        )

    async def DecideHold(self, request: api.DecideHoldRequest, context: Context) -> api.DecideHoldResponse:
        """Takes one reviewer's decision."""
        call = current_call()
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(tx, call.organisation_id, request, api.DecideHoldResponse)
            if earlier is not None:
                return earlier
            hold = await store.hold_seen_from(tx, self._viewpoint(), request.hold_id, for_update=True)
            review = Review(_name(call), Decision(request.decision), request.comment, self._clock.now())
            hold = hold.reviewed(review)
            await store.put_hold(tx, hold)
            await announce(tx, _decided(hold, review))
            if hold.decided:
                await self._carry_out(tx, hold)
                await self._gate.reports.put_down(tx, hold)
            answer = api.DecideHoldResponse(hold=resource(hold))
            await idempotency.remember(tx, call.organisation_id, request, answer)
        return answer

    async def ReadEvidence(
        self, request: api.ReadEvidenceRequest, context: Context
    ) -> AsyncIterator[api.ReadEvidenceResponse]:
        """Sends the held master in the clear, once it is written down who asked for it."""
        call = current_call()
        async with self._database.transaction() as tx:
            hold = await store.hold_seen_from(tx, self._viewpoint(), request.hold_id)
            if hold.preserve_time is None or hold.destroy_time is not None:
                raise evidence_not_there(hold.hold_id)
            event = events_pb2.EvidenceOpened(
                hold_id=hold.hold_id,
                organisation_id=hold.organisation_id,
                reviewer=_name(call),
                open_time=timestamp(self._clock.now()),
            )
            await announce(tx, event)
        async for chunk in self._gate.quarantine.read(hold.sha256):
            for start in range(0, len(chunk), _PIECE):
                yield api.ReadEvidenceResponse(chunk=chunk[start : start + _PIECE])

    async def GetGate(self, request: api.GetGateRequest, context: Context) -> api.GetGateResponse:
        """Which checks there are, and whether they can be made."""
        async with self._database.transaction() as tx:
            waiting = await store.count_waiting(tx, current_call().organisation_id)
        checks = await asyncio.gather(*(_told(check) for check in self._gate.checks))
        return api.GetGateResponse(checks=checks, waiting_count=waiting)

    async def _carry_out(self, tx: Tx, hold: Hold) -> None:
        """Lets the master go on to the checks that are left, or blocks it."""
        screening = await store.find_screening(tx, hold.asset_id, for_update=True)
        if screening is None or screening.state is not ScreeningState.HELD:
            return
        if hold.state is HoldState.CONFIRMED:
            await store.put_screening(tx, screening.at(ScreeningState.BLOCKED))
            return
        released = screening.with_passed(hold.finding.check).at(ScreeningState.WAITING)
        await self._gate.ask(tx, released)

    def _viewpoint(self) -> Viewpoint:
        organisation_id = current_call().organisation_id
        return Viewpoint(organisation_id, house=bool(self._house) and organisation_id == self._house)


async def _told(check: Check) -> holds_pb2.GateCheck:
    problem = ""
    if isinstance(check, Reachable):
        try:
            async with asyncio.timeout(_PATIENCE):
                await check.reach()
        except Unreachable as error:
            problem = str(error)
        except TimeoutError:
            problem = "it does not answer in time"
    return holds_pb2.GateCheck(name=check.name, reachable=not problem, problem=problem)


def _name(call: Call) -> str:
    return call.principal.name if call.principal else ""


def _decided(hold: Hold, review: Review) -> events_pb2.HoldDecided:
    return events_pb2.HoldDecided(
        hold_id=hold.hold_id,
        asset_id=hold.asset_id,
        organisation_id=hold.organisation_id,
        reviewer=review.reviewer,
        decision=holds_pb2.HoldDecision.ValueType(review.decision),
        comment=review.comment,
        state=holds_pb2.HoldState.ValueType(hold.state),
        decide_time=timestamp(review.review_time),
    )


def resource(hold: Hold) -> holds_pb2.Hold:
    """A hold as the contract shows it."""
    finding = hold.finding
    return holds_pb2.Hold(
        hold_id=hold.hold_id,
        asset_id=hold.asset_id,
        organisation_id=hold.organisation_id,
        upload_id=hold.upload_id,
        filename=hold.filename,
        state=holds_pb2.HoldState.ValueType(hold.state),
        ground=holds_pb2.HoldGround.ValueType(finding.ground),
        check=finding.check,
        list_name=finding.list_name,
        entry=finding.entry,
        distance=finding.distance,
        detail=finding.detail,
        sha256=hold.sha256,
        size_bytes=hold.size_bytes,
        sealed_sha256=hold.sealed_sha256,
        reviews=[
            holds_pb2.HoldReview(
                reviewer=one.reviewer,
                decision=holds_pb2.HoldDecision.ValueType(one.decision),
                comment=one.comment,
                review_time=timestamp(one.review_time),
            )
            for one in hold.reviews
        ],
        create_time=timestamp(hold.create_time),
        preserve_time=timestamp(hold.preserve_time),
        decide_time=timestamp(hold.decide_time),
        report_time=timestamp(hold.report_time),
        destroy_time=timestamp(hold.destroy_time),
    )
