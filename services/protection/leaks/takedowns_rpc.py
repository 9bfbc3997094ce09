"""TakedownsService: the contract, put in terms of the domain."""

from __future__ import annotations

from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.protection.v1 import takedowns_service_pb2 as api
from reelmesh.protection.v1 import takedowns_service_pb2_grpc

from services.kit import idempotency, pagination
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.server import current_call
from services.protection.leaks import refusals, resources, takedown_store
from services.protection.leaks.handling import checked_past
from services.protection.leaks.noticing import Noticing
from services.protection.leaks.takedowns import Counter, Kind, State
from services.protection.leaks.wording import Notifier

Context = grpc.aio.ServicerContext[Any, Any]


class TakedownsRpc(takedowns_service_pb2_grpc.TakedownsServiceServicer):
    """Serves `reelmesh.protection.v1.TakedownsService`."""

    def __init__(self, database: Database, clock: Clock, noticing: Noticing) -> None:
        self._database = database
        self._clock = clock
        self._noticing = noticing

    async def SetTakedownNotifier(
        self, request: api.SetTakedownNotifierRequest, context: Context
    ) -> api.SetTakedownNotifierResponse:
        """Keeps in whose name notices are written."""
        told = request.notifier
        notifier = Notifier(
            rights_holder=told.rights_holder,
            signatory=" ".join(told.signatory.split()),
            capacity=told.capacity,
            address=told.address,
            phone=told.phone,
            email=told.email,
        )
        if not notifier.signatory:
            raise refusals.invalid("notifier.signatory", "name whoever signs")
        async with self._database.transaction() as tx:
            await takedown_store.put_notifier(tx, _caller()[0], notifier)
        return api.SetTakedownNotifierResponse(notifier=resources.notifier(notifier))

    async def GetTakedownNotifier(
        self, request: api.GetTakedownNotifierRequest, context: Context
    ) -> api.GetTakedownNotifierResponse:
        """In whose name notices are written."""
        async with self._database.transaction() as tx:
            notifier = await takedown_store.notifier_of(tx, _caller()[0])
        return api.GetTakedownNotifierResponse(notifier=resources.notifier(notifier))

    async def PrepareTakedown(
        self, request: api.PrepareTakedownRequest, context: Context
    ) -> api.PrepareTakedownResponse:
        """Writes a notice."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.PrepareTakedownResponse):
                return earlier
            made = await self._noticing.prepare(
                tx,
                whose,
                request.case_id,
                kind=Kind(request.kind),
                work=request.work,
                email=request.email,
                actor=who,
            )
            answer = api.PrepareTakedownResponse(takedown=resources.takedown(made, self._clock.now()))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def SendTakedown(self, request: api.SendTakedownRequest, context: Context) -> api.SendTakedownResponse:
        """Signs a notice and has it sent."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.SendTakedownResponse):
                return earlier
            signed = await self._noticing.sign(tx, whose, request.takedown_id, request.signature, who)
            answer = api.SendTakedownResponse(takedown=resources.takedown(signed, self._clock.now()))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    async def RecordTakedownStep(
        self, request: api.RecordTakedownStepRequest, context: Context
    ) -> api.RecordTakedownStepResponse:
        """Keeps what happened to a notice."""
        whose, who = _caller()
        state, counter = State(request.state), self._counter(request)
        async with self._database.transaction() as tx:
            if earlier := await idempotency.first_answer(tx, whose, request, api.RecordTakedownStepResponse):
                return earlier
            after = await self._noticing.record(
                tx,
                whose,
                request.takedown_id,
                state,
                actor=who,
                comment=request.comment,
                reference=request.reference,
                counter=counter,
            )
            answer = api.RecordTakedownStepResponse(takedown=resources.takedown(after, self._clock.now()))
            await idempotency.remember(tx, whose, request, answer)
        return answer

    def _counter(self, request: api.RecordTakedownStepRequest) -> Counter | None:
        told = request.HasField("counter_notice")
        if told != (request.state == api.TAKEDOWN_STATE_COUNTERED):
            raise refusals.invalid("counter_notice", "set it exactly when the state is TAKEDOWN_STATE_COUNTERED")
        if not told:
            return None
        said, now = request.counter_notice, self._clock.now()
        received = checked_past("counter_notice.receive_time", resources.moment(said, "receive_time"), now)
        if received.year < now.year - 1:
            raise refusals.invalid("counter_notice.receive_time", "this is too long ago")
        return self._noticing.counter_notice(said.name, said.statement, received)

    async def ListTakedowns(self, request: api.ListTakedownsRequest, context: Context) -> api.ListTakedownsResponse:
        """The organisation's notices, newest first."""
        part, now = pagination.page_of(request), self._clock.now()
        async with self._database.transaction() as tx:
            found = await takedown_store.page(
                tx, _caller()[0], part, case_id=request.case_id, due=now if request.due_only else None
            )
        shown = found[: part.size]
        return api.ListTakedownsResponse(
            takedowns=[resources.takedown(one, now) for one in shown],
            next_page_token=part.next_token(shown[-1].takedown_id) if len(found) > part.size else "",
        )

    async def GetTakedownDocument(
        self, request: api.GetTakedownDocumentRequest, context: Context
    ) -> api.GetTakedownDocumentResponse:
        """A notice as PDF."""
        async with self._database.transaction() as tx:
            takedown = await takedown_store.get(tx, _caller()[0], request.takedown_id)
        data = await self._noticing.document(takedown)
        return api.GetTakedownDocumentResponse(document=HttpBody(content_type="application/pdf", data=data))

    async def GetTakedownStatistics(
        self, request: api.GetTakedownStatisticsRequest, context: Context
    ) -> api.GetTakedownStatisticsResponse:
        """How platforms remove."""
        async with self._database.transaction() as tx:
            found = await takedown_store.statistics(tx, _caller()[0], self._clock.now())
        return api.GetTakedownStatisticsResponse(statistics=[api.TakedownStatistic(**one) for one in found])


def _caller() -> tuple[str, str]:
    """Organisation and name of the caller."""
    call = current_call()
    return call.organisation_id, call.principal.name if call.principal else ""
