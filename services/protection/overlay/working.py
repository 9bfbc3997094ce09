"""Makes the review copies that are asked for, one after the other.

A copy that was begun by a process that died is begun again; the file is moved into the store whole, and then the copy is said to be ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import enqueue
from services.kit.overlay_text import TIME, filled, of_viewer
from services.kit.storage import ObjectStore
from services.kit.work import WorkQueue
from services.protection.overlay import store
from services.protection.overlay.burning import NotFilm, burned
from services.protection.overlay.domain import ReviewCopy, Template

log = structlog.stdlib.get_logger()

QUEUE: Final = WorkQueue("protection-review")
ASK_AGAIN_AFTER: Final = timedelta(hours=8)
"""Longer than any copy takes; a second go would do no harm."""
_TOLD_EVERY: Final = 1.0


class Copying:
    """Makes review copies, and sees to what is too old.

    Args:
        kept: how long files are kept.
    """

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock, kept: timedelta) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._kept = kept

    async def work(self, task: bytes) -> None:
        """Makes one copy; `task` is its id."""
        async with self._database.transaction() as tx:
            copy = await store.locked_copy(tx, task.decode())
            if copy is None or copy.ended:
                return
            copy = copy.running()
            await store.put_copy(tx, copy)
            template = await store.template_of(tx, copy.organisation_id)
        try:
            done = await self._made(copy, template)
        except NotFilm as error:
            log.info("a review copy cannot be made", review_copy_id=copy.review_copy_id, why=str(error))
            message = "no moving picture could be decoded from the film; look whether the upload itself can be played"
            done = copy.failed(message, self._clock.now())
        async with self._database.transaction() as tx:
            now = await store.locked_copy(tx, copy.review_copy_id)
            if now is not None and not now.ended:
                await store.put_copy(tx, done)

    async def run(self, interval: float) -> None:
        """Looks every `interval` seconds at what is due, until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the database or the store may be away for a moment; there is no hurry
                log.warning("the upkeep of review copies is put off", error=type(error).__name__)
            await asyncio.sleep(interval)

    async def look(self) -> None:
        """Asks again for what the queue lost, and removes what is over."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            for copy in await store.forgotten(tx, now - ASK_AGAIN_AFTER):
                await store.put_copy(tx, replace(copy, ask_time=now))
                await enqueue(tx, QUEUE.subject, copy.review_copy_id.encode())
            for copy in await store.over(tx, now - self._kept):
                await self._objects.delete(copy.file_key)
                await store.forget_copy(tx, copy.review_copy_id)

    async def _made(self, copy: ReviewCopy, template: Template) -> ReviewCopy:
        share = [0.0]

        def on_fraction(done: float) -> None:
            share[0] = done

        telling = asyncio.create_task(self._tell(copy.review_copy_id, share))
        try:
            async with (
                self._objects.local_copy(copy.object_key) as film,
                burned(film, template, shown(copy, template), on_fraction) as file,
            ):
                size, digest = file.stat().st_size, await asyncio.to_thread(_sha256, file)
                await self._objects.put_file(file, copy.file_key)
        finally:
            telling.cancel()
        now = self._clock.now()
        return copy.ready(size, digest, now, now + self._kept)

    async def _tell(self, review_copy_id: str, share: list[float]) -> None:
        """Notes every second how far it is, until cancelled."""
        told = 0.0
        while True:
            await asyncio.sleep(_TOLD_EVERY)
            if share[0] > told:
                told = share[0]
                with contextlib.suppress(Exception):  # the database may be away for a moment; the next one tells
                    async with self._database.transaction() as tx:
                        await store.note_fraction(tx, review_copy_id, told)


def shown(copy: ReviewCopy, template: Template) -> str:
    """The text of a copy: the recipient is the viewer, and the copy is the session."""
    values = of_viewer(copy.recipient, copy.review_copy_id, "review copy")
    return filled(template.text, {**values, TIME: f"{copy.create_time:%Y-%m-%d %H:%M} UTC"})


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
