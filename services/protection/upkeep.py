"""What is seen to from time to time: what is too old goes, and detections that the queue lost are asked for again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from services.kit import idempotency
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import enqueue
from services.kit.storage import ObjectStore
from services.protection import store
from services.protection.domain import picture_key
from services.protection.working import QUEUE

log = structlog.stdlib.get_logger()

ASK_AGAIN_AFTER: Final = timedelta(hours=2)
"""Longer than any detection takes; a second go would do no harm."""


class Upkeep:
    """Looks at what is due. Whatever it did not get to before a crash is still there to be found.

    Args:
        kept: how long sessions and detections are kept.
    """

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock, kept: timedelta) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._kept = kept

    async def run(self, interval: float) -> None:
        """Looks every `interval` seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database or the store may be away for a moment; there is no hurry
                log.warning("upkeep put off", error=type(error).__name__)
            await asyncio.sleep(interval)

    async def once(self) -> None:
        """Looks once."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.forget_sessions(tx, now - self._kept)
            await idempotency.forget_old(tx)
            for detection in await store.unfinished(tx, now - ASK_AGAIN_AFTER):
                await store.put_detection(tx, replace(detection, ask_time=now))
                await enqueue(tx, QUEUE.subject, detection.detection_id.encode())
            for detection_id in await store.forget_detections(tx, now - self._kept):
                await self._objects.delete(picture_key(detection_id))
