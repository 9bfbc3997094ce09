"""Moves jobs and their tasks on, each step in one transaction with the events and tasks that follow from it.

A task may be begun more than once, because workers die; it is ended once: each taking has a number, and only the newest may
end the task. A job's row is locked for each step, so that of two workers that end the last two tasks of a stage exactly one
begins the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import ParseDict
from reelmesh.transcode.v1 import events_pb2, transcode_pb2

from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce, enqueue
from services.kit.ids import new_id
from services.kit.storage import ObjectStore
from services.kit.work import Overtaken, TryAgain, WorkQueue
from services.transcode import store
from services.transcode.domain import LEASE, STAGES, Job, JobState, Task, TaskKind

QUEUE: Final = WorkQueue("transcode")


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be made.

    Attributes:
        kind: what it does.
        position: number of the chunk or track.
        seconds: seconds of film that it encodes.
    """

    kind: TaskKind
    position: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task.

    Attributes:
        result: what the tasks after it need to know; `renditions` in it are made renditions in the contract's JSON form.
        files: object key → file to be moved there.
    """

    result: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned(Outcome):
    """What came of the probe.

    Attributes:
        facts: what was found, as an event that lacks only who and when.
        plan: what the tasks after it need to know.
        renditions: that will be made, in the contract's JSON form.
        encode: tasks that can begin at once.
        finish: tasks that begin when those are done.
        segment_seconds: length of a segment.
    """

    facts: events_pb2.MasterProbed = field(default_factory=events_pb2.MasterProbed)
    plan: dict[str, Any] = field(default_factory=dict)
    renditions: list[dict[str, Any]] = field(default_factory=list)
    encode: Sequence[NewTask] = ()
    finish: Sequence[NewTask] = ()
    segment_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the rest of a job is: seconds of film done by its other tasks, and seconds of film of all its tasks."""

    elsewhere: float
    total: float


