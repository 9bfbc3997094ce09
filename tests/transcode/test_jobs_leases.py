"""Each task is ended once, whatever workers do: die, fall silent and come back, or come to the end together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted, TranscodeFailed

from services.kit.clock import FixedClock
from services.kit.database import Database, outbox
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.kit.work import Overtaken, TryAgain
from services.transcode import store
from services.transcode.care import ASK_AGAIN_AFTER, Caretaker
from services.transcode.domain import LEASE, MOST_FAILURES, MOST_LOSSES, Job, JobState, Task, TaskKind, TaskState
from services.transcode.jobs import QUEUE, Jobs, NewTask, Outcome, Planned

T0 = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Bench:
    """A job in the database, and time that stands still until it is moved."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self.database = database
        self.objects = objects
        self.clock = FixedClock(T0)
        self.jobs = Jobs(database, objects, self.clock)

    async def job(self) -> Task:
        """A new job; returns its first task."""
        asset_id = new_id("ast")
        async with self.database.transaction() as tx:
            await self.jobs.begin(tx, asset_id=asset_id, organisation_id=new_id("org"), object_key="masters/0")
        return (await self.tasks())[0]

    async def chunks(self, count: int) -> list[Task]:
        """The chunks of a new job that was probed."""
        taken = await self.take(await self.job())
        encode = [NewTask(TaskKind.CHUNK, position, 2.0) for position in range(count)]
        await self.jobs.end(taken, Planned(encode=encode, finish=[NewTask(TaskKind.JOIN)]))
        return await self.tasks(TaskKind.CHUNK)

    async def take(self, task: Task) -> Task:
        taken = await self.jobs.take(task.task_id)
        assert taken is not None
        return taken[1]

    async def tasks(self, *kinds: TaskKind) -> list[Task]:
        async with self.database.transaction() as tx:
            rows = await tx.execute(sa.select(store.tasks).order_by(store.tasks.c.kind, store.tasks.c.position))
            return [task for task in map(store.task_of, rows) if not kinds or task.kind in kinds]

    async def job_now(self, task: Task) -> Job:
        async with self.database.transaction() as tx:
            job = await store.locked_job(tx, task.job_id)
        assert job is not None
        return job

    async def said(self, subject: str) -> list[bytes]:
        """What was put into the outbox for a subject."""
        async with self.database.transaction() as tx:
            query = sa.select(outbox.c.payload).where(outbox.c.subject == subject).order_by(outbox.c.position)
            return list((await tx.execute(query)).scalars())


@pytest.fixture
async def bench(mesh: ProcessSettings) -> AsyncIterator[Bench]:
    database = Database.of("transcode", mesh)
    yield Bench(database, ObjectStore.at(mesh.storage_location()))
    await database.close()


async def test_a_task_that_a_worker_holds_is_not_given_to_another(bench: Bench) -> None:
    task = await bench.job()
    await bench.take(task)
    with pytest.raises(TryAgain) as again:
        await bench.jobs.take(task.task_id)
    assert again.value.delay <= LEASE.total_seconds() + 1


async def test_a_lease_lasts_as_long_as_it_is_renewed(bench: Bench) -> None:
    held = await bench.take(await bench.job())
    for _ in range(5):
        bench.clock.advance(LEASE - timedelta(seconds=1))
        assert await bench.jobs.renew(held, 0.0) is not None
    with pytest.raises(TryAgain):
        await bench.jobs.take(held.task_id)


async def test_a_worker_that_comes_back_too_late_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    first = await bench.take((await bench.chunks(2))[0])
    bench.clock.advance(LEASE + timedelta(seconds=1))
    second = await bench.take(first)
    assert (second.attempt, second.losses) == (2, 1)
    late = tmp_path / "late.mp4"
    late.write_bytes(b"late")
    assert await bench.jobs.renew(first, 1.0) is None
    for too_late in (
        bench.jobs.end(first, Outcome({"late": True}, {"work/late": late})),
        bench.jobs.stumble(first, "ENCODE_FAILED", "late"),
        bench.jobs.fail(first, "ENCODE_FAILED", "late"),
        bench.jobs.release(first),
    ):
        with pytest.raises(Overtaken):
            await too_late
    assert late.exists()
    await bench.jobs.end(second, Outcome({"late": False}))
    assert (await bench.tasks(TaskKind.CHUNK))[0].result == {"late": False}


