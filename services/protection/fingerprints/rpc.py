"""FingerprintsService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict
from reelmesh.protection.v1 import fingerprints_pb2, fingerprints_service_pb2_grpc
from reelmesh.protection.v1 import fingerprints_service_pb2 as api

from services.kit import idempotency, pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import enqueue
from services.kit.ids import new_id
from services.kit.server import current_call
from services.protection import store as protection
from services.protection.fingerprints import store
from services.protection.fingerprints.domain import Match
from services.protection.fingerprints.keeping import Keeping, library_folder
from services.protection.fingerprints.working import MATCHES

Context = grpc.aio.ServicerContext[Any, Any]

_PAUSE: Final = 0.5
"""Seconds between two looks at a match that is watched."""


class FingerprintsRpc(fingerprints_service_pb2_grpc.FingerprintsServiceServicer):
    """Serves `reelmesh.protection.v1.FingerprintsService`."""

    def __init__(self, database: Database, clock: Clock, keeping: Keeping) -> None:
        self._database = database
        self._clock = clock
        self._keeping = keeping

    async def CreateMatch(self, request: api.CreateMatchRequest, context: Context) -> api.CreateMatchResponse:
        """Puts a match into the queue."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(tx, organisation_id, request, api.CreateMatchResponse)
            if earlier is not None:
                return earlier
            master = await protection.master_of(tx, organisation_id, request.asset_id)
            match = Match(
                match_id=new_id("mtc"),
                organisation_id=organisation_id,
                asset_id=master.asset_id,
                object_key=master.object_key,
                filename=master.filename,
                create_time=now,
                ask_time=now,
            )
            await store.add_match(tx, match)
            await enqueue(tx, MATCHES.subject, match.match_id.encode())
            answer = api.CreateMatchResponse(match=resource(match))
            await idempotency.remember(tx, organisation_id, request, answer)
        return answer

    async def GetMatch(self, request: api.GetMatchRequest, context: Context) -> api.GetMatchResponse:
        """One match."""
        return api.GetMatchResponse(match=resource(await self._own(request.match_id)))

    async def ListMatches(self, request: api.ListMatchesRequest, context: Context) -> api.ListMatchesResponse:
        """The organisation's matches, newest first."""
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListMatchesResponse(
            matches=[resource(match) for match in shown],
            next_page_token=part.next_token(shown[-1].match_id) if len(found) > part.size else "",
        )

    async def WatchMatch(
        self, request: api.WatchMatchRequest, context: Context
    ) -> AsyncIterator[api.WatchMatchResponse]:
        """Sends the match now and at each change, until it ended."""
        told: Match | None = None
        while told is None or not told.ended:
            match = await self._own(request.match_id)
            if match != told:
                told = match
                yield api.WatchMatchResponse(match=resource(match))
            if not match.ended:
                await asyncio.sleep(_PAUSE)

    async def GetFingerprintIndex(
        self, request: api.GetFingerprintIndexRequest, context: Context
    ) -> api.GetFingerprintIndexResponse:
        """How the organisation's titles stand, and how large the index is."""
        async with self._database.transaction() as tx:
            counts = await store.counts(tx, current_call().organisation_id)
        titles, size = await asyncio.to_thread(self._measured)
        index = fingerprints_pb2.FingerprintIndex(
            titles=counts.made,
            titles_waiting=counts.waiting,
            titles_failed=counts.failed,
            hours=counts.seconds / 3600,
            titles_barred=counts.barred,
            indexed_titles=titles,
            index_bytes=size,
        )
        return api.GetFingerprintIndexResponse(index=index)

    def _measured(self) -> tuple[int, int]:
        """Titles and bytes of the index; none where there is no index yet."""
        if not library_folder(self._keeping.data_dir).is_dir():
            return 0, 0
        return len(self._keeping.library.titles()), self._keeping.library.size

    async def _own(self, match_id: str) -> Match:
        async with self._database.transaction() as tx:
            return await store.match_of(tx, current_call().organisation_id, match_id)


def resource(match: Match) -> fingerprints_pb2.Match:
    """A match as the contract shows it."""
    return fingerprints_pb2.Match(
        match_id=match.match_id,
        organisation_id=match.organisation_id,
        asset_id=match.asset_id,
        filename=match.filename,
        state=fingerprints_pb2.MatchState.ValueType(match.state),
        fraction=match.fraction,
        passages=[ParseDict(one, fingerprints_pb2.Passage()) for one in match.passages],
        failure_reason=match.failure_reason,
        failure_message=match.failure_message,
        create_time=timestamp(match.create_time),
        end_time=None if match.end_time is None else timestamp(match.end_time),
    )
