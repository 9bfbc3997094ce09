"""Rules of a rotation. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

import grpc

from services.drm.domain import DOMAIN
from services.kit.errors import Refusal


class Kind(IntEnum):
    """Why keys are changed; the numbers are those of the contract."""

    SCHEDULED = 1
    ASKED = 2
    EMERGENCY = 3


class State(IntEnum):
    """How far a rotation is; the numbers are those of the contract."""

    REWRAPPING = 1
    REPACKAGING = 2
    COMPLETED = 3


class TitleState(IntEnum):
    """How far a package of an emergency is; the numbers are those of the contract."""

    WAITING = 1
    REPLACED = 2
    FAILED = 3
    SKIPPED = 4


@dataclass(frozen=True, slots=True)
class Rotation:
    """One change of keys.

    Attributes:
        kek_id: seals from now on.
        keys_total: content keys to be sealed anew, as counted at the beginning.
        keys_done: those that are.
        stop_at_once: whether affected packages are stopped before they have a successor.
    """

    rotation_id: str
    organisation_id: str
    kind: int
    state: int
    reason: str
    actor: str
    kek_id: str
    keys_total: int
    keys_done: int
    stop_at_once: bool
    create_time: datetime
    rewrap_time: datetime | None = None
    first_title_time: datetime | None = None
    complete_time: datetime | None = None

    def advanced(self, keys: int) -> Rotation:
        """With so many more keys sealed anew."""
        return replace(self, keys_done=min(self.keys_done + keys, self.keys_total))

    def rewrapped(self, now: datetime, titles_waiting: int) -> Rotation:
        """Once every content key is sealed anew."""
        after = replace(self, rewrap_time=now, keys_done=self.keys_total, state=int(State.REPACKAGING))
        return after.settled(now, titles_waiting)

    def superseded(self, now: datetime) -> Rotation:
        """Once a newer one goes on with what it had not done."""
        return replace(self, state=int(State.COMPLETED), complete_time=now)

    def played(self, now: datetime) -> Rotation:
        """Once a successor can be played."""
        return replace(self, first_title_time=self.first_title_time or now)

    def settled(self, now: datetime, titles_waiting: int) -> Rotation:
        """Complete, if nothing is left to be waited for."""
        if self.state != State.REPACKAGING or titles_waiting:
            return self
        return replace(self, state=int(State.COMPLETED), complete_time=now)


def rotation_not_found(rotation_id: str) -> Refusal:
    """There is no such rotation in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "ROTATION_NOT_FOUND",
        "there is no such rotation, or it belongs to another organisation",
        domain=DOMAIN,
        metadata={"rotation_id": rotation_id},
    )


def emergency_running(rotation_id: str) -> Refusal:
    """An emergency has everything in hand already."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "EMERGENCY_RUNNING",
        f"{rotation_id} is changing these keys already; `reelmesh keys emergency --follow` shows how far it is",
        domain=DOMAIN,
        metadata={"rotation_id": rotation_id},
    )


def nothing_to_rotate(package_id: str = "") -> Refusal:
    """There is no package with keys to change."""
    what = f"{package_id} has no keys here" if package_id else "the organisation has no package with keys"
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "NOTHING_TO_ROTATE",
        f"{what}, so there is nothing to change; `reelmesh keys list` shows what there is",
        domain=DOMAIN,
        metadata={"package_id": package_id} if package_id else {},
    )
