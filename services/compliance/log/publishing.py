"""Publishes the log as files in the object store (C2SP tlog-tiles): tiles, entries, and then the checkpoint that they belong to.

Files of full tiles never change. The checkpoint is written last, so whoever reads it finds all that it speaks of; a process that dies in between writes the
same files again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import structlog

from services.compliance.log import store
from services.compliance.log.tiles import CHECKPOINT, WIDTH, Tile, bundled, new_tiles
from services.kit import telemetry
from services.kit.database import Database
from services.kit.storage import ObjectStore
from services.kit.uncancelled import heed_cancellation, uncancelled

log = structlog.stdlib.get_logger()

PREFIX: Final = "audit"
"""Where the log lies in the object store."""
ENTRIES_PREFIX: Final = "audit-entries"
"""Where its entries lie. They say when which organisation did what, so they are not where the edge serves the log from."""


class Publisher:
    """Keeps the published files up with the log."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._size: int | None = None
        self._note = ""

    async def run(self, every: float) -> None:
        """Publishes every so many seconds until cancelled. Trouble is waited out."""
        while True:
            heed_cancellation()
            try:
                await uncancelled(self.once())
            except asyncio.CancelledError:
                raise
            except Exception as error:  # a store is away: what is missing is written the next time
                log.warning("tiles wait", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)

    async def once(self) -> int:
        """Publishes what is new. Returns the size of the published tree."""
        before = await self._published()
        async with self._database.transaction() as tx:
            checkpoint = await store.find_checkpoint(tx)
        if checkpoint is None:
            return 0
        if self._size is None:
            self._size = before
        size = checkpoint.tree_size
        if before == size and checkpoint.note == self._note:
            return size
        if put_back := before > size:  # the database was put back: what is published is of another time
            log.error("more is published than the log has; somebody put the database back", published=before, size=size)
            self._size = 0
        for tile in new_tiles(self._size, size):
            async with self._database.transaction() as tx:
                first, end = tile.index * WIDTH, tile.index * WIDTH + tile.width
                hashes = await store.hashes_between(tx, tile.level, first, end)
                records = await store.leaves_between(tx, first, end) if tile.level == 0 else []
            await self._put(f"{PREFIX}/{tile.path}", b"".join(hashes))
            if tile.level == 0:
                await self._put(f"{ENTRIES_PREFIX}/{tile.entries_path}", bundled([leaf.record for leaf in records]))
            if tile.width == WIDTH:
                await self._forget_partial(tile)
        async with self._database.transaction() as tx:
            # Another publisher may have gone further meanwhile.
            await tx.execute(
                sa.text("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.published', 0))")
            )
            if put_back or await self._published() <= size:
                await self._put(f"{PREFIX}/{CHECKPOINT}", checkpoint.note.encode())
        self._size, self._note = size, checkpoint.note
        return size

    async def _published(self) -> int:
        """Size of the tree that was published last; 0 when that cannot be told."""
        if await self._objects.size_of(f"{PREFIX}/{CHECKPOINT}") is None:
            return 0
        async with self._objects.local_copy(f"{PREFIX}/{CHECKPOINT}") as file:
            lines = file.read_text(encoding="utf-8").splitlines()
        return int(lines[1]) if len(lines) > 1 and lines[1].isdecimal() else 0

    async def _forget_partial(self, tile: Tile) -> None:
        """Removes the partial tiles that a full one has taken the place of."""
        await self._objects.delete_prefix(f"{PREFIX}/{tile.path}.p")
        if tile.level == 0:
            await self._objects.delete_prefix(f"{ENTRIES_PREFIX}/{tile.entries_path}.p")

    async def _put(self, key: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="reelmesh-tile-") as folder:
            file = Path(folder) / "content"
            with file.open("wb") as target:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())  # the checkpoint must not outlive what it speaks of
            await self._objects.put_file(file, key)
