"""Rules of a job's and a task's life. No input, no output.

A job goes through three stages: the master is probed; its picture is encoded in chunks and its sound track by track; the
chunks are joined and stills taken from them, while captions are made. A stage's tasks are worked on by any number of workers at once; the
next stage begins when all are done.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "transcode.reelmesh"
MOST_FAILURES: Final = 4
"""Failures of our own after which a task, and its job, is given up."""

MOST_LOSSES: Final = 8
"""Workers that may die over a task before it is given up: it may be what kills them."""

LEASE: Final = timedelta(seconds=10)
"""How long a worker that is not heard of still holds its task."""


class JobState(IntEnum):
    """Where a job stands; the numbers are those of the contract."""

    QUEUED = 1
    PROBING = 2
    ENCODING = 3
    FINISHING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7


ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class TaskKind(StrEnum):
    """What a task does."""

    PROBE = "probe"
    CHUNK = "chunk"
    AUDIO = "audio"
    JOIN = "join"
    CAPTIONS = "captions"


STAGES: Final = {
    JobState.PROBING: frozenset({TaskKind.PROBE}),
    JobState.ENCODING: frozenset({TaskKind.CHUNK, TaskKind.AUDIO}),
    JobState.FINISHING: frozenset({TaskKind.JOIN, TaskKind.CAPTIONS}),
}
"""Which tasks make up which stage."""


class TaskState(IntEnum):
    """Where a task stands."""

    OPEN = 1
    DONE = 2
    DROPPED = 3


@dataclass(frozen=True, slots=True)
class Job:
    """The work of turning one master into renditions.

    Attributes:
        object_key: where the master lies in the object store.
        plan: what the probe found and what follows from it, as JSON; None before.
        renditions: planned, and in the end made, renditions as the JSON form of `reelmesh.transcode.v1.Rendition`.
        tidy: whether everything that must not be left of an ended job is removed.
        colluders: how many people who mix their copies the film's watermark is to withstand; 0 for no watermark.
    """

    job_id: str
    asset_id: str
    organisation_id: str
    object_key: str
    create_time: datetime
    state: JobState = JobState.QUEUED
    plan: dict[str, Any] | None = None
    renditions: list[dict[str, Any]] = field(default_factory=list)
    failure_reason: str = ""
    failure_message: str = ""
    end_time: datetime | None = None
    delete_time: datetime | None = None
    tidy: bool = False
    colluders: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.state in ENDED

    @property
    def probed(self) -> bool:
        """Whether the master was looked into."""
        return self.plan is not None

    def at(self, state: JobState) -> Job:
        """The job in its next stage."""
        return replace(self, state=state)

    def planned(self, plan: dict[str, Any], renditions: list[dict[str, Any]]) -> Job:
        """The job once its master was looked into."""
        return replace(self, state=JobState.ENCODING, plan=plan, renditions=renditions)

    def completed(self, renditions: list[dict[str, Any]], now: datetime) -> Job:
        """The job once all renditions are made."""
        return replace(self, state=JobState.COMPLETED, renditions=renditions, end_time=now, tidy=False)

    def failed(self, reason: str, message: str, now: datetime) -> Job:
        """The job given up."""
        return replace(
            self, state=JobState.FAILED, failure_reason=reason, failure_message=message, end_time=now, tidy=False
        )

    def cancelled(self, now: datetime) -> Job:
        """The job stopped by a person. Cancelling twice changes nothing.

        Raises:
            Refusal: JOB_WRONG_STATE when it ended in another way before.
        """
        if self.state is JobState.CANCELLED:
            return self
        if self.ended:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                "JOB_WRONG_STATE",
                f"the job has {self.state.name.lower()} and cannot be cancelled any more",
                domain=DOMAIN,
                metadata={"state": self.state.name},
            )
        return replace(self, state=JobState.CANCELLED, end_time=now, tidy=False)

    def deleted(self, now: datetime) -> Job:
        """The job once its asset was deleted: it stops, and its renditions are to go."""
        job = self if self.ended else self.cancelled(now)
        return replace(job, delete_time=job.delete_time or now, tidy=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One part of a job that one worker does in one go.

    Attributes:
        position: number of the chunk or track; 0 where there is only one task of the kind.
        seconds: seconds of film that it encodes; 0 for tasks that do not count towards progress.
        result: what the tasks after it need to know, as JSON; None before it is done.
        attempt: how often a worker took it; the number of the latest taking is what allows its worker to end it.
        failures: attempts that ended badly.
        losses: attempts whose worker was never heard of again.
        lease_until: until when its worker holds it, unless that renews its lease; None when no worker has it.
        ask_time: when it was last put into the work queue.
    """

    task_id: str
    job_id: str
    kind: TaskKind
    ask_time: datetime
    position: int = 0
    state: TaskState = TaskState.OPEN
    seconds: float = 0.0
    seconds_done: float = 0.0
    result: dict[str, Any] | None = None
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    lease_until: datetime | None = None
    end_time: datetime | None = None

    @property
    def folder(self) -> str:
        """Where this attempt works, below `work/` of the object store."""
        return f"{work_prefix(self.job_id)}/{self.kind}-{self.position}-{self.attempt}"

    @property
    def worn_out(self) -> bool:
        """Whether another attempt makes no sense."""
        return self.failures >= MOST_FAILURES or self.losses >= MOST_LOSSES

    def held_by(self, attempt: int) -> bool:
        """Whether this attempt may still end it; an older one comes too late."""
        return self.state is TaskState.OPEN and self.lease_until is not None and self.attempt == attempt

    def held_for(self, now: datetime) -> timedelta:
        """How long another worker still holds it; zero when it can be taken."""
        return max(self.lease_until - now, timedelta()) if self.lease_until is not None else timedelta()

    def taken(self, now: datetime) -> Task:
        """The task in the hands of a worker. Whoever held it before is not waited for any more."""
        losses = self.losses + (1 if self.lease_until is not None else 0)
        return replace(self, attempt=self.attempt + 1, lease_until=now + LEASE, losses=losses, seconds_done=0.0)

    def released(self) -> Task:
        """The task back in the queue, through no fault of its own."""
        return replace(self, lease_until=None, seconds_done=0.0)

    def stumbled(self) -> Task:
        """The task after an attempt that ended badly."""
        return replace(self, lease_until=None, seconds_done=0.0, failures=self.failures + 1)

    def done(self, result: dict[str, Any], now: datetime) -> Task:
        """The task once its result is kept."""
        return replace(
            self, state=TaskState.DONE, lease_until=None, seconds_done=self.seconds, result=result, end_time=now
        )


def work_prefix(job_id: str) -> str:
    """Where a job's unfinished files lie in the object store."""
    return f"work/{job_id}"


def renditions_prefix(job_id: str) -> str:
    """Where a job's renditions lie in the object store."""
    return f"renditions/{job_id}"


def not_found(job_id: str) -> Refusal:
    """There is no such job in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "JOB_NOT_FOUND",
        "there is no such job; it belongs to another organisation, or its upload is not committed yet",
        domain=DOMAIN,
        metadata={"job_id": job_id},
    )
