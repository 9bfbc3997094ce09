"""Rules of fingerprints and of searches by them. No input, no output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from services.protection.domain import ENDED, State

HELD_SECONDS: Final = 20.0
"""Seconds of moving picture that a file must share with a barred title to be held."""
HELD_PICTURES: Final = 4
"""Pictures among them that must differ from each other, so that no title card and no logo holds a file."""
HELD_NEARNESS: Final = 0.6
"""How near the pictures must be on average. Those of other films are at 0.4 at most, those of copies mostly above 0.75."""
HELD_SHARE_OF_FILE: Final = 0.4
"""Share of the file that it must be; or else"""
HELD_SHARE_OF_TITLE: Final = 0.2
"""share of the barred title that it must be; or else"""
HELD_ANYWAY_SECONDS: Final = 120.0
"""seconds of it that hold a file of any length. Below all of these it may be a quotation."""
SHORT_TITLE_SHARE: Final = 0.8
"""Of a barred title that is shorter than `HELD_SECONDS`, this much is enough, if it comes to five seconds."""
SHORTEST_SECONDS: Final = 5.0


class Made(IntEnum):
    """Whether a title's fingerprint is there."""

    WAITING = 1
    MADE = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Title:
    """A title that is known, or to be known, by its fingerprint.

    Attributes:
        number: by which the index knows it.
        picture_key: rendition that its pictures are taken from; empty when there is none.
        sound_key: rendition that its sound is taken from; empty when there is none.
        seconds: its length; 0 before the fingerprint is made.
        barred: whether it was taken down.
    """

    asset_id: str
    number: int
    organisation_id: str
    picture_key: str
    sound_key: str
    state: Made
    seconds: float
    barred: bool = False

    @property
    def object_key(self) -> str:
        """Where its fingerprint lies in the object store."""
        return object_key(self.asset_id)


def object_key(asset_id: str) -> str:
    """Where a title's fingerprint lies in the object store."""
    return f"fingerprints/{asset_id}.rmfp"


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file that is the same as a piece of a title; the fields are those of the contract."""

    title_asset_id: str
    file_start_seconds: float
    file_end_seconds: float
    title_start_seconds: float
    speed: float
    mirrored: bool
    picture_seconds: float
    sound_seconds: float
    likeness: float
    barred: bool
    pictures: int
    title_seconds: float


def held_for(passages: Iterable[Passage], file_seconds: float) -> list[Passage]:
    """The passages of one barred title for which a file is held, of that of which it has most; none when it has too little of any.

    Sound alone never holds a file: two films may share a song.
    """
    by_title: dict[str, list[Passage]] = {}
    for one in passages:
        if one.barred and one.picture_seconds and one.likeness >= HELD_NEARNESS:
            by_title.setdefault(one.title_asset_id, []).append(one)
    held = [ours for ours in by_title.values() if _enough(ours, file_seconds)]
    return max(held, key=lambda ours: sum(one.picture_seconds for one in ours), default=[])


def _enough(ours: list[Passage], file_seconds: float) -> bool:
    shared, title = sum(one.picture_seconds for one in ours), ours[0].title_seconds
    least = (
        HELD_SECONDS if title > HELD_SECONDS / SHORT_TITLE_SHARE else max(SHORTEST_SECONDS, SHORT_TITLE_SHARE * title)
    )
    if shared < least or sum(one.pictures for one in ours) < HELD_PICTURES:
        return False
    of_file, of_title = shared / max(file_seconds, 1e-9), shared / max(title, 1e-9)
    return of_file >= HELD_SHARE_OF_FILE or of_title >= HELD_SHARE_OF_TITLE or shared >= HELD_ANYWAY_SECONDS


@dataclass(frozen=True, slots=True)
class Match:
    """A search for the titles that a file has pieces of.

    Attributes:
        asset_id: of the file.
        object_key: of the file in the object store.
        passages: in the JSON form of the contract; empty until it is completed.
        ask_time: when it was last put into the work queue.
    """

    match_id: str
    organisation_id: str
    asset_id: str
    object_key: str
    filename: str
    create_time: datetime
    ask_time: datetime
    state: State = State.QUEUED
    fraction: float = 0.0
    passages: list[dict[str, Any]] = field(default_factory=list)
    failure_reason: str = ""
    failure_message: str = ""
    end_time: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.state in ENDED

    def running(self) -> Match:
        """The match in hand. Whoever had it before, and died over it, left nothing."""
        return replace(self, state=State.RUNNING, fraction=0.0)

    def completed(self, passages: list[dict[str, Any]], now: datetime) -> Match:
        """The match once it is done."""
        return replace(self, state=State.COMPLETED, fraction=1.0, passages=passages, end_time=now)

    def failed(self, reason: str, message: str, now: datetime) -> Match:
        """The match given up."""
        return replace(self, state=State.FAILED, failure_reason=reason, failure_message=message, end_time=now)
