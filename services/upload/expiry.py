"""Removes what nobody will finish: uploads whose time ran out, and files that belong to no upload."""

from __future__ import annotations

import asyncio

import structlog

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.storage import ObjectStore
from services.upload import store
from services.upload.intake import Staging

log = structlog.stdlib.get_logger()


class Sweeper:
    """Sweeps now and then."""

    def __init__(self, database: Database, objects: ObjectStore, staging: Staging, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._staging = staging
        self._clock = clock

    async def run(self, every: float) -> None:
        """Sweeps every so many seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.sweep()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("sweep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)

    async def sweep(self) -> None:
        """Sweeps once."""
        async with self._database.transaction() as tx:
            overdue = await store.overdue(tx, self._clock.now())
            for upload in overdue:
                await store.put(tx, upload.expired())
        for upload in overdue:
            log.info("upload expired", upload_id=upload.upload_id, received_bytes=upload.received_bytes)
            if not self._objects.is_local:
                await self._objects.delete(upload.staging_key)
        present = await asyncio.to_thread(self._staging.present)
        if present:
            async with self._database.transaction() as tx:
                wanted = await store.receiving(tx, present)
            for upload_id in set(present) - wanted:
                await asyncio.to_thread(self._staging.forget, upload_id)
