"""The tables of jobs, tasks and deleted assets. Whoever locks a job and its tasks locks the job first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.transcode.domain import STAGES, Job, JobState, Task, TaskKind, TaskState, not_found

_METADATA: Final = sa.MetaData()

jobs: Final = sa.Table(
    "jobs",
    _METADATA,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("state", sa.SmallInteger),
    sa.Column("plan", JSONB(none_as_null=True)),
    sa.Column("renditions", JSONB),
    sa.Column("failure_reason", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
    sa.Column("tidy", sa.Boolean),
    sa.Column("colluders", sa.SmallInteger),
)

tasks: Final = sa.Table(
    "tasks",
    _METADATA,
    sa.Column("task_id", sa.Text, primary_key=True),
    sa.Column("job_id", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("position", sa.Integer),
    sa.Column("state", sa.SmallInteger),
    sa.Column("seconds", sa.Double),
    sa.Column("seconds_done", sa.Double),
    sa.Column("result", JSONB(none_as_null=True)),
    sa.Column("attempt", sa.Integer),
    sa.Column("failures", sa.Integer),
    sa.Column("losses", sa.Integer),
    sa.Column("lease_until", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
)

deleted_assets: Final = sa.Table(
    "deleted_assets",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
)


def _job(row: sa.Row[tuple[Any, ...]]) -> Job:
    values = row._asdict()
    return Job(**{**values, "state": JobState(values["state"])})


def task_of(row: sa.Row[tuple[Any, ...]]) -> Task:
    """A task from a row of its table."""
    values = row._asdict()
    return Task(**{**values, "kind": TaskKind(values["kind"]), "state": TaskState(values["state"])})


def _values(thing: Job | Task) -> dict[str, Any]:
    return {column.name: getattr(thing, column.name) for column in fields(thing)}


# Jobs.


async def add_job(tx: Tx, job: Job) -> bool:
    """Keeps a new job. False when its asset has one already."""
    added = await tx.execute(insert(jobs).values(**_values(job)).on_conflict_do_nothing(index_elements=["asset_id"]))
    return bool(added.rowcount)


async def put_job(tx: Tx, job: Job) -> None:
    """Keeps the next state of a job."""
    await tx.execute(sa.update(jobs).where(jobs.c.job_id == job.job_id).values(**_values(job)))


async def locked_job(tx: Tx, job_id: str) -> Job | None:
    """One job of whichever organisation, locked until the transaction ends."""
    row = (await tx.execute(sa.select(jobs).where(jobs.c.job_id == job_id).with_for_update())).one_or_none()
    return None if row is None else _job(row)


async def get_job(tx: Tx, organisation_id: str, job_id: str, *, for_update: bool = False) -> Job:
    """One job of an organisation.

    Raises:
        Refusal: JOB_NOT_FOUND.
    """
    query = sa.select(jobs).where(jobs.c.job_id == job_id, jobs.c.organisation_id == organisation_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise not_found(job_id)
    return _job(row)


async def page(tx: Tx, organisation_id: str, asset_id: str, part: Page) -> Sequence[Job]:
    """One page of an organisation's jobs, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(jobs)
        .where(jobs.c.organisation_id == organisation_id)
        .order_by(jobs.c.job_id.desc())
        .limit(part.size + 1)
    )
    if asset_id:
        query = query.where(jobs.c.asset_id == asset_id)
    if part.after:
        query = query.where(jobs.c.job_id < part.after)
    return [_job(row) for row in await tx.execute(query)]


async def untidy(tx: Tx, limit: int = 20) -> Sequence[Job]:
    """Ended jobs of which something may be left, locked; those that someone else works on are left out."""
    query = (
        sa.select(jobs)
        .where(jobs.c.end_time.is_not(None), sa.not_(jobs.c.tidy))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_job(row) for row in await tx.execute(query)]


async def is_deleted(tx: Tx, asset_id: str) -> bool:
    """Whether an asset was deleted; waits for whoever is deciding that just now."""
    await _one_at_a_time(tx, asset_id)
    query = sa.select(deleted_assets.c.asset_id).where(deleted_assets.c.asset_id == asset_id)
    return (await tx.execute(query)).one_or_none() is not None


async def delete_asset(tx: Tx, asset_id: str, now: datetime) -> Job | None:
    """Notes that an asset was deleted. Returns its job, locked."""
    await _one_at_a_time(tx, asset_id)
    await tx.execute(insert(deleted_assets).values(asset_id=asset_id, delete_time=now).on_conflict_do_nothing())
    row = (await tx.execute(sa.select(jobs).where(jobs.c.asset_id == asset_id).with_for_update())).one_or_none()
    return None if row is None else _job(row)


