"""What is seen to from time to time: ended jobs leave nothing behind, and tasks that the queue lost are asked for again."""

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
from services.transcode import store
from services.transcode.domain import JobState, renditions_prefix, work_prefix
from services.transcode.jobs import QUEUE

log = structlog.stdlib.get_logger()

ASK_AGAIN_AFTER: Final = timedelta(minutes=10)


class Caretaker:
    """Looks at what is due. Whatever it did not get to before a crash is still there to be found."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock

    async def run(self, interval: float) -> None:
        """Looks every `interval` seconds until cancelled."""
        while True:
            try:
                await self.tidy_up()
                await self.ask_again()
            except Exception as error:  # the database or the store is away: look again later
                log.warning("jobs cannot be seen to now", error=f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(interval)

    async def tidy_up(self) -> None:
        """Removes the unfinished files of ended jobs, and the renditions that nobody needs: of failed and cancelled jobs,
        and of deleted assets. Looks again for as long as a worker that was told to stop may still be writing."""
        async with self._database.transaction() as tx:
            for job in await store.untidy(tx):
                await self._objects.delete_prefix(work_prefix(job.job_id))
                if job.state is not JobState.COMPLETED or job.delete_time is not None:
                    await self._objects.delete_prefix(renditions_prefix(job.job_id))
                if not await store.is_worked_on(tx, job.job_id, self._clock.now()):
                    await store.put_job(tx, replace(job, tidy=True))

    async def ask_again(self) -> None:
        """Puts tasks into the work queue again that no worker took for long. One that was in it all the time is done once
        all the same."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            for task in await store.forgotten(tx, now, now - ASK_AGAIN_AFTER):
                await store.put_task(tx, replace(task, ask_time=now))
                await enqueue(tx, QUEUE.subject, task.task_id.encode())
