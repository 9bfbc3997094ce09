"""Rules of a detection's life. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final


class State(IntEnum):
    """Where a detection stands; the numbers are those of the contract."""

    QUEUED = 1
    RUNNING = 2
    COMPLETED = 3
    FAILED = 4


ENDED: Final = frozenset({State.COMPLETED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Detection:
    """A search for the session that a copy comes from.

    Attributes:
        asset_id: of the copy.
        title_asset_id: the title to look for; empty for all.
        object_key: of the copy in the object store.
        fraction: share of the work that is done.
        finding: the JSON form of the contract's `Finding`; empty until it is completed.
        ask_time: when it was last put into the work queue.
    """

    detection_id: str
    organisation_id: str
    asset_id: str
    title_asset_id: str
    object_key: str
    filename: str
    create_time: datetime
    ask_time: datetime
    state: State = State.QUEUED
    fraction: float = 0.0
    finding: dict[str, Any] = field(default_factory=dict)
    failure_reason: str = ""
    failure_message: str = ""
    end_time: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.state in ENDED

    @property
    def picture_key(self) -> str:
        """Where its evidence lies in the object store, once it is completed."""
        return picture_key(self.detection_id)

    def running(self) -> Detection:
        """The detection in hand. Whoever had it before, and died over it, left nothing."""
        return replace(self, state=State.RUNNING, fraction=0.0)

    def completed(self, finding: dict[str, Any], now: datetime) -> Detection:
        """The detection once it is done."""
        return replace(self, state=State.COMPLETED, fraction=1.0, finding=finding, end_time=now)

    def failed(self, reason: str, message: str, now: datetime) -> Detection:
        """The detection given up."""
        return replace(self, state=State.FAILED, failure_reason=reason, failure_message=message, end_time=now)


def picture_key(detection_id: str) -> str:
    """Where the evidence of a detection lies in the object store."""
    return f"detections/{detection_id}.png"
