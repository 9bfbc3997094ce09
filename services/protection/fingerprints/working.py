"""Makes the fingerprints of titles, and does the matches that are asked for, one after the other.

Both only read films, so what was begun by a process that died is begun again, and what is done twice at once comes to the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import structlog
from google.protobuf.json_format import MessageToDict
from reelmesh.protection.v1 import fingerprints_pb2

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.server import as_refusal
from services.kit.storage import ObjectStore
from services.kit.work import TryAgain, WorkQueue
from services.protection.fingerprints import store
from services.protection.fingerprints.domain import Made, Match, Passage, Title
from services.protection.fingerprints.keeping import Keeping
from services.protection.refusals import DOMAIN, copy_not_found

log = structlog.stdlib.get_logger()

TITLES: Final = WorkQueue("fingerprints")
"""Titles whose fingerprint is to be made, by asset."""
MATCHES: Final = WorkQueue("matches")
"""Matches that are asked for, by id."""
_TOLD_EVERY: Final = 1.0
_PASSING: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Working:
    """Does what the two queues ask for."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock, keeping: Keeping) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._keeping = keeping

    async def fingerprint(self, task: bytes) -> None:
        """Makes the fingerprint of one title; `task` is its asset.

        Raises:
            TryAgain: it has to be tried again later.
        """
        async with self._database.transaction() as tx:
            title = await store.title_of(tx, task.decode())
        if title is None or title.state is not Made.WAITING:
            return
        try:
            seconds = await self._made(title)
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is not None and refusal.domain != DOMAIN and refusal.code in _PASSING:
                raise TryAgain(refusal.message, delay=2) from error
            gone = isinstance(error, FileNotFoundError)  # the title was deleted meanwhile
            if not gone and (refusal is None or refusal.domain != DOMAIN):
                log.exception("fingerprint was not made", asset_id=title.asset_id)
            async with self._database.transaction() as tx:
                await store.not_made(tx, title.asset_id)
            return
        async with self._database.transaction() as tx:
            await store.made(tx, title.asset_id, seconds)
        self._keeping.wake()

    async def _made(self, title: Title) -> float:
        """Puts the fingerprint into the object store. Returns its length in seconds."""
        from services.protection.fingerprints import making  # an idle service does without numpy

        async with AsyncExitStack() as stack:
            picture, sound = [
                await stack.enter_async_context(self._objects.local_copy(key)) if key else None
                for key in (title.picture_key, title.sound_key)
            ]
            print_ = await making.of_title(picture, sound)
        with tempfile.TemporaryDirectory(prefix="reelmesh-fingerprint-") as folder:
            file = Path(folder) / "made"
            await asyncio.to_thread(lambda: file.write_bytes(print_.to_bytes()))
            await self._objects.put_file(file, title.object_key)
        return print_.seconds

    async def match(self, task: bytes) -> None:
        """Does one match; `task` is its id.

        Raises:
            TryAgain: it has to be tried again later.
        """
        async with self._database.transaction() as tx:
            match = await store.locked_match(tx, task.decode())
            if match is None or match.ended:
                return
            match = match.running()
            await store.put_match(tx, match)
        try:
            passages = await self._found(match)
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is not None and refusal.domain != DOMAIN and refusal.code in _PASSING:
                raise TryAgain(refusal.message, delay=2) from error
            if refusal is None or refusal.domain != DOMAIN:
                log.exception("match failed", match_id=match.match_id)
            reason, message = ("MATCH_FAILED", "the match failed; the server's log tells more, try once more")
            if refusal is not None and refusal.domain == DOMAIN:
                reason, message = refusal.reason, refusal.message
            await self._end(match.failed(reason, message, self._clock.now()))
        else:
            await self._end(match.completed(_told(passages), self._clock.now()))

    async def _end(self, match: Match) -> None:
        async with self._database.transaction() as tx:
            now = await store.locked_match(tx, match.match_id)
            if now is not None and not now.ended:
                await store.put_match(tx, match)

    async def _found(self, match: Match) -> list[Passage]:
        from services.protection.fingerprints.finding import Finder

        share = [0.0]

        def on_fraction(done: float) -> None:
            share[0] = done

        finder = Finder(self._database, self._objects, self._keeping.library)
        telling = asyncio.create_task(self._tell(match.match_id, share))
        try:
            async with self._objects.local_copy(match.object_key) as file:
                passages, _ = await finder.of_file(
                    file, organisation_id=match.organisation_id, but=match.asset_id, on_fraction=on_fraction
                )
        except FileNotFoundError as error:  # the file was deleted meanwhile
            raise copy_not_found(match.asset_id) from error
        finally:
            telling.cancel()
        return passages

    async def _tell(self, match_id: str, share: list[float]) -> None:
        """Notes every second how far it is, until cancelled."""
        told = 0.0
        while True:
            await asyncio.sleep(_TOLD_EVERY)
            if share[0] > told:
                told = share[0]
                with contextlib.suppress(Exception):  # the database may be away for a moment; the next one tells
                    async with self._database.transaction() as tx:
                        await store.note_fraction(tx, match_id, told)


def _told(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """Passages in the contract's JSON form."""
    return [
        MessageToDict(
            fingerprints_pb2.Passage(
                title_asset_id=one.title_asset_id,
                file_start_seconds=one.file_start_seconds,
                file_end_seconds=one.file_end_seconds,
                title_start_seconds=one.title_start_seconds,
                speed=one.speed,
                mirrored=one.mirrored,
                picture_seconds=one.picture_seconds,
                sound_seconds=one.sound_seconds,
                likeness=one.likeness,
                barred=one.barred,
            ),
            preserving_proto_field_name=True,
        )
        for one in passages
    ]