async def test_workers_that_end_the_last_tasks_together_begin_the_next_stage_once(bench: Bench) -> None:
    taken = [await bench.take(task) for task in await bench.chunks(6)]
    jobs = await asyncio.gather(*(bench.jobs.end(task, Outcome()) for task in taken))
    assert sorted(job.state for job in jobs) == [JobState.ENCODING] * 5 + [JobState.FINISHING]
    (join,) = await bench.tasks(TaskKind.JOIN)
    await bench.jobs.end(await bench.take(join), Outcome({"renditions": [{"name": "video-144p"}]}))
    assert (await bench.job_now(join)).state is JobState.COMPLETED
    (announced,) = await bench.said(TranscodeCompleted.DESCRIPTOR.full_name)
    assert [one.name for one in TranscodeCompleted.FromString(announced).renditions] == ["video-144p"]


async def test_a_task_that_keeps_failing_is_given_up_with_its_job(bench: Bench) -> None:
    first, second = await bench.chunks(2)
    pauses = [await bench.jobs.stumble(await bench.take(first), "ENCODE_FAILED", "no") for _ in range(MOST_FAILURES)]
    assert pauses == [2.0, 4.0, 8.0, 0.0]
    job = await bench.job_now(first)
    assert (job.state, job.failure_reason, job.failure_message) == (JobState.FAILED, "ENCODE_FAILED", "no")
    assert await bench.jobs.take(second.task_id) is None
    (announced,) = await bench.said(TranscodeFailed.DESCRIPTOR.full_name)
    assert not TranscodeFailed.FromString(announced).while_probing


async def test_a_task_that_kills_its_workers_is_given_up(bench: Bench) -> None:
    task = await bench.job()
    for _ in range(MOST_LOSSES):
        await bench.take(task)
        bench.clock.advance(LEASE + timedelta(seconds=1))
    assert await bench.jobs.take(task.task_id) is None
    assert (await bench.job_now(task)).state is JobState.FAILED
    (announced,) = await bench.said(TranscodeFailed.DESCRIPTOR.full_name)
    assert TranscodeFailed.FromString(announced).while_probing


async def test_a_task_given_back_counts_neither_as_failed_nor_as_lost(bench: Bench) -> None:
    task = await bench.job()
    for attempt in range(1, 20):
        held = await bench.take(task)
        assert held.attempt == attempt
        await bench.jobs.release(held)
    (now,) = await bench.tasks()
    assert (now.failures, now.losses, now.state) == (0, 0, TaskState.OPEN)


async def test_tasks_that_the_queue_lost_are_asked_for_again(bench: Bench) -> None:
    """A bus that lost its disk must not leave a job waiting for ever; a task that a worker is at is left alone."""
    held, waiting = await bench.chunks(2)
    bench.clock.advance(ASK_AGAIN_AFTER + timedelta(seconds=1))
    await bench.take(held)
    asked = len(await bench.said(QUEUE.subject))
    caretaker = Caretaker(bench.database, bench.objects, bench.clock)
    await caretaker.ask_again()
    await caretaker.ask_again()
    assert (await bench.said(QUEUE.subject))[asked:] == [waiting.task_id.encode()]


async def test_done_work_is_kept_although_its_commit_had_to_be_tried_again(bench: Bench, tmp_path: Path) -> None:
    """Its file was moved with the commit that failed; that it is there already is no reason to fail."""
    held = await bench.take((await bench.chunks(1))[0])
    made = tmp_path / "chunk.mp4"
    made.write_bytes(b"film")
    await bench.objects.put_file(made, "work/chunk")
    await bench.jobs.end(held, Outcome({}, {"work/chunk": made}))
    assert bench.objects.path_of("work/chunk").read_bytes() == b"film"


async def test_files_reach_a_store_elsewhere_while_the_task_is_still_held(
    mesh: ProcessSettings, s3_bucket: str, tmp_path: Path
) -> None:
    """Uploading may take longer than a lease, which is renewed only until the task is ended."""
    database = Database.of("transcode", mesh)
    bench = Bench(database, ObjectStore.at(f"s3://{s3_bucket}/objects"))
    held = await bench.take((await bench.chunks(1))[0])
    made = tmp_path / "chunk.mp4"
    made.write_bytes(b"film")
    outcome = Outcome({}, {"work/chunk": made})
    await bench.jobs.bring(outcome)
    assert await bench.objects.size_of("work/chunk") == 4
    assert [task.state for task in await bench.tasks(TaskKind.CHUNK)] == [TaskState.OPEN]
    await bench.jobs.end(held, outcome)
    assert [task.state for task in await bench.tasks(TaskKind.CHUNK)] == [TaskState.DONE]
    await database.close()