async def _one_at_a_time(tx: Tx, asset_id: str) -> None:
    # An asset may be deleted before its upload is heard of, so there may be no row to lock.
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(asset_id, 0))))


# Tasks.


async def add_tasks(tx: Tx, new: Sequence[Task]) -> None:
    """Keeps new tasks."""
    await tx.execute(sa.insert(tasks), [_values(task) for task in new])


async def put_task(tx: Tx, task: Task) -> None:
    """Keeps the next state of a task."""
    await tx.execute(sa.update(tasks).where(tasks.c.task_id == task.task_id).values(**_values(task)))


async def locked_task(tx: Tx, task_id: str) -> tuple[Job, Task] | None:
    """One task and its job, both locked until the transaction ends."""
    job_id = (await tx.execute(sa.select(tasks.c.job_id).where(tasks.c.task_id == task_id))).scalar_one_or_none()
    job = None if job_id is None else await locked_job(tx, job_id)
    if job is None:
        return None
    row = (await tx.execute(sa.select(tasks).where(tasks.c.task_id == task_id).with_for_update())).one()
    return job, task_of(row)


async def renew(tx: Tx, task: Task, seconds_done: float, until: datetime) -> bool:
    """Prolongs the lease of an attempt, and notes how far it is. False when it is not the task's any more."""
    renewed = await tx.execute(
        sa.update(tasks)
        .where(tasks.c.task_id == task.task_id, tasks.c.attempt == task.attempt)
        .where(tasks.c.state == TaskState.OPEN, tasks.c.lease_until.is_not(None))
        .values(lease_until=until, seconds_done=seconds_done)
    )
    return bool(renewed.rowcount)


async def drop_open(tx: Tx, job_id: str) -> None:
    """Takes the open tasks of a job from whoever has them: their leases end with the next renewal."""
    query = sa.update(tasks).where(tasks.c.job_id == job_id, tasks.c.state == TaskState.OPEN)
    await tx.execute(query.values(state=TaskState.DROPPED))


async def open_in(tx: Tx, job_id: str, stage: JobState) -> int:
    """How many tasks of a stage are still open."""
    query = sa.select(sa.func.count()).where(
        tasks.c.job_id == job_id, tasks.c.kind.in_(STAGES[stage]), tasks.c.state == TaskState.OPEN
    )
    return int((await tx.execute(query)).scalar_one())


async def results(tx: Tx, job_id: str, kind: TaskKind) -> Sequence[dict[str, Any]]:
    """What the done tasks of a kind left, by position."""
    query = (
        sa.select(tasks.c.result)
        .where(tasks.c.job_id == job_id, tasks.c.kind == kind, tasks.c.state == TaskState.DONE)
        .order_by(tasks.c.position)
    )
    return list((await tx.execute(query)).scalars())


async def fractions(tx: Tx, job_ids: Sequence[str]) -> dict[str, float]:
    """Share of the encoding that is done, by job; jobs without anything to encode are left out."""
    total = sa.func.sum(tasks.c.seconds)
    query = (
        sa.select(tasks.c.job_id, sa.func.sum(tasks.c.seconds_done) / total)
        .where(tasks.c.job_id.in_(job_ids), tasks.c.seconds > 0)
        .group_by(tasks.c.job_id)
    )
    return {job_id: min(float(fraction), 1.0) for job_id, fraction in await tx.execute(query)}


async def seconds_elsewhere(tx: Tx, task: Task) -> tuple[float, float]:
    """Seconds of film done by the job's other tasks, and seconds of film of all."""
    query = sa.select(
        sa.func.coalesce(sa.func.sum(tasks.c.seconds_done).filter(tasks.c.task_id != task.task_id), 0.0),
        sa.func.coalesce(sa.func.sum(tasks.c.seconds), 0.0),
    ).where(tasks.c.job_id == task.job_id)
    done, total = (await tx.execute(query)).one()
    return float(done), float(total)


async def forgotten(tx: Tx, now: datetime, asked_before: datetime, limit: int = 100) -> Sequence[Task]:
    """Tasks that were asked for long ago and that no worker has, locked."""
    query = (
        sa.select(tasks)
        .where(tasks.c.state == TaskState.OPEN, tasks.c.ask_time < asked_before)
        .where(sa.func.coalesce(tasks.c.lease_until, asked_before) < now)
        .order_by(tasks.c.ask_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [task_of(row) for row in await tx.execute(query)]


async def is_worked_on(tx: Tx, job_id: str, now: datetime) -> bool:
    """Whether a worker may still hold one of the job's tasks, done or dropped."""
    query = sa.select(sa.exists().where(tasks.c.job_id == job_id, tasks.c.lease_until > now))
    return bool((await tx.execute(query)).scalar_one())
