"""`python -m services.protection`: keeps up with what is watermarked and who watched it, so that a leaked copy can be traced."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from pydantic import Field

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import ensure_events
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.protection import store
from services.protection.consumers import consumer

log = structlog.stdlib.get_logger()

_UPKEEP_SECONDS: Final = 3600.0


class ProtectionSettings(ProcessSettings):
    """Settings of the protection service."""

    protection_sessions_kept_days: int = Field(
        default=730,
        ge=1,
        description="Days for which a session that played a watermarked title can be found to be the source of a copy.",
    )


async def forget_old(database: Database, clock: Clock, kept: timedelta) -> None:
    """Forgets sessions that began longer ago, now and every hour. Trouble is waited out."""
    while True:
        try:
            async with database.transaction() as tx:
                await store.forget_sessions(tx, clock.now() - kept)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the database may be away for a moment; there is no hurry
            log.warning("upkeep put off", error=type(error).__name__)
        await asyncio.sleep(_UPKEEP_SECONDS)


async def wire(process: Process, settings: ProtectionSettings) -> None:
    """Puts the service together and starts it."""
    database, bus = process.database(), await process.bus()
    await ensure_events(bus.jetstream())
    kept = timedelta(days=settings.protection_sessions_kept_days)
    process.in_background(consumer(database, bus).run(), "consumer")
    process.in_background(forget_old(database, process.clock, kept), "upkeep")


def main() -> None:
    """Runs the service."""
    run("protection", ProtectionSettings, wire, label="protection")


if __name__ == "__main__":
    main()
