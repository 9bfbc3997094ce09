"""Who is entitled at which moment. It knows what was ordered and when, and nothing of how the service came to know.

All moments are Unix time of one machine, in seconds. An order takes effect at some moment between the beginning of its call and a second
after its end (`PROPAGATION`, as DECISIONS.md promises of revocations): in between, both answers are right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from services.policy.domain import SILENT_AFTER

PROPAGATION: Final = 1.0
STREAMS: Final = 2
"""Streams of a viewer at a time."""
_UNWRITTEN: Final = 3.0
"""Seconds by which what the database knows of heartbeats may be late."""
_SILENT: Final = SILENT_AFTER.total_seconds()
_NEVER: Final = math.inf
_FULL: Final = frozenset({"TOO_MANY_STREAMS"})


@dataclass(slots=True)
class Bar:
    """Something that keeps somebody out.

    Attributes:
        reasons: with which they are refused.
        began: before this it does not hold.
        sure: from a moment after this on it holds for certain.
        lifting: until this it holds.
        lifted: from a moment after this on it does not hold.
    """

    reasons: frozenset[str]
    began: float
    sure: float = _NEVER
    lifting: float = _NEVER
    lifted: float = _NEVER

    def may_hold(self, asked: float, answered: float) -> bool:
        """Whether it can have been in force at some moment between the two."""
        return self.began <= answered and asked <= self.lifted + PROPAGATION

    def holds(self, asked: float, answered: float) -> bool:
        """Whether it must have been in force all the time between the two."""
        return self.sure + PROPAGATION <= asked and answered < self.lifting


@dataclass(slots=True)
class Title:
    """Something to watch."""

    asset_id: str
    package_id: str
    bars: list[Bar] = field(default_factory=list)
    sessions: list[Seat] = field(default_factory=list)


@dataclass(slots=True)
class Viewer:
    """Somebody who watches, on any number of screens."""

    viewer_id: str
    bars: list[Bar] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)


@dataclass(slots=True)
class Seat:
    """A session.

    Attributes:
        base: path of its package with its ticket.
        expires: when its ticket ends.
        alive: when it last gave a sign of life that was taken.
        opened: when it was known to be open.
        bars: what ended it, or may have.
        displaced: times without a place, which went to another stream of the viewer.
    """

    session_id: str
    base: str
    title: Title
    viewer: Viewer
    opened: float
    expires: float
    alive: float
    bars: list[Bar] = field(default_factory=list)
    displaced: list[Bar] = field(default_factory=list)

    def end(self, *reasons: str, began: float) -> Bar:
        """It ends for good; the caller says when that is sure."""
        bar = Bar(frozenset(reasons), began)
        self.bars.append(bar)
        return bar

    def all_bars(self) -> list[Bar]:
        """Everything that may keep it out. Its time is judged at the edge, by a clock that is the same, and needs no propagation."""
        over = Bar(frozenset({"TICKET_EXPIRED"}), self.expires, self.expires - PROPAGATION / 2)
        return [over, *self.bars, *self.title.bars]

    def took_place(self, asked: float, answered: float) -> None:
        """It has a place, from a call on: those of the viewer's silent streams are gone."""
        self.alive = max(self.alive, asked)
        for bar in self.displaced:
            if bar.lifting == _NEVER:
                bar.lifting, bar.lifted = asked, answered
        for other in self.viewer.seats:
            silent = asked - other.alive
            if (
                other is not self
                and silent > _SILENT - _UNWRITTEN
                and all(bar.lifted < asked for bar in other.displaced)
            ):
                sure = answered if silent > _SILENT + _UNWRITTEN else _NEVER
                other.displaced.append(Bar(_FULL, asked, sure))


@dataclass(slots=True)
class Oracle:
    """Judges what happened, and counts it."""

    complaints: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def request(self, seat: Seat, what: str, asked: float, answered: float, reason: str) -> None:
        """A request of a session was served (`reason` empty) or refused."""
        self._judge(f"{what} of {seat.session_id}", [*seat.all_bars(), *seat.displaced], asked, answered, reason)

    def heartbeat(self, seat: Seat, asked: float, answered: float, reason: str) -> None:
        """A sign of life was taken (`reason` empty) or refused. One that lost its place gets it back if there is one."""
        bars = seat.all_bars()
        if seat.alive < asked - _SILENT + _UNWRITTEN or any(bar.may_hold(asked, answered) for bar in seat.displaced):
            places = _places(seat.viewer, asked, answered, but=seat)
            if not any(bar.holds(asked, answered) for bar in seat.displaced):
                places = [Bar(_FULL, asked) for _ in places]  # perhaps it never lost it
            bars += places
        self._judge(f"heartbeat of {seat.session_id}", bars, asked, answered, reason)

    def opening(self, viewer: Viewer, title: Title, asked: float, answered: float, reason: str) -> None:
        """A playback was opened (`reason` empty) or refused."""
        self._judge(
            f"opening by {viewer.viewer_id}",
            [*viewer.bars, *title.bars, *_places(viewer, asked, answered)],
            asked,
            answered,
            reason,
        )

    def _judge(self, what: str, bars: Iterable[Bar], asked: float, answered: float, reason: str) -> None:
        known = list(bars)
        self.outcomes[f"{what.split(' ', maxsplit=1)[0]} {reason or 'served'}"] += 1
        holding = [bar for bar in known if bar.holds(asked, answered)]
        possible = {one for bar in known if bar.may_hold(asked, answered) for one in bar.reasons}
        if holding and not reason:
            self._complain(f"{what} was served, barred by {sorted(holding[0].reasons)}", holding, asked)
        elif reason and reason not in possible:
            self._complain(f"{what} was refused with {reason}, possible was {sorted(possible)}", known, asked)

    def _complain(self, why: str, bars: list[Bar], asked: float) -> None:
        since = [
            f"{sorted(bar.reasons)}: began {bar.began - asked:+.3f}, sure {bar.sure - asked:+.3f}, lifting {bar.lifting - asked:+.3f}"
            for bar in bars
        ]
        self.complaints.append(f"{asked:.3f} {why} ({'; '.join(since)})")


def _places(viewer: Viewer, asked: float, answered: float, but: Seat | None = None) -> list[Bar]:
    """That a viewer has no place left for one more stream, where that is certain or possible."""
    others = [seat for seat in viewer.seats if seat is not but]
    if sum(_alive_for_certain(seat, asked, answered) for seat in others) >= STREAMS:
        return [Bar(_FULL, asked, asked - PROPAGATION)]
    return [Bar(_FULL, asked)] if sum(_perhaps_alive(seat, asked) for seat in others) >= STREAMS else []


def _alive_for_certain(seat: Seat, asked: float, answered: float) -> bool:
    # Titles that are lost end their sessions as well.
    bars = (*seat.bars, *seat.displaced, *seat.title.bars)
    ended = any(bar.may_hold(asked, answered) for bar in bars)
    return not ended and seat.expires > answered and seat.alive > answered - _SILENT + _UNWRITTEN


def _perhaps_alive(seat: Seat, asked: float) -> bool:
    ended = any(bar.holds(asked, asked) for bar in (*seat.bars, *seat.displaced))
    return not ended and seat.expires > asked - PROPAGATION and seat.alive > asked - _SILENT - _UNWRITTEN
