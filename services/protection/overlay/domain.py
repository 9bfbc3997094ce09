"""Rules of overlays and of review copies. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

from services.kit.overlay_text import unknown_placeholder
from services.protection.overlay.refusals import text_invalid


class Motion(IntEnum):
    """How an overlay moves; the numbers are those of the contract."""

    DRIFT = 1
    JUMP = 2


@dataclass(frozen=True, slots=True)
class Template:
    """What lies over the picture of an organisation's films.

    Attributes:
        size: height of the letters as a share of the picture's.
        seconds: how long it takes to another place, or stays at one.
    """

    enabled: bool = False
    text: str = "{viewer} {session}"
    opacity: float = 0.35
    size: float = 0.03
    motion: Motion = Motion.DRIFT
    seconds: float = 20.0
    contrast_aware: bool = True

    def checked(self) -> Template:
        """The template, if it can be shown.

        Raises:
            Refusal: OVERLAY_TEXT_INVALID.
        """
        placeholder = unknown_placeholder(self.text)
        if placeholder is not None or (self.enabled and not self.text.strip()):
            raise text_invalid(placeholder)
        return self


class CopyState(IntEnum):
    """Where a review copy stands; the numbers are those of the contract."""

    QUEUED = 1
    RUNNING = 2
    READY = 3
    FAILED = 4


ENDED: Final = frozenset({CopyState.READY, CopyState.FAILED})


@dataclass(frozen=True, slots=True)
class ReviewCopy:
    """A copy of a film with the overlay burned in.

    Attributes:
        object_key: of the film.
        ask_time: when it was last put into the work queue.
        expire_time: when its file is removed.
    """

    review_copy_id: str
    organisation_id: str
    asset_id: str
    recipient: str
    object_key: str
    create_time: datetime
    ask_time: datetime
    state: CopyState = CopyState.QUEUED
    fraction: float = 0.0
    size_bytes: int = 0
    sha256: str = ""
    failure_message: str = ""
    end_time: datetime | None = None
    expire_time: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.state in ENDED

    @property
    def file_key(self) -> str:
        """Where its file lies in the object store, once it is ready."""
        return f"review_copies/{self.review_copy_id}.mp4"

    def running(self) -> ReviewCopy:
        """The copy in hand. Whoever had it before, and died over it, left nothing."""
        return replace(self, state=CopyState.RUNNING, fraction=0.0)

    def ready(self, size_bytes: int, sha256: str, now: datetime, expire_time: datetime) -> ReviewCopy:
        """The copy once it can be fetched."""
        return replace(
            self,
            state=CopyState.READY,
            fraction=1.0,
            size_bytes=size_bytes,
            sha256=sha256,
            end_time=now,
            expire_time=expire_time,
        )

    def failed(self, message: str, now: datetime) -> ReviewCopy:
        """The copy given up."""
        return replace(self, state=CopyState.FAILED, failure_message=message, end_time=now)
