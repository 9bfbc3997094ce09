"""HashListsService: the contract, put in terms of the tables."""

from __future__ import annotations

from typing import Any, Final

import grpc
from reelmesh.protection.v1 import events_pb2, hash_lists_service_pb2_grpc, holds_pb2
from reelmesh.protection.v1 import hash_lists_service_pb2 as api

from services.kit import pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import announce
from services.kit.server import current_call
from services.protection.scanners.hash_lists import store
from services.protection.scanners.hash_lists.store import HashList
from services.protection.scanners.refusals import hash_lists_full, operator_only

Context = grpc.aio.ServicerContext[Any, Any]
OPERATOR: Final = "operator"
"""Name of the operator's key in the install's own file; the names of people and of organisations' own keys have a slash in them."""


class HashListsRpc(hash_lists_service_pb2_grpc.HashListsServiceServicer):
    """Serves `reelmesh.protection.v1.HashListsService`.

    Args:
        limit: hashes of all lists together.
    """

    def __init__(self, database: Database, clock: Clock, limit: int) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit

    async def ImportHashes(self, request: api.ImportHashesRequest, context: Context) -> api.ImportHashesResponse:
        """Adds hashes to a list."""
        actor, now = _operator(), self._clock.now()
        added = {bytes.fromhex(entry.pdq): entry.note for entry in request.entries}
        async with self._database.transaction() as tx:
            changed = await store.add_entries(tx, request.list_name, added, now)
            if await store.count_all(tx) > self._limit:
                raise hash_lists_full(self._limit)
            event = events_pb2.HashListChanged(
                list_name=changed.list_name,
                entry_count=changed.entry_count,
                actor=actor,
                change_time=timestamp(now),
            )
            await announce(tx, event)
        return api.ImportHashesResponse(list=_resource(changed))

    async def ListHashLists(self, request: api.ListHashListsRequest, context: Context) -> api.ListHashListsResponse:
        """The lists, in order of their names."""
        _operator()
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, part)
        shown = found[: part.size]
        return api.ListHashListsResponse(
            lists=[_resource(one) for one in shown],
            next_page_token=part.next_token(shown[-1].list_name) if len(found) > part.size else "",
        )

    async def DeleteHashList(self, request: api.DeleteHashListRequest, context: Context) -> api.DeleteHashListResponse:
        """Deletes a list."""
        actor, now = _operator(), self._clock.now()
        async with self._database.transaction() as tx:
            if await store.delete_list(tx, request.list_name):
                event = events_pb2.HashListChanged(list_name=request.list_name, actor=actor, change_time=timestamp(now))
                await announce(tx, event)
        return api.DeleteHashListResponse()


def _operator() -> str:
    """Name of the caller, if it is the operator's key.

    Raises:
        Refusal: OPERATOR_ONLY.
    """
    principal = current_call().principal
    if principal is None or principal.name != OPERATOR:
        raise operator_only()
    return principal.name


def _resource(one: HashList) -> holds_pb2.HashList:
    return holds_pb2.HashList(
        list_name=one.list_name, entry_count=one.entry_count, update_time=timestamp(one.update_time)
    )
