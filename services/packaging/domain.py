"""Rules of a package's life. No input, no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "packaging.reelmesh"
MOST_FAILURES: Final = 4
"""Failures after which a package is given up."""

MOST_LOSSES: Final = 8
"""Workers that may die over a package before it is given up: it may be what kills them."""


LEASE: Final = timedelta(seconds=10)
"""How long a worker that is not heard of still holds its package."""


class State(IntEnum):
    """Where a package stands; the numbers are those of the contract."""

    PACKAGING = 1
    PUBLISHED = 2
    FAILED = 3


class Scheme(IntEnum):
    """How media is encrypted; the numbers are those of the contract."""

    CBCS = 1
    CENC = 2


@dataclass(frozen=True, slots=True)
class Published:
    """What a packager made: paths below the package, label → key id (32 hex digits), seconds, bytes; if it is watermarked, for how many
    colluders, and how many segments a picture has."""

    dash_path: str
    hls_path: str
    poster_path: str
    thumbnails_path: str
    track_keys: Mapping[str, str]
    duration_seconds: float
    size_bytes: int
    watermark_colluders: int = 0
    watermark_segments: int = 0


@dataclass(frozen=True, slots=True)
class Package:
    """One set to be made, or made.

    Attributes:
        source: the serialised `TranscodeCompleted` that it is made from.
        attempt: how often a worker took it; the number of the latest taking is what allows its worker to end it.
        lease_until: until when its worker holds it, unless that renews its lease; None when no worker has it.
        ask_time: when it was last put into the work queue.
        failures: attempts that ended badly.
        losses: attempts whose worker was never heard of again.
        replaces: package whose place it takes because its keys have to be changed; empty for the first one of a job.
        watermark_colluders, watermark_segments: as in `Published`.
    """

    package_id: str
    asset_id: str
    organisation_id: str
    job_id: str
    source: bytes
    scheme: Scheme
    create_time: datetime
    ask_time: datetime
    state: State = State.PACKAGING
    attempt: int = 0
    lease_until: datetime | None = None
    failures: int = 0
    losses: int = 0
    replaces: str = ""
    track_keys: Mapping[str, str] = field(default_factory=dict)
    dash_path: str = ""
    hls_path: str = ""
    poster_path: str = ""
    thumbnails_path: str = ""
    duration_seconds: float = 0.0
    size_bytes: int = 0
    failure_reason: str = ""
    failure_message: str = ""
    start_time: datetime | None = None
    publish_time: datetime | None = None
    delete_time: datetime | None = None
    remove_time: datetime | None = None
    watermark_colluders: int = 0
    watermark_segments: int = 0

    def successor(self, package_id: str, now: datetime) -> Package:
        """One that takes its place, of the same renditions, with keys of its own."""
        return Package(
            package_id=package_id,
            asset_id=self.asset_id,
            organisation_id=self.organisation_id,
            job_id=self.job_id,
            source=self.source,
            scheme=self.scheme,
            create_time=now,
            ask_time=now,
            replaces=self.package_id,
        )

    @property
    def wanted(self) -> bool:
        """Whether there is still something to do."""
        return self.state is State.PACKAGING and self.delete_time is None

    @property
    def worn_out(self) -> bool:
        """Whether another attempt makes no sense."""
        return self.failures >= MOST_FAILURES or self.losses >= MOST_LOSSES

    def held_by(self, attempt: int) -> bool:
        """Whether this attempt may still end it; an older one comes too late."""
        return self.wanted and self.lease_until is not None and self.attempt == attempt

    def held_for(self, now: datetime) -> timedelta:
        """How long another worker still holds it; zero when it can be taken."""
        return max(self.lease_until - now, timedelta()) if self.lease_until is not None else timedelta()

    def taken(self, now: datetime) -> Package:
        """The package in the hands of a worker. Whoever held it before is not waited for any more."""
        losses = self.losses + (1 if self.lease_until is not None else 0)
        start_time = self.start_time or now
        return replace(self, attempt=self.attempt + 1, lease_until=now + LEASE, losses=losses, start_time=start_time)

    def released(self) -> Package:
        """The package back in the queue, through no fault of its own."""
        return replace(self, lease_until=None)

    def stumbled(self) -> Package:
        """The package after an attempt that ended badly."""
        return replace(self, lease_until=None, failures=self.failures + 1)

    def failed(self, reason: str, message: str) -> Package:
        """The package given up."""
        return replace(self, lease_until=None, state=State.FAILED, failure_reason=reason, failure_message=message)

    def published(self, made: Published, now: datetime) -> Package:
        """The package once it can be played."""
        return replace(
            self,
            lease_until=None,
            state=State.PUBLISHED,
            publish_time=now,
            track_keys=dict(made.track_keys),
            dash_path=made.dash_path,
            hls_path=made.hls_path,
            poster_path=made.poster_path,
            thumbnails_path=made.thumbnails_path,
            duration_seconds=made.duration_seconds,
            size_bytes=made.size_bytes,
            watermark_colluders=made.watermark_colluders,
            watermark_segments=made.watermark_segments,
        )

    def begun_again(self, now: datetime) -> Package:
        """A package that was given up, with all its tries before it."""
        return replace(
            self,
            state=State.PACKAGING,
            ask_time=now,
            failures=0,
            losses=0,
            failure_reason="",
            failure_message="",
        )

    def deleted(self, now: datetime) -> Package:
        """The package once its asset was deleted."""
        return self if self.delete_time is not None else replace(self, delete_time=now)


def published_prefix(package_id: str) -> str:
    """Where a package's files lie in the object store."""
    return f"published/{package_id}"


def work_prefix(package_id: str) -> str:
    """Where a package is made, below the object store when that is local."""
    return f"work/{package_id}"


def not_found(package_id: str) -> Refusal:
    """There is no such package in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "PACKAGE_NOT_FOUND",
        "there is no such package; its asset may be deleted, or it belongs to another organisation",
        domain=DOMAIN,
        metadata={"package_id": package_id},
    )
