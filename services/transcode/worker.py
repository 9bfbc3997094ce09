"""`python -m services.transcode.worker`: does the tasks of transcode jobs for as long as there are any.

Any number of workers share the queue. One that is killed loses its task to another after ten seconds, and the work of that
task alone; one that is told to stop gives its task back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import structlog
from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.transcode.v1 import events_pb2

from services.kit.codewords import KEY_FILE
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.events import Relay
from services.kit.process import Process, run
from services.kit.server import as_refusal
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.kit.uncancelled import uncancelled
from services.kit.work import Overtaken, TryAgain, while_ours
from services.transcode.care import Caretaker
from services.transcode.domain import DOMAIN, Job, Task
from services.transcode.jobs import QUEUE, Jobs, Outcome, Standing
from services.transcode.ladder import Profile, VideoCodec
from services.transcode.probe import MasterLimits
from services.transcode.workbench import Making, Masters, Workbench

log = structlog.stdlib.get_logger()

PROGRESS_PAUSE: Final = 0.25
"""Seconds between two tellings of a task's progress."""

PATIENCE: Final = 60.0
"""Seconds that done work waits for the database to come back."""

_PROGRESSED: Final = f"progress.{events_pb2.TranscodeProgressed.DESCRIPTOR.full_name}"
_PASSING: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class TranscodeWorkerSettings(ProcessSettings):
    """Settings of a transcode worker."""

    transcode_parallel: int = Field(
        default=1, ge=1, le=64, description="Tasks worked on at once. One is right: an encoder uses all processors."
    )
    transcode_codecs: tuple[VideoCodec, ...] = Field(
        default=(VideoCodec.H264,), min_length=1, description='JSON list of codecs, such as ["h264", "hevc"].'
    )
    transcode_preset: str = Field(
        default="veryfast",
        pattern="^(ultrafast|superfast|veryfast|faster|fast|medium|slow|slower|veryslow)$",
        description="Speed of the encoders, as x264 names it. `medium` takes about twice as long as `veryfast`.",
    )
    transcode_largest_side: int = Field(
        default=2160, ge=144, description="Shorter side of the largest rendition in pixels; larger masters are reduced."
    )
    transcode_chunk_seconds: float = Field(
        default=10.0, ge=2, description="About how many seconds of film are encoded in one task."
    )
    transcode_longest_hours: float = Field(default=12, gt=0, description="Longer films are refused.")

    def making(self) -> Making:
        """What is made of masters, and of which."""
        return Making(
            Profile(self.transcode_codecs, self.transcode_preset, self.transcode_largest_side),
            MasterLimits(seconds=self.transcode_longest_hours * 3600),
            self.transcode_chunk_seconds,
            self.secret(KEY_FILE),
        )


class Progress:
    """How far one task is, told to whoever watches the asset."""

    def __init__(self, bus: NatsClient, job: Job, task: Task) -> None:
        self._bus = bus
        self._job = job
        self._task = task
        self._told = -1.0
        self.standing = Standing(0.0, 0.0)
        self.seconds_done = 0.0

    def advance(self, seconds_done: float) -> None:
        """Notes how many seconds of film this attempt has encoded."""
        self.seconds_done = min(max(seconds_done, self.seconds_done), self._task.seconds)

    async def tell(self) -> None:
        """Tells how far the job is, if that is news."""
        if not self._task.seconds or not self.standing.total:
            return
        fraction = min((self.standing.elsewhere + self.seconds_done) / self.standing.total, 1.0)
        if fraction <= self._told:
            return
        self._told = fraction
        progressed = events_pb2.TranscodeProgressed(
            job_id=self._job.job_id, asset_id=self._job.asset_id, fraction=fraction
        )
        with contextlib.suppress(Exception):  # NATS is away: whoever misses one gets the next
            await self._bus.publish(_PROGRESSED, progressed.SerializeToString())

    async def keep_telling(self) -> None:
        """Tells it a few times a second, until cancelled."""
        while True:
            await self.tell()
            await asyncio.sleep(PROGRESS_PAUSE)


