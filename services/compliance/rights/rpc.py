"""The contract of requests of persons and of legal holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.api import httpbody_pb2
from reelmesh.compliance.v1 import rights_pb2, rights_service_pb2_grpc
from reelmesh.compliance.v1 import rights_service_pb2 as api
from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.compliance.rights import holds, letters, refusals, store
from services.compliance.rights.archive import archive
from services.compliance.rights.domain import FETCHED_WITHIN, DataRequest, Kind, State, check_recent
from services.compliance.rights.keepers import Keeper
from services.compliance.rights.messages import hold_message, request_message
from services.compliance.rights.own import Own
from services.compliance.rights.receiving import Asked, Receiving
from services.compliance.rights.running import ended
from services.compliance.rights.store import Requests, Subjects
from services.kit.access import Principal
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import is_id
from services.kit.pagination import page_of
from services.kit.personal import DataSubject
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
_OPERATOR: Final = "operator"
_ZIP: Final = "application/zip"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the contract is served from.

    Attributes:
        requests: the requests.
        subjects: names persons in tables.
        receiving: takes requests in.
        keepers: whoever keeps personal data.
        own: what this service has beside its tables.
        news: called once there is something to do.
    """

    requests: Requests
    subjects: Subjects
    receiving: Receiving
    keepers: Mapping[str, Keeper]
    own: Own
    news: Callable[[], None]


