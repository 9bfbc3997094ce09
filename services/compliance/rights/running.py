"""Does what was asked for: goes over all services, one receipt each, until every one has answered.

What was answered is kept with the receipt, so a process that dies goes on with the next service. A service that is away is asked again. An erasure goes
over all of them twice, so that what was on its way at the first time is gone after the second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from reelmesh.compliance.v1 import events_pb2, rights_pb2
from reelmesh.rpc.v1 import personal_data_service_pb2 as api

from services.compliance.rights import holds, letters, store
from services.compliance.rights.domain import DataRequest, Kind, State
from services.compliance.rights.keepers import Keeper
from services.compliance.rights.letters import Letter, Letters
from services.compliance.rights.own import Own
from services.compliance.rights.store import Requests
from services.compliance.rights.stream import EventStream, StillRead
from services.kit import telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.ids import is_id
from services.kit.personal import DataSubject
from services.kit.uncancelled import heed_cancellation

log = structlog.stdlib.get_logger()

EVENTS: Final = "events"
AUDIT_LOG: Final = "audit_log"
HOLDS_LOOKED_AT: Final = timedelta(minutes=10)
"""How long until the holds of a request that waits for them are looked at again, should nobody have told."""


class NotYet(Exception):
    """Something has to happen first; the request is taken up again in a while."""


class Runner:
    """Does requests, one at a time over all replicas.

    Args:
        database: the service's own.
        clock: the present moment.
        requests: the requests.
        keepers: whoever keeps personal data, in the order in which a person is erased.
        own: what this service has beside its tables.
        stream: the event stream.
        box: for letters.
        settles: between the two rounds of an erasure; longer than an access token is good.
        lease: how long a request is left to whoever has it, and left alone after something was not there. After that another goes on: two at a time do no
            harm, as what is done twice is done once.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        requests: Requests,
        keepers: Mapping[str, Keeper],
        own: Own,
        stream: EventStream,
        box: Letters,
        settles: timedelta,
        lease: timedelta,
    ) -> None:
        self._database = database
        self._clock = clock
        self._requests = requests
        self._keepers = keepers
        self._own = own
        self._stream = stream
        self._box = box
        self._settles = settles
        self._lease = lease
        self.news = asyncio.Event()

    async def run(self, every: float) -> None:
        """Works until cancelled, and looks every so many seconds even if nobody tells. Trouble is waited out."""
        while True:
            heed_cancellation()
            self.news.clear()
            try:
                while await self._box.post() or await self.once():
                    heed_cancellation()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database is away: what is to be done stays there
                log.warning("requests wait", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            try:
                async with asyncio.timeout(every):
                    await self.news.wait()
            except TimeoutError:
                continue

    async def once(self) -> bool:
        """Takes the request that has waited longest as far as it goes now. Returns whether there was one."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            request = await self._requests.next_due(tx, now)
            if request is None:
                return False
            await store.put_off(tx, request.data_request_id, now + self._lease)
        try:
            await self._done(request)
        except NotYet as why:
            log.info("request waits", data_request_id=request.data_request_id, why=str(why))
            await self._later(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a service is away, or refuses: it is asked again
            told = telemetry.masked(f"{type(error).__name__}: {error}")[:300]
            log.warning("request put off", data_request_id=request.data_request_id, error=told)
            await self._later(request)
        return True

    async def _later(self, request: DataRequest) -> None:
        async with self._database.transaction() as tx:
            await store.put_off(tx, request.data_request_id, self._clock.now() + self._lease)

    async def _done(self, request: DataRequest) -> None:
        subject = request.subject
        assert subject is not None, request.data_request_id
        if request.state is State.COMPLETED:  # what a law asked to be kept may go now
            request = replace(request, state=State.RUNNING, round=request.round + 1, keep_until=None)
            async with self._database.transaction() as tx:
                await self._requests.put(tx, request)
        if request.kind is Kind.ERASURE:
            await self._erased(request, subject)
        else:
            await self._limited(request, subject)

    # --- limits -----------------------------------------------------------------------------------------------------------

    async def _limited(self, request: DataRequest, subject: DataSubject) -> None:
        async with self._database.transaction() as tx:
            before = await store.limits_of(tx, request.subject_digest)
            asked = frozenset(request.limits)
            limits = before - asked if request.lift else before | asked
            request = (await self._still_ours(tx, request)).begun(self._clock.now() + self._lease)
            await self._requests.put(tx, request)
            await store.put_limits(tx, request.subject_digest, limits, self._clock.now())
            answered = await store.answered(tx, request.data_request_id, request.round)
        for service, keeper in self._keepers.items():
            if service not in answered:
                heeded = await keeper.limit(subject, limits)
                receipt = self._receipt(service)
                receipt.heeded.extend(api.ProcessingLimit.ValueType(one) for one in sorted(heeded))
                async with self._database.transaction() as tx:
                    await store.add_receipt(tx, request.data_request_id, request.round, receipt)
        await self._ended(request)

    # --- erasure ----------------------------------------------------------------------------------------------------------

    async def _erased(self, request: DataRequest, subject: DataSubject) -> None:
        about = await self._assets_of(subject)
        begun = await self._free_of_holds(request, subject, about)
        if begun is None:
            return
        async with self._database.transaction() as tx:
            answered = await store.answered(tx, begun.data_request_id, begun.round)
        for service, keeper in self._keepers.items():
            if service in answered:
                continue
            if await self._free_of_holds(begun, subject, about) is None:
                return
            receipt = self._receipt(service, (await keeper.erase(subject)).tables)
            async with self._database.transaction() as tx:
                await store.add_receipt(tx, begun.data_request_id, begun.round, receipt)
        if EVENTS not in answered:
            try:
                removed = await self._stream.erased(subject, whoever_lags=begun.round > 1)
            except StillRead as by:
                raise NotYet(f"events about the person are still being read by {by}") from by
            receipt = self._receipt(EVENTS)
            if removed:
                receipt.tables.add(table="EVENTS", action=api.ERASURE_ACTION_DELETED, row_count=removed)
            async with self._database.transaction() as tx:
                await store.add_receipt(tx, begun.data_request_id, begun.round, receipt)
        if AUDIT_LOG not in answered:
            async with self._database.transaction() as tx:
                shredded = await self._own.shredded(tx, subject)
                await store.forget_limits(tx, begun.subject_digest)
                receipt = self._receipt(AUDIT_LOG, shredded.tables)
                await store.add_receipt(tx, begun.data_request_id, begun.round, receipt)
        await self._ended(begun)

    async def _assets_of(self, subject: DataSubject) -> frozenset[str]:
        """Assets under a hold that the person has to do with, as services' tables tell. Without such holds nobody is asked."""
        async with self._database.transaction() as tx:
            held = await holds.held_assets(tx)
        found = set[str]()
        if held:
            for keeper in self._keepers.values():
                async for part in keeper.export(subject):
                    found |= {asset_id for asset_id in held if asset_id.encode() in part.rows}
        return frozenset(found)

    async def _free_of_holds(
        self, request: DataRequest, subject: DataSubject, asset_ids: frozenset[str]
    ) -> DataRequest | None:
        """The request as it goes on; None when a hold beats it, and then it waits."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await holds.settled(tx)
            request = await self._still_ours(tx, request)
            standing = await holds.standing(tx, subject_digest=request.subject_digest, asset_ids=asset_ids)
            if standing:
                if request.state is not State.HELD:
                    log.warning(
                        "a legal hold beats an erasure", data_request_id=request.data_request_id, holds=standing
                    )
                await self._requests.put(tx, request.held(standing, now + HOLDS_LOOKED_AT))
                return None
            if not request.round and is_id("usr", subject.name):
                await self._box.put(tx, Letter(subject.name, letters.ERASING, {}))
            begun = request.begun(now + self._lease)
            await self._requests.put(tx, begun)
        if not request.round:
            await self._posted()
        return begun

    async def _posted(self) -> None:
        """Hands letters over while addresses are still known."""
        while await self._box.post():
            heed_cancellation()

    # --- the end ----------------------------------------------------------------------------------------------------------

    def _receipt(self, service: str, tables: object = ()) -> rights_pb2.ServiceReceipt:
        receipt = rights_pb2.ServiceReceipt(service=service, done_time=timestamp(self._clock.now()))
        receipt.tables.extend(tables)  # type: ignore[arg-type]  # a repeated field of the answer
        return receipt

    async def _ended(self, request: DataRequest) -> None:
        """Ends a round, and with the last one the request."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            request = await self._still_ours(tx, request)
            after = request.round_done(now, self._settles)
            if after.ended and after.kind is Kind.ERASURE:
                after = await self._left(tx, after, now)
                await store.forget_subject(tx, after.subject_digest, now, but=after.data_request_id)
                await holds.forget_subject(tx, after.subject_digest)
            await self._requests.put(tx, after)
            if after.ended:
                await announce(tx, ended(after, now))

    async def _still_ours(self, tx: Tx, request: DataRequest) -> DataRequest:
        """The request as it is now, locked.

        Raises:
            NotYet: another has gone on with it meanwhile.
        """
        current = await self._requests.find(tx, request.data_request_id, for_update=True)
        if current is None or current.ended or current.round != request.round:
            raise NotYet("another has it")
        return current

    async def _left(self, tx: Tx, request: DataRequest, now: datetime) -> DataRequest:
        """A done erasure with what is left of the person: until when something is kept, or else not even who it was."""
        found = await store.receipts_of(tx, [request.data_request_id])
        untils = [
            table.keep_until_time.ToDatetime(tzinfo=now.tzinfo)
            for round_, receipt in found[request.data_request_id]
            if round_ == request.round
            for table in receipt.tables
            if table.HasField("keep_until_time")
        ]
        if untils:
            return replace(request, keep_until=max(untils), next_time=max(untils))
        return replace(request, subject=None)


def ended(request: DataRequest, now: datetime) -> events_pb2.DataRequestEnded:
    """The event that tells of the end of a request."""
    return events_pb2.DataRequestEnded(
        data_request_id=request.data_request_id,
        organisation_id=request.organisation_id,
        state=rights_pb2.DataRequestState.ValueType(int(request.state)),
        end_time=timestamp(now),
    )
