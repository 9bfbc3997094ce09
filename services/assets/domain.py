"""What is known of an asset, and what follows from it. No input, no output.

An asset is a handful of facts that other services announce. They may come in any order and more than once, so each is
noted by itself, and where the asset stands is worked out from all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

import grpc

from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.ids import time_of

DOMAIN: Final = "assets.reelmesh"
LONGEST_TITLE: Final = 500


class State(IntEnum):
    """Where an asset stands as a whole; the numbers are those of the contract."""

    PROCESSING = 1
    READY = 2
    FAILED = 3
    DELETED = 4
    WITHHELD = 5
    HELD = 6
    KEPT = 7


class Purpose(IntEnum):
    """What the file was uploaded for; the numbers are those of the upload contract (`UploadPurpose`)."""

    TITLE = 1
    EVIDENCE = 2


class Consent(IntEnum):
    """How the consent of all who are seen in an asset stands; the numbers are those of the contract (`ConsentState`)."""

    COMPLETE = 1
    MISSING = 2
    WITHDRAWN = 3
    NOT_REQUIRED = 4


class Stage(IntEnum):
    """A stage of the pipeline; the numbers are those of the contract. Those that can fail are in order."""

    UPLOAD = 1
    PROBE = 2
    TRANSCODE = 3
    PACKAGE = 4
    SCREEN = 5
    """Comes after the upload; it holds, and does not fail."""


class StageState(IntEnum):
    """How a stage stands; the numbers are those of the contract."""

    PENDING = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4
    WAITING = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the pipeline gave up, and when."""

    stage: Stage
    reason: str
    message: str
    time: datetime