class Worker:
    """Does the tasks that it is given."""

    def __init__(
        self,
        *,
        database: Database,
        bus: NatsClient,
        objects: ObjectStore,
        jobs: Jobs,
        caretaker: Caretaker,
        making: Making,
    ) -> None:
        self._database = database
        self._bus = bus
        self._objects = objects
        self._jobs = jobs
        self._caretaker = caretaker
        self._making = making
        self._masters = Masters(objects)

    async def work(self, message: bytes) -> None:
        """Does one task; the message is its id.

        Raises:
            TryAgain: it has to be tried again later.
            Overtaken: the task is not ours any more.
        """
        taken = await self._jobs.take(message.decode())
        if taken is None:
            return
        job, task = taken
        about = {"job_id": job.job_id, "asset_id": job.asset_id, "task": f"{task.kind}-{task.position}"}
        with structlog.contextvars.bound_contextvars(**about):
            log.info("task taken", attempt=task.attempt)
            started = time.monotonic()
            try:
                job = await self._attempt(job, task)
            except Overtaken:
                log.info("task is not ours any more", attempt=task.attempt)
                raise
            except asyncio.CancelledError:
                await uncancelled(self._give_back(task))
                raise
            except Exception as error:
                await self._after(task, error)
                await self._caretaker.tidy_up()
            else:
                log.info("task done", seconds=round(time.monotonic() - started, 3))
                if job.ended:
                    await self._caretaker.tidy_up()

    async def _attempt(self, job: Job, task: Task) -> Job:
        from services.transcode import tasks  # an idle worker does without the engine

        progress = Progress(self._bus, job, task)

        async def still_ours() -> bool:
            standing = await self._jobs.renew(task, progress.seconds_done)
            progress.standing = standing or progress.standing
            return standing is not None

        if not await still_ours():
            raise Overtaken
        teller = asyncio.create_task(progress.keep_telling())
        try:
            async with self._folder(task) as folder:
                bench = Workbench(
                    job,
                    task,
                    folder,
                    self._making,
                    progress.advance,
                    self._database,
                    self._objects,
                    self._masters,
                )

                async def brought() -> Outcome:
                    made = await tasks.done(bench)
                    await self._jobs.bring(made)
                    return made

                outcome = await while_ours(brought(), still_ours)
                job = await self._ended(task, outcome)
            progress.advance(task.seconds)
            await progress.tell()
            return job
        finally:
            teller.cancel()

    async def _ended(self, task: Task, outcome: Outcome) -> Job:
        """Ends the task. While the database is away it waits for it: the work would be lost otherwise."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return await self._jobs.end(task, outcome)
            except Exception as error:
                refusal = as_refusal(error)
                if refusal is None or refusal.code not in _PASSING or time.monotonic() > give_up:
                    raise
                log.warning("task cannot be ended now", why=refusal.message)
                await asyncio.sleep(0.5)

    async def _give_back(self, task: Task) -> None:
        with contextlib.suppress(Overtaken):
            await self._jobs.release(task)

    async def _after(self, task: Task, error: Exception) -> None:
        """What follows from an attempt that ended badly: another one, or the end of the job.

        Raises:
            TryAgain: the task is to be tried again.
        """
        refusal = as_refusal(error)
        if refusal is not None and refusal.domain != DOMAIN and refusal.code in _PASSING:
            await self._give_back(task)
            raise TryAgain(refusal.message, delay=2) from error
        if refusal is not None and refusal.domain == DOMAIN and refusal.code is grpc.StatusCode.INVALID_ARGUMENT:
            log.info("master refused", reason=refusal.reason, refusal=refusal.message)
            await self._jobs.fail(task, refusal.reason, refusal.message)
            return
        log.warning("task failed", attempt=task.attempt, exc_info=error)
        if delay := await self._jobs.stumble(task, *_explained(refusal)):
            raise TryAgain("the task failed", delay=delay) from error

    @asynccontextmanager
    async def _folder(self, task: Task) -> AsyncIterator[Path]:
        """A folder to work in, on the object store's own file system when that is local. Nothing of it is left."""
        if not self._objects.is_local:
            with tempfile.TemporaryDirectory(prefix="reelmesh-task-") as elsewhere:
                yield Path(elsewhere)
            return
        folder = self._objects.path_of(task.folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            await uncancelled(self._objects.delete_prefix(task.folder))


def _explained(refusal: Refusal | None) -> tuple[str, str]:
    """Reason and message of a failure, of which only our own refusals may tell more."""
    if refusal is not None and refusal.domain == DOMAIN:
        return refusal.reason, refusal.message
    if refusal is not None:
        return "ENCODE_FAILED", f"the film could not be transcoded, because {refusal.message}"
    return "ENCODE_FAILED", "the encoder failed in a way that is its own fault; its log tells more"


async def wire(process: Process, settings: TranscodeWorkerSettings) -> None:
    """Puts the worker together and starts it."""
    database, objects, bus = process.database(), process.store(), await process.bus()
    js = bus.jetstream()
    await QUEUE.ensure(js)
    caretaker = Caretaker(database, objects, process.clock)
    worker = Worker(
        database=database,
        bus=bus,
        objects=objects,
        jobs=Jobs(database, objects, process.clock),
        caretaker=caretaker,
        making=settings.making(),
    )
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(QUEUE.run(bus, worker.work, parallel=settings.transcode_parallel), "worker")


def main() -> None:
    """Runs the worker."""
    run("transcode", TranscodeWorkerSettings, wire, label="transcode-worker")


if __name__ == "__main__":
    main()
