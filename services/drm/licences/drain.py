"""Moves the journal into the database: in order, each licence once, its event by the outbox in the same transaction.

How far a segment got is noted in the very transaction that moves it, so a crash at any point repeats nothing and leaves nothing out. While
the database is away the journal grows, and is drained when it is back; what an earlier process left behind is drained by the next one on
the same disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from reelmesh.drm.v1 import events_pb2

from services.drm.licences import store
from services.drm.licences.journal import Journal, LeftBehind, Read, frames, name_of, segments_in
from services.drm.licences.records import Record, Unreadable
from services.kit import events, telemetry
from services.kit.database import Database
from services.kit.uncancelled import heed_cancellation, uncancelled

log = structlog.stdlib.get_logger()

UNDRAINED: Final = Gauge("reelmesh_licence_journal_bytes", "Bytes of licences that are not in the database yet.")
DRAINED: Final = Counter("reelmesh_licence_journal_records_total", "Licences and refusals moved into the database.")
LOST: Final = Counter(
    "reelmesh_licence_journal_damaged_bytes_total", "Bytes of the journal that could not be read back."
)

_BATCH: Final = 1000
_IDLE_ROLL: Final = 5.0
"""Seconds after which a segment that is drained and not written any more is removed."""
_ADOPT_EVERY: Final = 30.0
"""Seconds between two looks for journals of processes that are gone."""
SEGMENT_NOTES_KEPT: Final = timedelta(days=30)


class Drain:
    """Drains the journal of this process, and those left behind by others on its disk.

    Args:
        every: seconds between two looks while there is little to do.
    """

    def __init__(self, database: Database, journal: Journal, *, every: float = 0.5) -> None:
        self._database = database
        self._journal = journal
        self._every = every
        self._left: list[LeftBehind] = []
        self._drained: dict[str, int] = {}
        self._doubtful: set[str] = set()
        """Segments whose last transaction may or may not have been committed."""
        self._look_again = 0.0
        self._quiet_since: tuple[str, int, float] = ("", 0, 0.0)

    async def run(self) -> None:
        """Drains until cancelled. Trouble with the database is waited out."""
        delay = self._every
        while True:
            heed_cancellation()
            try:
                moved = await uncancelled(self.once())
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database may be away: everything stays in the journal
                log.warning("drain is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
                delay = min(delay * 2, 2.0)
            else:
                delay = 0.0 if moved >= _BATCH else self._every
            UNDRAINED.set(self._journal.undrained)
            await asyncio.sleep(delay)

    async def close(self, patience: float = 2.0) -> None:
        """Moves what is left, if the database takes it soon, and lets go of everything."""
        with contextlib.suppress(Exception):  # it stays for the next process
            async with asyncio.timeout(patience):
                await self._journal.rolled()
                while segments_in(self._journal.folder) or self._left:
                    await self.once()
        for left in self._left:
            left.close()

    async def once(self) -> int:
        """Moves at most one batch of each journal. Returns how many records there were in the largest."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_again:
            self._adopt()
            self._look_again = now + _ADOPT_EVERY
        moved = 0
        for left in list(self._left):
            part = await self._journal_moved(left.folder)
            moved = max(moved, part)
            if part == 0 and not segments_in(left.folder):
                left.close()
                self._left.remove(left)
        return max(moved, await self._journal_moved(self._journal.folder))

    def _adopt(self) -> None:
        for left in LeftBehind.all_in(self._journal.folder.parent):
            size = sum(path.stat().st_size for path in segments_in(left.folder))
            log.info("journal taken over", folder=left.folder.name, bytes=size)
            self._journal.undrained += size
            self._left.append(left)

    async def _journal_moved(self, folder: Path) -> int:
        moved = 0
        for path in segments_in(folder):
            writing = self._journal.segment
            active = writing is not None and writing.path == path
            durable = writing.durable if active and writing is not None else path.stat().st_size
            moved += await self._segment_moved(path, durable, active=active)
            if moved >= _BATCH:
                break
            if active and await self._quiet(path, durable):
                await self._journal.rolled()
        return moved

    async def _quiet(self, path: Path, durable: int) -> bool:
        """Whether a segment is drained and was not written for a while."""
        name, now = name_of(path), asyncio.get_running_loop().time()
        if self._drained.get(name, 0) < durable:
            return False
        known, size, since = self._quiet_since
        if (known, size) != (name, durable):
            self._quiet_since = (name, durable, now)
            return False
        return now - since >= _IDLE_ROLL

    async def _segment_moved(self, path: Path, durable: int, *, active: bool) -> int:
        name = name_of(path)
        start = await self._drained_to(name)
        if start < durable:
            data = await asyncio.to_thread(_read, path, start, durable)
            found = list(islice(frames(data), _BATCH))
            if found:
                await self._moved(name, start, found)
                return len(found)
            if active:
                return 0
            # Whatever is behind the last whole frame was never answered.
            log.warning("end of a journal cannot be read", segment=name, bytes=len(data))
            LOST.inc(len(data))
            self._journal.undrained -= len(data)
        if not active:
            await asyncio.to_thread(path.unlink)
            self._drained.pop(name, None)
            async with self._database.transaction() as tx:
                await store.forget_segment(tx, name)
        return 0

    async def _drained_to(self, name: str) -> int:
        known = self._drained.get(name, 0)
        if name not in self._drained or name in self._doubtful:
            async with self._database.transaction() as tx:
                found = self._drained[name] = await store.drained_to(tx, name)
            self._doubtful.discard(name)
            self._journal.undrained -= found - known
            known = found
        return known

    async def _moved(self, name: str, start: int, found: list[Read]) -> None:
        records = []
        for frame in found:
            try:
                records.append(Record.unpacked(frame.content))
            except Unreadable:  # whole, and yet none of ours: it must not stop what is behind it
                log.error("record of the journal is not one", segment=name, end=start + frame.end)  # noqa: TRY400
                LOST.inc(len(frame.content))
        end = start + found[-1].end
        self._doubtful.add(name)
        async with self._database.transaction() as tx:
            if not await store.put_drained(tx, name, start, end):
                return  # it is looked up again
            await store.add_licences(
                tx, [record.event for record in records if isinstance(record.event, events_pb2.LicenceIssued)]
            )
            await events.announce_all(
                tx, [events.Told(record.event_id, record.correlation_id, record.event) for record in records]
            )
        self._doubtful.discard(name)
        self._drained[name] = end
        self._journal.undrained -= end - start
        DRAINED.inc(len(records))


def _read(path: Path, start: int, end: int) -> bytes:
    """Part of a file, of which a batch is the most that is of use at a time."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(min(end - start, 4 << 20))
