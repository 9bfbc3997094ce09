"""Removes records of licences that are older than the install keeps them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from services.drm.fairplay import replays
from services.drm.licences import store
from services.drm.licences.drain import SEGMENT_NOTES_KEPT
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database

log = structlog.stdlib.get_logger()


class Upkeep:
    """Cleans up now and then.

    Args:
        kept_for: how long records of licences are kept. Their events go to whoever keeps the audit log.
    """

    def __init__(self, database: Database, clock: Clock, *, kept_for: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._kept_for = kept_for

    async def run(self, every: float) -> None:
        """Cleans up every so many seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)

    async def once(self) -> None:
        """Cleans up once."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.forget_old(tx, now - self._kept_for, now, now - SEGMENT_NOTES_KEPT)
        more = True
        while more:
            async with self._database.transaction() as tx:
                more = await replays.forget(tx, now)
