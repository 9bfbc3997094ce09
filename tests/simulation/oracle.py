"""Who is entitled at which moment. It knows what was ordered and when, and nothing of how the service came to know.

All moments are Unix time of one machine, in seconds. An order takes effect at some moment between the beginning of its call and that at
which every edge was seen to go by it (`tests.simulation.witnesses`): in between, both answers are right. How long that took is kept, and an order
that took longer than any machine is busy is complained of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from services.policy.domain import SILENT_AFTER

STREAMS: Final = 2
"""Streams of a viewer at a time."""
_UNWRITTEN: Final = 3.0
"""Seconds by which what the database knows of heartbeats may be late."""
_SILENT: Final = SILENT_AFTER.total_seconds()
_NEVER: Final = math.inf
_FULL: Final = frozenset({"TOO_MANY_STREAMS"})
_CLOCK: Final = 0.02
"""Seconds by which two readings of one machine's clock may differ."""


class Wrong(Enum):
    """What can be wrong."""

    ENTITLED_REFUSED = "entitled_refused"
    REFUSED_SERVED = "refused_served"
    OTHER = "other"


@dataclass(slots=True)
class Bar:
    """Something that keeps somebody out.

    Attributes:
        reasons: with which they are refused.
        began: before this it does not hold.
        sure: from this on it holds for the service that decides: the call that ordered it was answered.
        in_force: from this on it holds at every edge.
        lifting: until this it holds.
        lifted: from this on it does not hold for the service that decides.
        settled: from this on it does not hold at any edge.
    """

    reasons: frozenset[str]
    began: float
    sure: float = _NEVER
    in_force: float = _NEVER
    lifting: float = _NEVER
    lifted: float = _NEVER
    settled: float = _NEVER

    def may_hold(self, asked: float, answered: float) -> bool:
        """Whether it can have been in force somewhere at some moment between the two."""
        return self.began <= answered and asked <= self.settled

    def holds(self, asked: float, answered: float) -> bool:
        """Whether it must have been in force at every edge all the time between the two."""
        return self.in_force <= asked and answered < self.lifting

    def may_decide(self, asked: float, answered: float) -> bool:
        """The same as `may_hold` of the service that decides."""
        return self.began <= answered and asked <= self.lifted

    def decides(self, asked: float, answered: float) -> bool:
        """The same as `holds` of the service that decides."""
        return self.sure <= asked and answered < self.lifting


@dataclass(slots=True)
class Title:
    """Something to watch.

    Attributes:
        terms: what keeps others from opening it, and does not by itself end what plays.
        bars: what keeps everybody out.
    """

    asset_id: str
    package_id: str
    terms: list[Bar] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    sessions: list[Seat] = field(default_factory=list)


@dataclass(slots=True)
class Viewer:
    """Somebody who watches, on any number of screens.

    Attributes:
        bars: what keeps them from opening anything.
    """

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
        """It ends for good; the caller says when that is so everywhere."""
        bar = Bar(frozenset(reasons), began)
        self.bars.append(bar)
        return bar

    def all_bars(self) -> list[Bar]:
        """Everything that may keep it out. Its time is judged at the edge, by a clock that is the same."""
        ends = self.expires + _CLOCK
        over = Bar(frozenset({"TICKET_EXPIRED"}), self.expires - _CLOCK, ends, ends)
        return [over, *self.bars, *self.title.bars]

    def took_place(self, asked: float, answered: float, *, opened: bool) -> list[tuple[Seat, Bar]]:
        """It has a place, from a call on. One that had none, or was just opened, takes it from those of the viewer's streams that are silent. Returns
        what edges have to hear of: bars that are sure now, and those of its own that are lifted."""
        silent = asked - self.alive
        lost = opened or silent > _SILENT + _UNWRITTEN or any(bar.decides(asked, asked) for bar in self.displaced)
        perhaps = silent > _SILENT - _UNWRITTEN or any(bar.may_decide(asked, answered) for bar in self.displaced)
        self.alive = max(self.alive, asked)
        changed: list[tuple[Seat, Bar]] = []
        for bar in self.displaced:
            if bar.lifting == _NEVER:
                bar.lifting, bar.lifted = asked, answered
                changed.append((self, bar))
        if lost or perhaps:
            changed += self._displace(asked, answered, sure=lost)
        return changed

    def _displace(self, asked: float, answered: float, *, sure: bool) -> list[tuple[Seat, Bar]]:
        changed: list[tuple[Seat, Bar]] = []
        for other in self.viewer.seats:
            silent = asked - other.alive
            if (
                other is not self
                and silent > _SILENT - _UNWRITTEN
                and all(bar.lifted < asked for bar in other.displaced)
            ):
                bar = Bar(_FULL, asked, answered if sure and silent > _SILENT + _UNWRITTEN else _NEVER)
                other.displaced.append(bar)
                if bar.sure != _NEVER:
                    changed.append((other, bar))
        return changed