class RightsRpc(rights_service_pb2_grpc.RightsServiceServicer):
    """Serves `reelmesh.compliance.v1.RightsService`."""

    def __init__(self, database: Database, clock: Clock, parts: Parts) -> None:
        self._database = database
        self._clock = clock
        self._parts = parts
        self._requests = parts.requests

    # --- persons ----------------------------------------------------------------------------------------------------------

    async def CreateOwnDataRequest(
        self, request: api.CreateOwnDataRequestRequest, context: Context
    ) -> api.CreateOwnDataRequestResponse:
        """Takes in a request of the caller about themselves."""
        person = _caller()
        asked = Asked(Kind(request.kind), tuple(request.limits), request.lift)
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, person.account_id, request, api.CreateOwnDataRequestResponse)
            if earlier:
                return earlier
            made = await self._parts.receiving.from_person(tx, person, asked)
            answer = api.CreateOwnDataRequestResponse(data_request=await self._shown(tx, made, staff=False))
            await remember(tx, person.account_id, request, answer)
        return answer

    async def ListOwnDataRequests(
        self, request: api.ListOwnDataRequestsRequest, context: Context
    ) -> api.ListOwnDataRequestsResponse:
        """The caller's requests, newest first."""
        part, digest = page_of(request), self._parts.subjects.digest(DataSubject("", _caller().account_id))
        async with self._database.transaction() as tx:
            found = await self._requests.page_of_subject(tx, digest, part)
            shown = await self._all_shown(tx, found[: part.size], staff=False)
        return api.ListOwnDataRequestsResponse(
            data_requests=shown,
            next_page_token=part.next_token(shown[-1].data_request_id) if len(found) > part.size else "",
        )

    async def GetOwnData(
        self, request: api.GetOwnDataRequest, context: Context
    ) -> AsyncIterator[api.GetOwnDataResponse]:
        """The caller's data."""
        person = _caller()
        check_recent(person.session_id, self._clock.now())
        found = await self._fetchable(request.data_request_id, self._is_own(person))
        async for data in self._data(found):
            yield api.GetOwnDataResponse(body=httpbody_pb2.HttpBody(content_type=_ZIP, data=data))

    async def ConfirmDataRequest(
        self, request: api.ConfirmDataRequestRequest, context: Context
    ) -> api.ConfirmDataRequestResponse:
        """Takes a code as proof."""
        await self._parts.receiving.confirmed(request.data_request_id, request.code)
        return api.ConfirmDataRequestResponse()

    # --- staff ------------------------------------------------------------------------------------------------------------

    async def CreateDataRequest(
        self, request: api.CreateDataRequestRequest, context: Context
    ) -> api.CreateDataRequestResponse:
        """Takes in a request that reached staff."""
        staff, subject = _caller(), _subject(request.subject)
        asked = Asked(Kind(request.kind), tuple(request.limits), request.lift)
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, staff.organisation_id, request, api.CreateDataRequestResponse)
            if earlier:
                return earlier
            made = await self._parts.receiving.from_staff(tx, staff, subject, asked, checked=request.identity_checked)
            answer = api.CreateDataRequestResponse(data_request=await self._shown(tx, made))
            await remember(tx, staff.organisation_id, request, answer)
        return answer

    async def GetDataRequest(self, request: api.GetDataRequestRequest, context: Context) -> api.GetDataRequestResponse:
        """One request."""
        async with self._database.transaction() as tx:
            found = await self._reached(tx, request.data_request_id)
            return api.GetDataRequestResponse(data_request=await self._shown(tx, found))

    async def ListDataRequests(
        self, request: api.ListDataRequestsRequest, context: Context
    ) -> api.ListDataRequestsResponse:
        """Requests that the caller sees to, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await self._requests.page_of_staff(tx, _seen_to(), part, open_only=request.open_only)
            shown = await self._all_shown(tx, found[: part.size])
        return api.ListDataRequestsResponse(
            data_requests=shown,
            next_page_token=part.next_token(shown[-1].data_request_id) if len(found) > part.size else "",
        )

    async def GetDataOfRequest(
        self, request: api.GetDataOfRequestRequest, context: Context
    ) -> AsyncIterator[api.GetDataOfRequestResponse]:
        """The data of whoever asked, for staff to hand on."""
        found = await self._fetchable(request.data_request_id, _is_seen_to)
        async for data in self._data(found):
            yield api.GetDataOfRequestResponse(body=httpbody_pb2.HttpBody(content_type=_ZIP, data=data))

    async def ExtendDataRequest(
        self, request: api.ExtendDataRequestRequest, context: Context
    ) -> api.ExtendDataRequestResponse:
        """Moves the day by which a request must be answered."""
        reason = _one_line(request.reason)
        now = self._clock.now()
        shown = await self._changed(
            request.data_request_id, lambda one: one.extended(reason, now), letters.EXTENDED, reason
        )
        return api.ExtendDataRequestResponse(data_request=shown)

    async def RefuseDataRequest(
        self, request: api.RefuseDataRequestRequest, context: Context
    ) -> api.RefuseDataRequestResponse:
        """Refuses a request."""
        reason = _one_line(request.reason)
        now = self._clock.now()
        shown = await self._changed(
            request.data_request_id, lambda one: one.refused(reason, now), letters.REFUSED, reason
        )
        return api.RefuseDataRequestResponse(data_request=shown)

    # --- holds ------------------------------------------------------------------------------------------------------------

    async def PlaceHold(self, request: api.PlaceHoldRequest, context: Context) -> api.PlaceHoldResponse:
        """Places a hold."""
        staff = _caller()
        on = request.asset_id or _subject(request.subject)
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, staff.organisation_id, request, api.PlaceHoldResponse)
            if earlier:
                return earlier
            placed = holds.new_hold(
                staff.organisation_id, on=on, ground=_one_line(request.ground), actor=staff.name, now=self._clock.now()
            )
            await holds.place(tx, self._parts.subjects, placed)
            answer = api.PlaceHoldResponse(hold=hold_message(placed))
            await remember(tx, staff.organisation_id, request, answer)
        return answer

    async def ReleaseHold(self, request: api.ReleaseHoldRequest, context: Context) -> api.ReleaseHoldResponse:
        """Releases a hold; what waited for it goes on."""
        async with self._database.transaction() as tx:
            released = await holds.release(
                tx,
                self._parts.subjects,
                _caller().organisation_id,
                request.hold_id,
                reason=_one_line(request.reason),
                now=self._clock.now(),
            )
            await store.wake_held(tx, self._clock.now())
            after_commit(tx, self._parts.news)
        return api.ReleaseHoldResponse(hold=hold_message(released))

    async def ListHolds(self, request: api.ListHoldsRequest, context: Context) -> api.ListHoldsResponse:
        """The organisation's holds, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await holds.page(
                tx, self._parts.subjects, _caller().organisation_id, part, standing_only=request.standing_only
            )
        shown = found[: part.size]
        return api.ListHoldsResponse(
            holds=[hold_message(one) for one in shown],
            next_page_token=part.next_token(shown[-1].hold_id) if len(found) > part.size else "",
        )

    # --- in common --------------------------------------------------------------------------------------------------------

    async def _changed(
        self, data_request_id: str, change: Callable[[DataRequest], DataRequest], template: str, reason: str
    ) -> rights_pb2.DataRequest:
        async with self._database.transaction() as tx:
            before = await self._reached(tx, data_request_id, for_update=True)
            after = change(before)
            if after is not before:
                await self._requests.put(tx, after)
                await self._parts.receiving.tell(tx, after, template, reason)
                if after.ended:
                    await announce(tx, ended(after, self._clock.now()))
            return await self._shown(tx, after)

    async def _reached(self, tx: Tx, data_request_id: str, *, for_update: bool = False) -> DataRequest:
        found = await self._requests.find(tx, data_request_id, for_update=for_update)
        if found is None or not _is_seen_to(found):
            raise refusals.not_found(data_request_id)
        return found

    def _is_own(self, person: Principal) -> Callable[[DataRequest], bool]:
        digest = self._parts.subjects.digest(DataSubject("", person.account_id))
        return lambda found: found.subject_digest == digest

    async def _fetchable(self, data_request_id: str, may: Callable[[DataRequest], bool]) -> DataRequest:
        """A request for access whose copy can be fetched."""
        async with self._database.transaction() as tx:
            found = await self._requests.find(tx, data_request_id)
        if found is None or not may(found) or found.kind is not Kind.ACCESS:
            raise refusals.not_found(data_request_id)
        late = self._clock.now() - found.receive_time > FETCHED_WITHIN and found.state is State.COMPLETED
        if found.state not in {State.OPEN, State.COMPLETED} or late:
            why = "a copy can be fetched once it is proved who asks, and for 30 days"
            raise refusals.wrong_state(data_request_id, found.state.name, why)
        return found

    async def _data(self, request: DataRequest) -> AsyncIterator[bytes]:
        """The copy, after which the request is done."""
        subject = request.subject
        assert subject is not None, request.data_request_id
        more = {"compliance": await self._parts.own.tables(subject)}
        async for data in archive(self._parts.keepers, subject, more, self._clock.now()):
            yield data
        async with self._database.transaction() as tx:
            current = await self._requests.find(tx, request.data_request_id, for_update=True)
            if current is not None and current.state is State.OPEN:
                done = current.completed(self._clock.now())
                await self._requests.put(tx, done)
                await announce(tx, ended(done, self._clock.now()))

    async def _shown(self, tx: Tx, request: DataRequest, *, staff: bool = True) -> rights_pb2.DataRequest:
        return (await self._all_shown(tx, [request], staff=staff))[0]

    async def _all_shown(
        self, tx: Tx, found: Sequence[DataRequest], *, staff: bool = True
    ) -> list[rights_pb2.DataRequest]:
        receipts = await store.receipts_of(tx, [one.data_request_id for one in found])
        return [request_message(one, receipts[one.data_request_id], one.waits_for if staff else ()) for one in found]


def _caller() -> Principal:
    """Who calls; the contract lets nobody in without a credential."""
    principal = current_call().principal
    assert principal is not None
    return principal


def _seen_to() -> list[str]:
    """Whose requests the caller sees to: their organisation's, and with the operator's key those about accounts."""
    staff = _caller()
    return [staff.organisation_id, ""] if staff.name == _OPERATOR else [staff.organisation_id]


def _is_seen_to(request: DataRequest) -> bool:
    return request.organisation_id in _seen_to()


def _subject(message: personal.DataSubject) -> DataSubject:
    """Whom staff means.

    Raises:
        Refusal: `SUBJECT_NOT_YOURS`.
    """
    staff = _caller()
    if not is_id("usr", message.name):
        return DataSubject(staff.organisation_id, message.name)
    if staff.name != _OPERATOR:
        raise refusals.subject_not_yours()
    return DataSubject("", message.name)


def _one_line(text: str) -> str:
    """A text as it may stand in a letter."""
    return "".join(one for one in " ".join(text.split()) if one.isprintable())