@dataclass(frozen=True, slots=True)
class StageProgress:
    """One stage: how it stands, from when to when."""

    stage: Stage
    state: StageState
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """The facts that are known of one asset.

    Attributes:
        version: grows with each change that is kept; 0 when nothing was kept yet.
        commit_time: None while only later stages were heard of; nobody sees the asset before.
        delay_time: since when a check of the master waits for what is away; None when none ever did.
        hold_time: when a check last found something; None when none did.
        clear_time: when all checks had nothing against the master any more; None before, and for assets from before there were checks.
        media: what the probe found, as the JSON form of `reelmesh.assets.v1.Media`; None before.
        package_id: the newest published package; empty before.
        consent: how the consent of those who are seen in it stands, as a `Consent`; None where nothing was ever announced, and none is needed.
        consent_time: since when.
        purpose: what the file was uploaded for, as a `Purpose`; what is no title is never played, whatever else is heard of it.
    """

    asset_id: str
    organisation_id: str
    version: int
    update_time: datetime
    title: str = ""
    upload_id: str = ""
    filename: str = ""
    size_bytes: int = 0
    sha256: str = ""
    commit_time: datetime | None = None
    delay_time: datetime | None = None
    hold_time: datetime | None = None
    clear_time: datetime | None = None
    probe_time: datetime | None = None
    media: dict[str, Any] | None = None
    transcode_time: datetime | None = None
    failure: Failure | None = None
    packaging_time: datetime | None = None
    package_id: str = ""
    publish_time: datetime | None = None
    delete_time: datetime | None = None
    consent: int | None = None
    consent_time: datetime | None = None
    purpose: int = Purpose.TITLE

    # What follows from the facts.

    @property
    def exists(self) -> bool:
        """Whether the master came in, so that people see the asset."""
        return self.commit_time is not None

    @property
    def is_title(self) -> bool:
        """Whether it is to be played at all."""
        return self.purpose == Purpose.TITLE

    @property
    def state(self) -> State:
        """Where the asset stands as a whole."""
        if self.delete_time is not None:
            return State.DELETED
        if self.package_id and self.is_title:
            return State.WITHHELD if self.consent in {Consent.MISSING, Consent.WITHDRAWN} else State.READY
        if self.hold_time is not None and self.clear_time is None:
            return State.HELD
        if not self.is_title:
            return State.PROCESSING if self.clear_time is None else State.KEPT
        return State.FAILED if self.standing_failure else State.PROCESSING

    @property
    def standing_failure(self) -> Failure | None:
        """The failure, unless the stage was done after all, by another try."""
        if self.failure is None or self.package_id:
            return None
        if self.failure.stage < Stage.PACKAGE and self.transcode_time is not None:
            return None
        return self.failure

    @property
    def stages(self) -> tuple[StageProgress, ...]:
        """Each stage in the order in which they run. A later stage that is done proves the ones before it."""
        packaged = bool(self.package_id)
        packaging_failed = self.failure is not None and self.failure.stage is Stage.PACKAGE
        transcoded = packaged or packaging_failed or (self.transcode_time or self.packaging_time) is not None
        probed = transcoded or self.probe_time is not None
        uploaded = StageProgress(
            Stage.UPLOAD, StageState.DONE, time_of(self.upload_id) or self.commit_time, self.commit_time
        )
        screened = self._screening(done=probed or self.clear_time is not None or self.failure is not None)
        if not self.is_title:
            return uploaded, screened
        return (
            uploaded,
            screened,
            self._stage(Stage.PROBE, self.clear_time, done=probed, end_time=self.probe_time),
            self._stage(Stage.TRANSCODE, self.probe_time, done=transcoded, end_time=self.transcode_time),
            self._stage(Stage.PACKAGE, self.packaging_time, done=packaged, end_time=self.publish_time),
        )

    def _stage(
        self, stage: Stage, start_time: datetime | None, *, done: bool, end_time: datetime | None
    ) -> StageProgress:
        failure = self.standing_failure
        if done:
            return StageProgress(stage, StageState.DONE, start_time, end_time)
        if failure is not None and failure.stage <= stage:
            if failure.stage == stage:
                return StageProgress(stage, StageState.FAILED, start_time, failure.time)
            return StageProgress(stage, StageState.PENDING)
        if start_time is None:
            return StageProgress(stage, StageState.PENDING)
        return StageProgress(stage, StageState.RUNNING, start_time)

    def _screening(self, *, done: bool) -> StageProgress:
        if done:
            return StageProgress(Stage.SCREEN, StageState.DONE, self.commit_time, self.clear_time or self.commit_time)
        waits = self.hold_time is not None or self.delay_time is not None
        return StageProgress(Stage.SCREEN, StageState.WAITING if waits else StageState.RUNNING, self.commit_time)

    @property
    def etag(self) -> str:
        """Opaque version for optimistic concurrency."""
        return f"v{self.version:x}"

    # What other services announce.

    def committed(
        self,
        *,
        upload_id: str,
        filename: str,
        title: str,
        size_bytes: int,
        sha256: str,
        commit_time: datetime,
        purpose: int,
    ) -> Asset:
        """The asset once its master came in. Another commit of the same asset changes nothing."""
        if self.exists:
            return self
        return replace(
            self,
            upload_id=upload_id,
            filename=filename,
            title=title,
            size_bytes=size_bytes,
            sha256=sha256,
            commit_time=commit_time,
            purpose=purpose,
        )

    def delayed(self, delay_time: datetime) -> Asset:
        """The asset once a check of its master has to wait; since when the first had to counts."""
        return self if self.delay_time is not None else replace(self, delay_time=delay_time)

    def held(self, hold_time: datetime) -> Asset:
        """The asset once a check of its master found something; the latest counts."""
        if self.hold_time is not None and self.hold_time >= hold_time:
            return self
        return replace(self, hold_time=hold_time)

    def cleared(self, clear_time: datetime) -> Asset:
        """The asset once its master may be processed; the first time counts."""
        return self if self.clear_time is not None else replace(self, clear_time=clear_time)

    def probed(self, media: dict[str, Any], probe_time: datetime) -> Asset:
        """The asset once its master was looked into; the first probe counts."""
        return self if self.probe_time is not None else replace(self, media=media, probe_time=probe_time)

    def transcoded(self, time: datetime) -> Asset:
        """The asset once its renditions are made."""
        return self if self.transcode_time is not None else replace(self, transcode_time=time)

    def packaging(self, start_time: datetime) -> Asset:
        """The asset once a packager took it; the first that did counts."""
        if self.packaging_time is not None and self.packaging_time <= start_time:
            return self
        return replace(self, packaging_time=start_time)

    def published(self, package_id: str, publish_time: datetime) -> Asset:
        """The asset once a package can be played. An older package never takes the place of a newer one."""
        if self.publish_time is not None and self.publish_time >= publish_time:
            return self
        return replace(self, package_id=package_id, publish_time=publish_time)

    def consented(self, consent: Consent, time: datetime) -> Asset:
        """The asset once the consent of those who are seen in it changed. What was said later counts."""
        if self.consent_time is not None and self.consent_time >= time:
            return self
        return replace(self, consent=int(consent), consent_time=time)

    def failed(self, failure: Failure) -> Asset:
        """The asset once a stage gave up. The latest stage's failure counts, and of one stage the latest."""
        if self.failure is not None and (self.failure.stage, self.failure.time) >= (failure.stage, failure.time):
            return self
        return replace(self, failure=failure)

    # What people do.

    def checked(self, etag: str) -> Asset:
        """The asset, if it is still the one that the caller read.

        Raises:
            Refusal: ASSET_DELETED or ETAG_MISMATCH.
        """
        if self.delete_time is not None:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                "ASSET_DELETED",
                "the asset was deleted and cannot be changed any more",
                domain=DOMAIN,
                metadata={"asset_id": self.asset_id},
            )
        if etag and etag != self.etag:
            raise Refusal(
                grpc.StatusCode.ABORTED,
                "ETAG_MISMATCH",
                "the asset changed since it was read; read it again and decide anew",
                domain=RPC_DOMAIN,
                metadata={"etag": self.etag},
            )
        return self

    def renamed(self, title: str) -> Asset:
        """The asset under another title.

        Raises:
            Refusal: REQUEST_INVALID when the title is empty, too long, or holds control characters.
        """
        title = title.strip()
        wrong = ""
        if not title:
            wrong = "must not be empty"
        elif len(title) > LONGEST_TITLE:
            wrong = f"must not have more than {LONGEST_TITLE} characters"
        elif any(ord(character) < 32 for character in title):
            wrong = "must not hold control characters"
        if wrong:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "REQUEST_INVALID",
                f"the title {wrong}",
                domain=RPC_DOMAIN,
                fields=[("asset.title", wrong)],
            )
        return replace(self, title=title)

    def deleted(self, now: datetime) -> Asset:
        """The asset once a person deleted it. Deleting twice changes nothing."""
        return self if self.delete_time is not None else replace(self, delete_time=now)


def updatable(paths: list[str]) -> None:
    """Checks an update mask.

    Raises:
        Refusal: FIELD_NOT_UPDATABLE, or REQUEST_INVALID when the mask names nothing.
    """
    if not paths:
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_INVALID",
            "name the fields to change in update_mask; `title` is the one that can be changed",
            domain=RPC_DOMAIN,
            fields=[("update_mask", "names no field")],
        )
    for path in paths:
        if path != "title":
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "FIELD_NOT_UPDATABLE",
                f"{path!r} cannot be changed; `title` is the one field that can",
                domain=DOMAIN,
                metadata={"field": path},
            )


def held(asset_id: str, hold_id: str) -> Refusal:
    """A legal hold is on it."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "ASSET_HELD",
        f"the legal hold {hold_id} is on this asset; it can be deleted once that is released",
        domain=DOMAIN,
        metadata={"asset_id": asset_id, "hold_id": hold_id},
    )


def not_found(asset_id: str) -> Refusal:
    """There is no such asset in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "ASSET_NOT_FOUND",
        "there is no such asset; its upload may not be completed yet, or it belongs to another organisation",
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )
