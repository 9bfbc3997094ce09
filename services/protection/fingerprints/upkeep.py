"""What is seen to from time to time: what the queues lost is asked for again, what is too old goes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import EVENTS_KEPT_FOR, enqueue
from services.kit.storage import ObjectStore
from services.protection.fingerprints import store
from services.protection.fingerprints.domain import object_key
from services.protection.fingerprints.working import MATCHES, TITLES

log = structlog.stdlib.get_logger()

ASK_AGAIN_AFTER: Final = timedelta(hours=6)
"""Longer than any film takes; a second go would do no harm."""


class Upkeep:
    """Looks at what is due. Whatever it did not get to before a crash is still there to be found.

    Args:
        kept: how long matches are kept.
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
            for asset_id in await store.waiting(tx, now - ASK_AGAIN_AFTER, now):
                await enqueue(tx, TITLES.subject, asset_id.encode())
            for match in await store.unfinished(tx, now - ASK_AGAIN_AFTER):
                await store.put_match(tx, replace(match, ask_time=now))
                await enqueue(tx, MATCHES.subject, match.match_id.encode())
            await store.forget_matches(tx, now - self._kept)
            await store.forget_bars(tx, now - 2 * EVENTS_KEPT_FOR)
            # Objects go before the rows that tell of them: what a crash leaves is looked for again.
            for asset_id in await store.forget_deleted(tx, now - EVENTS_KEPT_FOR):
                await self._objects.delete(object_key(asset_id))
