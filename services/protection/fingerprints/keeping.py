"""Keeps the indexes as the tables say: titles that have a fingerprint are added, those that are gone are left out.

Every process has its own, on its own disk. A process that dies half-way leaves nothing that counts, and goes on where it was.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from services.kit.database import Database
from services.kit.storage import ObjectStore
from services.protection.fingerprints import store

if TYPE_CHECKING:
    from services.protection.fingerprints.fingerprint import Fingerprint
    from services.protection.fingerprints.index import Index

log = structlog.stdlib.get_logger()

_AT_ONCE: Final = 200
"""Titles whose fingerprints are in memory at once: 400 MB, were all of them two hours long."""


def library_folder(data_dir: Path) -> Path:
    """Where the index of all titles lies."""
    return data_dir / "fingerprints/library"


def barred_folder(data_dir: Path) -> Path:
    """Where the index of what was taken down lies."""
    return data_dir / "fingerprints/barred"


class Keeping:
    """The two indexes of an install: of all titles, and of what was taken down."""

    def __init__(self, database: Database, objects: ObjectStore, data_dir: Path) -> None:
        self._database = database
        self._objects = objects
        self.data_dir = data_dir
        self._library: Index | None = None
        self._barred: Index | None = None
        self._news = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    @property
    def library(self) -> Index:
        """Titles that are there."""
        from services.protection.fingerprints.index import Index  # an idle service does without numpy

        self._library = self._library or Index(library_folder(self.data_dir))
        return self._library

    @property
    def barred(self) -> Index:
        """What was taken down, deleted or not."""
        from services.protection.fingerprints.index import MOST_ASKED_OF_FEW, Index

        self._barred = self._barred or Index(barred_folder(self.data_dir), most_asked=MOST_ASKED_OF_FEW)
        return self._barred

    def wake(self) -> None:
        """Has the indexes looked at soon: something changed."""
        self._news.set()

    async def run(self, interval: float) -> None:
        """Keeps them until cancelled, whenever something changed and every `interval` seconds. Trouble is waited out."""
        while True:
            self._news.clear()
            try:
                await self.once()
            except Exception as error:  # the database or the store may be away for a moment
                log.warning("index is waiting", error=f"{type(error).__name__}: {error}"[:300])
            try:
                async with asyncio.timeout(interval):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def once(self) -> None:
        """Brings both indexes to what the tables say now."""
        async with self._one_at_a_time:
            async with self._database.transaction() as tx:
                there, barred = await store.numbers_to_find(tx), await store.numbers_barred(tx)
            if there or library_folder(self.data_dir).is_dir():
                await self._kept(self.library, there, barred=False)
            if barred or barred_folder(self.data_dir).is_dir():
                await self._kept(self.barred, barred, barred=True)

    async def _kept(self, index: Index, wanted: frozenset[int], *, barred: bool) -> None:
        with index.writing() as ours:
            if not ours:
                return
            missing = sorted(wanted - await asyncio.to_thread(index.titles))
            for start in range(0, len(missing), _AT_ONCE):
                await self._add(index, missing[start : start + _AT_ONCE], barred=barred)
            await asyncio.to_thread(index.tidy, wanted)

    async def _add(self, index: Index, numbers: list[int], *, barred: bool) -> None:
        from services.protection.fingerprints.finding import fingerprint_of

        async with self._database.transaction() as tx:
            titles = await store.titles_numbered(tx, numbers, barred=barred)
        prints: dict[int, Fingerprint] = {}
        for title in titles:
            print_ = await fingerprint_of(self._objects, title.asset_id)
            if print_ is not None:
                prints[title.number] = print_
                continue
            async with self._database.transaction() as tx:
                await store.wait_again(tx, title.asset_id)
        if prints:
            await asyncio.to_thread(index.add, prints)