@dataclass(slots=True)
class Oracle:
    """Judges what happened, and counts it.

    Attributes:
        wrongs: complaints by what was wrong.
        in_force_after, settled_after: seconds from the answer to each order, or to each call that took it back, until every edge went by it.
        reviewed_after: the same of sessions that were decided anew because terms changed, of which some are watched at a time.
    """

    complaints: list[str] = field(default_factory=list)
    wrongs: Counter[Wrong] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    in_force_after: list[float] = field(default_factory=list)
    settled_after: list[float] = field(default_factory=list)
    reviewed_after: list[float] = field(default_factory=list)

    def complain(self, why: str, wrong: Wrong = Wrong.OTHER) -> None:
        """Something was wrong."""
        self.wrongs[wrong] += 1
        self.complaints.append(why)

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
        bars = [*viewer.bars, *title.bars, *title.terms, *_places(viewer, asked, answered)]
        self._judge(f"opening by {viewer.viewer_id}", bars, asked, answered, reason, decided=True)

    def _judge(
        self, what: str, bars: Iterable[Bar], asked: float, answered: float, reason: str, *, decided: bool = False
    ) -> None:
        """Judges an answer, of an edge or, `decided`, of the service that decides."""
        known = list(bars)
        self.outcomes[f"{what.split(' ', maxsplit=1)[0]} {reason or 'served'}"] += 1
        holds, may_hold = (Bar.decides, Bar.may_decide) if decided else (Bar.holds, Bar.may_hold)
        holding = [bar for bar in known if holds(bar, asked, answered)]
        possible = {one for bar in known if may_hold(bar, asked, answered) for one in bar.reasons}
        if holding and not reason:
            why = f"{what} was served, barred by {sorted(holding[0].reasons)}"
            self.complain(f"{asked:.3f} {why} ({_told(holding, asked)})", Wrong.REFUSED_SERVED)
        elif reason and reason not in possible:
            why = f"{what} was refused with {reason} in {answered - asked:.3f} s, possible was {sorted(possible)}"
            wrong = Wrong.OTHER if holding else Wrong.ENTITLED_REFUSED
            self.complain(f"{asked:.3f} {why} ({_told(known, asked)})", wrong)


def _told(bars: list[Bar], asked: float) -> str:
    """Bars by when they held, beside a moment."""
    return "; ".join(
        f"{sorted(bar.reasons)}: began {bar.began - asked:+.3f}, sure {bar.sure - asked:+.3f}, everywhere {bar.in_force - asked:+.3f}, lifting "
        f"{bar.lifting - asked:+.3f}, settled {bar.settled - asked:+.3f}"
        for bar in bars
    )


def _places(viewer: Viewer, asked: float, answered: float, but: Seat | None = None) -> list[Bar]:
    """That a viewer has no place left for one more stream, where that is certain or possible."""
    others = [seat for seat in viewer.seats if seat is not but]
    if sum(_alive_for_certain(seat, asked, answered) for seat in others) >= STREAMS:
        return [Bar(_FULL, asked, asked, asked)]
    return [Bar(_FULL, asked)] if sum(_perhaps_alive(seat, asked) for seat in others) >= STREAMS else []


def _alive_for_certain(seat: Seat, asked: float, answered: float) -> bool:
    # Titles that are lost end their sessions as well.
    bars = (*seat.bars, *seat.displaced, *seat.title.bars)
    ended = any(bar.may_hold(asked, answered) for bar in bars)
    return not ended and seat.expires > answered and seat.alive > answered - _SILENT + _UNWRITTEN


def _perhaps_alive(seat: Seat, asked: float) -> bool:
    ended = any(bar.decides(asked, asked) for bar in (*seat.bars, *seat.displaced))
    return not ended and seat.expires > asked - _CLOCK and seat.alive > asked - _SILENT - _UNWRITTEN
