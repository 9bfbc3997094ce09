"""Thins out old checkpoints. Each is made again by any later tree, so what is lost is who signed it when."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from services.compliance.log import store
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database

log = structlog.stdlib.get_logger()

ALL_KEPT: Final = timedelta(hours=1)
"""How long every checkpoint is kept; after that, the last of each minute."""
MINUTES_KEPT: Final = timedelta(days=30)
"""How long the last of each minute is kept; after that, the last of each day. Of each, also the last that a witness cosigned."""


async def upkeep(database: Database, clock: Clock, every: float) -> None:
    """Thins out every so many seconds until cancelled. Trouble is waited out."""
    while True:
        try:
            await thinned(database, clock)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the database may be away for a moment; there is no hurry
            log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
        await asyncio.sleep(every)


async def thinned(database: Database, clock: Clock) -> int:
    """Thins out once. Returns how many checkpoints went."""
    async with database.transaction() as tx:
        minutes = await store.thin_checkpoints(tx, clock.now() - ALL_KEPT, "minute")
        return minutes + await store.thin_checkpoints(tx, clock.now() - MINUTES_KEPT, "day")
