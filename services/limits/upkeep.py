"""Removes buckets that are full again, which nobody will miss."""

from __future__ import annotations

import asyncio

import structlog

from services.kit import telemetry
from services.kit.clock import Clock
from services.limits.domain import microseconds
from services.limits.store import PostgresBuckets

log = structlog.stdlib.get_logger()


class Upkeep:
    """Cleans up now and then."""

    def __init__(self, buckets: PostgresBuckets, clock: Clock) -> None:
        self._buckets = buckets
        self._clock = clock

    async def run(self, every: float) -> None:
        """Cleans up every so many seconds until cancelled. Trouble is waited out."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.once()
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])

    async def once(self) -> None:
        """Cleans up once."""
        await self._buckets.forget(microseconds(self._clock.now()))
