"""What is asked for by place: laws about age, closed territories, refused tags, and ratings. Dated rows, of which those count that are in force where
somebody is. Pure.

Where the place is not known, or only the country, every row counts that may apply there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, TypeVar


class Action(IntEnum):
    """What a law about age does; the numbers are those of the contract (`AgeLawAction`)."""

    BLOCK = 1
    VERIFY = 2
    ALLOW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Something that is so in a place, from a moment until another.

    Attributes:
        territory: ISO 3166-1 or 3166-2 code.
        start_time, end_time: None where it is not bounded.
    """

    territory: str
    start_time: datetime | None = None
    end_time: datetime | None = None

    def counts(self, territory: str | None, now: datetime) -> bool:
        """Whether it may apply to who is there at a moment."""
        if territory is not None and not touches(territory, (self.territory,)):
            return False
        return (self.start_time is None or self.start_time <= now) and (self.end_time is None or now < self.end_time)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A method by which an age may be proved in a place.

    Attributes:
        good_for: how long what was proved by it is good there; None for as long as the proof lasts.
        each_device: whether it is good only on the device on which it was made.
    """

    method: str
    good_for: timedelta | None = None
    each_device: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeLaw(Row):
    """What a law asks for before somebody may watch titles with a least age from `titles_from` on."""

    threshold: int
    titles_from: int
    action: Action
    methods: tuple[Accepted, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban(Row):
    """Something is not shown in a place.

    Attributes:
        cause: `closed`, `block`, `tags` or `age-law`.
    """

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagBan(Row):
    """What has one of these tags is not shown in a place."""

    tags: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(Row):
    """A title is rated so in a place, as an age."""

    age: int


AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True, slots=True)
class Law:
    """All rows that are about one title.

    Attributes:
        ages: laws that ask for proofs.
        bans: where it is not shown.
        ratings: how it is rated.
    """

    ages: tuple[AgeLaw, ...] = ()
    bans: tuple[Ban, ...] = ()
    ratings: tuple[Rating, ...] = ()

    def at(self, territory: str | None, now: datetime) -> Law:
        """Those that count for who is in a place at a moment."""
        if self is NO_LAW:
            return self
        return Law(
            _counting(self.ages, territory, now),
            _counting(self.bans, territory, now),
            _counting(self.ratings, territory, now),
        )


NO_LAW: Final = Law()
"""Of a title about which nothing is said anywhere."""


@dataclass(frozen=True, slots=True)
class Classification:
    """How a title is classified by its organisation.

    Attributes:
        blocks: where it is not shown.
    """

    ratings: tuple[Rating, ...] = ()
    tags: frozenset[str] = frozenset()
    blocks: tuple[Ban, ...] = ()


UNCLASSIFIED: Final = Classification()


@dataclass(frozen=True, slots=True)
class Table:
    """An organisation's table of what is asked for by place."""

    ages: tuple[AgeLaw, ...] = ()
    closed: tuple[Ban, ...] = ()
    tags: tuple[TagBan, ...] = ()

    def about(self, least_age: int, classification: Classification) -> Law:
        """What of it is about a title."""
        ages = [law for law in self.ages if 0 < law.titles_from <= least_age]
        bans = [*self.closed, *classification.blocks]
        bans += [_ban(law, "age-law") for law in ages if law.action is Action.BLOCK]
        bans += [_ban(row, "tags") for row in self.tags if row.tags & classification.tags]
        verified = tuple(law for law in ages if law.action is Action.VERIFY)
        if not verified and not bans and not classification.ratings:
            return NO_LAW
        return Law(verified, tuple(bans), classification.ratings)


NO_TABLE: Final = Table()


def within(territory: str, territories: tuple[str, ...]) -> bool:
    """Whether a place is in one of the territories: `US-TX` is in `US` and in `US-TX`, `US` is not in `US-TX`."""
    return territory in territories or territory.split("-", 1)[0] in territories


def touches(territory: str, territories: tuple[str, ...]) -> bool:
    """Whether a place may be in one of the territories: `US`, with nothing known of the state, touches `US-TX`."""
    return within(territory, territories) or any(one.startswith(f"{territory}-") for one in territories)


def rated(law: Law, territory: str | None, otherwise: int) -> int:
    """How a title is rated in a place, by those of its ratings that count there; `otherwise` where there is none.

    Where several may apply it is the strictest; where it is not certain that one does, what is good elsewhere is among them.
    """
    if not law.ratings:
        return otherwise
    certain = territory is not None and any(within(territory, (one.territory,)) for one in law.ratings)
    strictest = max(one.age for one in law.ratings)
    return strictest if certain else max(strictest, otherwise)


def _ban(row: Row, cause: str) -> Ban:
    return Ban(territory=row.territory, start_time=row.start_time, end_time=row.end_time, cause=cause)


def _counting(rows: Iterable[AnyRow], territory: str | None, now: datetime) -> tuple[AnyRow, ...]:
    return tuple(row for row in rows if row.counts(territory, now))