class Jobs:
    """Every change of a job goes through here."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock

    # Jobs.

    async def begin(self, tx: Tx, *, asset_id: str, organisation_id: str, object_key: str, colluders: int = 0) -> None:
        """Makes the job of an asset, unless it has one or was deleted; `colluders` as in `Job`."""
        if await store.is_deleted(tx, asset_id):
            return
        job = Job(new_id("job"), asset_id, organisation_id, object_key, self._clock.now(), colluders=colluders)
        if await store.add_job(tx, job):
            await self._ask(tx, job, [NewTask(TaskKind.PROBE)])

    async def cancel(self, tx: Tx, job: Job) -> Job:
        """Stops a job, which is locked. Workers notice within a second.

        Raises:
            Refusal: JOB_WRONG_STATE.
        """
        cancelled = job.cancelled(self._clock.now())
        if cancelled != job:
            await store.drop_open(tx, job.job_id)
            await store.put_job(tx, cancelled)
            message = "the job was cancelled; upload the file again to begin a new one"
            await announce(tx, self._failure(cancelled, "JOB_CANCELLED", message))
        return cancelled

    async def delete_asset(self, tx: Tx, asset_id: str) -> None:
        """Stops the job of an asset that was deleted, and lets its files go."""
        now = self._clock.now()
        job = await store.delete_asset(tx, asset_id, now)
        if job is not None:
            await store.drop_open(tx, job.job_id)
            await store.put_job(tx, job.deleted(now))

    # Tasks.

    async def take(self, task_id: str) -> tuple[Job, Task] | None:
        """Takes a task; None when there is nothing to do any more.

        Raises:
            TryAgain: another worker holds it.
        """
        async with self._database.transaction() as tx:
            found = await store.locked_task(tx, task_id)
            if found is None or found[0].ended or found[1].state != found[1].state.OPEN:
                return None
            job, task = found
            now = self._clock.now()
            if held := task.held_for(now):
                raise TryAgain("another worker has it", delay=held.total_seconds() + 0.1)
            task = task.taken(now)
            if task.worn_out:
                await self._fail(tx, job, "ENCODE_FAILED", "workers kept dying over this film; their logs tell more")
                return None
            await store.put_task(tx, task)
            if job.state is JobState.QUEUED:
                job = job.at(JobState.PROBING)
                await store.put_job(tx, job)
        return job, task

    async def renew(self, task: Task, seconds_done: float) -> Standing | None:
        """Prolongs a worker's hold of a task and notes how far it is. None when the task is not its own any more."""
        async with self._database.transaction() as tx:
            if not await store.renew(tx, task, seconds_done, self._clock.now() + LEASE):
                return None
            return Standing(*await store.seconds_elsewhere(tx, task)) if task.seconds else Standing(0.0, 0.0)

    async def release(self, task: Task) -> None:
        """Gives a task back, through no fault of its own."""
        async with self._database.transaction() as tx:
            _, now = await self._own(tx, task)
            await store.put_task(tx, now.released())

    async def bring(self, outcome: Outcome) -> None:
        """Uploads an outcome's files where the object store is elsewhere. To be done while the task's lease is still renewed, because
        it may take long; what an attempt that came too late uploads is as good."""
        if not self._objects.is_local:
            await self._move(outcome.files)

    async def end(self, task: Task, outcome: Outcome) -> Job:
        """Ends a task well, and begins what can begin now. Returns the job.

        Raises:
            Overtaken: the task is not this attempt's any more; its outcome is worth nothing.
        """
        await self.bring(outcome)  # nothing is left to be done if it was brought before
        async with self._database.transaction() as tx:
            job, now = await self._own(tx, task)
            if self._objects.is_local:
                await self._move(outcome.files)
            await store.put_task(tx, now.done(outcome.result, self._clock.now()))
            if isinstance(outcome, Planned):
                return await self._planned(tx, job, outcome)
            if await store.open_in(tx, job.job_id, job.state):
                return job
            return await (self._encoded if job.state is JobState.ENCODING else self._completed)(tx, job)

    async def stumble(self, task: Task, reason: str, message: str) -> float:
        """Ends an attempt badly. Returns the seconds until the next; 0 when the job was given up.

        Raises:
            Overtaken: the task is not this attempt's any more.
        """
        async with self._database.transaction() as tx:
            job, now = await self._own(tx, task)
            now = now.stumbled()
            await store.put_task(tx, now)
            if now.worn_out:
                await self._fail(tx, job, reason, message)
                return 0.0
            return 2.0**now.failures

    async def fail(self, task: Task, reason: str, message: str) -> None:
        """Gives the job up at once, because another attempt would end the same way.

        Raises:
            Overtaken: the task is not this attempt's any more.
        """
        async with self._database.transaction() as tx:
            job, _ = await self._own(tx, task)
            await self._fail(tx, job, reason, message)

    # Steps within a transaction.

    async def _own(self, tx: Tx, task: Task) -> tuple[Job, Task]:
        found = await store.locked_task(tx, task.task_id)
        if found is None or found[0].ended or not found[1].held_by(task.attempt):
            raise Overtaken
        return found

    async def _move(self, files: Mapping[str, Path]) -> None:
        for key, path in files.items():
            # It was moved already when the transaction could not be committed and is tried again.
            if path.exists() or await self._objects.size_of(key) is None:
                await self._objects.put_file(path, key)

    async def _ask(self, tx: Tx, job: Job, new: Sequence[NewTask]) -> None:
        now = self._clock.now()
        tasks = [
            Task(new_id("tsk"), job.job_id, task.kind, now, position=task.position, seconds=task.seconds)
            for task in new
        ]
        await store.add_tasks(tx, tasks)
        for task in tasks:
            await enqueue(tx, QUEUE.subject, task.task_id.encode())

    async def _planned(self, tx: Tx, job: Job, planned: Planned) -> Job:
        finish = [[task.kind, task.position] for task in planned.finish]
        plan = {**planned.plan, "finish": finish, "segment_seconds": planned.segment_seconds}
        job = job.planned(plan, planned.renditions)
        await store.put_job(tx, job)
        facts = events_pb2.MasterProbed()
        facts.CopyFrom(planned.facts)
        facts.MergeFrom(
            events_pb2.MasterProbed(
                job_id=job.job_id,
                asset_id=job.asset_id,
                organisation_id=job.organisation_id,
                probe_time=timestamp(self._clock.now()),
            )
        )
        await announce(tx, facts)
        await self._ask(tx, job, planned.encode)
        return job

    async def _encoded(self, tx: Tx, job: Job) -> Job:
        job = job.at(JobState.FINISHING)
        await store.put_job(tx, job)
        plan = job.plan or {}
        await self._ask(tx, job, [NewTask(TaskKind(kind), position) for kind, position in plan["finish"]])
        return job

    async def _completed(self, tx: Tx, job: Job) -> Job:
        made: dict[str, dict[str, Any]] = {}
        for kinds in STAGES.values():
            for kind in sorted(kinds):
                for result in await store.results(tx, job.job_id, kind):
                    made |= {rendition["name"]: rendition for rendition in result.get("renditions", ())}
        # In the order of the plan; what the plan could not foresee, such as the number of sprite sheets, comes after.
        planned = [rendition["name"] for rendition in job.renditions]
        names = [name for name in planned if name in made] + [name for name in made if name not in planned]
        job = job.completed([made[name] for name in names], self._clock.now())
        await store.put_job(tx, job)
        await announce(
            tx,
            events_pb2.TranscodeCompleted(
                job_id=job.job_id,
                asset_id=job.asset_id,
                organisation_id=job.organisation_id,
                renditions=[ParseDict(rendition, transcode_pb2.Rendition()) for rendition in job.renditions],
                segment_duration=duration((job.plan or {})["segment_seconds"]),
                complete_time=timestamp(job.end_time),
                watermark_colluders=job.colluders,
            ),
        )
        return job

    async def _fail(self, tx: Tx, job: Job, reason: str, message: str) -> None:
        failed = job.failed(reason, message, self._clock.now())
        await store.drop_open(tx, job.job_id)
        await store.put_job(tx, failed)
        await announce(tx, self._failure(failed, reason, message))

    def _failure(self, job: Job, reason: str, message: str) -> events_pb2.TranscodeFailed:
        return events_pb2.TranscodeFailed(
            job_id=job.job_id,
            asset_id=job.asset_id,
            organisation_id=job.organisation_id,
            while_probing=not job.probed,
            reason=reason,
            message=message,
            fail_time=timestamp(job.end_time),
        )
