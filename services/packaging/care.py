"""What is seen to from time to time: files of deleted assets go, and packages that the queue lost are asked for again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import enqueue
from services.kit.storage import ObjectStore
from services.packaging import store
from services.packaging.consumers import QUEUE
from services.packaging.domain import published_prefix, work_prefix

log = structlog.stdlib.get_logger()


ASK_AGAIN_AFTER: Final = timedelta(minutes=10)


class Caretaker:
    """Looks at what is due. Whatever it did not get to before a crash is still there to be found."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock, delay: timedelta) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._delay = delay

    async def run(self, interval: float) -> None:
        """Looks every `interval` seconds until cancelled."""
        while True:
            try:
                await self.remove()
                await self.ask_again()
            except Exception as error:  # the database or the store is away: look again later
                log.warning("packages cannot be seen to now", error=f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(interval)

    async def ask_again(self) -> None:
        """Puts packages into the work queue again that no worker took for long. One that was in it all the time is taken
        once all the same."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            for package in await store.forgotten(tx, now, now - ASK_AGAIN_AFTER):
                await store.put(tx, replace(package, ask_time=now))
                await enqueue(tx, QUEUE.subject, package.package_id.encode())

    async def remove(self) -> None:
        """Removes the files of packages whose asset was deleted, once running sessions have been cut."""
        async with self._database.transaction() as tx:
            due = await store.to_remove(tx, self._clock.now() - self._delay)
            for package in due:
                await self._objects.delete_prefix(published_prefix(package.package_id))
                await self._objects.delete_prefix(work_prefix(package.package_id))
                await store.put(tx, replace(package, remove_time=self._clock.now()))
                log.info("package removed", package_id=package.package_id)
