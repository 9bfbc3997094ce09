"""What was observed lately, in memory: bounded, by viewer and by session, those that were not heard of for longest forgotten first.

Each replica has its own, so what is spread over several is found later, never wrongly. A restart forgets it; findings are kept elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, TypeVar

from services.policy.decision.territories import Point
from services.policy.signals import findings
from services.policy.signals.findings import Finding, Seen
from services.policy.signals.kinds import SignalKind

_MOST: Final = 50_000
_MOST_NAMES: Final = 64
_MOST_MOMENTS: Final = 128

Kept = TypeVar("Kept")


class Asked(Enum):
    """What somebody asked for."""

    PLAYBACK = "playback"
    MANIFEST = "manifest"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Observation:
    """One request, as far as it matters here.

    Attributes:
        viewer_id: the session where the viewer is not known.
        network: address, cut to /24 or /48; empty when it is not known. Never written down.
        point, territory: where that is; None and empty when it is not known.
        device: what names the device best: its id, else what the browser says of itself; empty when neither is known.
    """

    asked: Asked
    organisation_id: str
    viewer_id: str
    session_id: str
    asset_id: str
    moment: datetime
    network: str = ""
    point: Point | None = None
    territory: str = ""
    device: str = ""


@dataclass(slots=True)
class _OfViewer:
    titles: OrderedDict[str, datetime] = field(default_factory=OrderedDict)
    devices: OrderedDict[str, datetime] = field(default_factory=OrderedDict)
    seen: Seen | None = None
    told: dict[SignalKind, datetime] = field(default_factory=dict)


@dataclass(slots=True)
class _OfSession:
    networks: OrderedDict[str, datetime] = field(default_factory=OrderedDict)
    licences: deque[datetime] = field(default_factory=lambda: deque(maxlen=_MOST_MOMENTS))
    segments: int = 0
    segments_since: datetime | None = None
    told: dict[SignalKind, datetime] = field(default_factory=dict)


class Windows:
    """Keeps what was observed, and finds what looks odd in it.

    Args:
        most: viewers, and sessions, that are remembered.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._viewers: OrderedDict[tuple[str, str], _OfViewer] = OrderedDict()
        self._sessions: OrderedDict[str, _OfSession] = OrderedDict()

    def forget(self, organisation_id: str, viewer_id: str) -> None:
        """What a viewer did until now counts no longer."""
        self._viewers.pop((organisation_id, viewer_id), None)
        self._sessions.pop(viewer_id, None)

    def observe(self, one: Observation) -> list[Finding]:
        """Takes a request in. Returns what looks odd and was not told a moment ago."""
        viewer = _touched(self._viewers, (one.organisation_id, one.viewer_id), _OfViewer, self._most)
        session = _touched(self._sessions, one.session_id, _OfSession, self._most)
        return [*self._of_viewer(viewer, session, one), *self._of_session(session, one)]

    def segment(self, session_id: str, now: datetime) -> Finding | None:
        """Takes a request for a segment in."""
        session = _touched(self._sessions, session_id, _OfSession, self._most)
        since = session.segments_since
        if since is None or now - since >= findings.BURST_WITHIN:
            session.segments, session.segments_since = 0, now
        session.segments += 1
        found = findings.scraping_segments(session.segments)
        return found if found and _untold(session.told, found, now) else None

    def tampered(self, session_id: str, now: datetime) -> Finding | None:
        """Takes the word of a page in that its overlay was removed or hidden."""
        session = _touched(self._sessions, session_id, _OfSession, self._most)
        found = findings.overlay_tampered()
        return found if _untold(session.told, found, now) else None

    @staticmethod
    def _of_viewer(viewer: _OfViewer, session: _OfSession, one: Observation) -> Iterator[Finding]:
        if one.asked is Asked.KEYS:
            _noted(viewer.titles, one.asset_id, one.moment)
            session.licences.append(one.moment)
        if one.device:
            _noted(viewer.devices, one.device, one.moment)
        found = [
            findings.scraping_keys(viewer.titles, session.licences, one.moment),
            findings.crowd(viewer.devices, one.moment),
        ]
        if one.point is not None:
            here = Seen(one.moment, one.point, one.territory)
            found.append(findings.travel(viewer.seen, here) if viewer.seen is not None else None)
            viewer.seen = here
        yield from (finding for finding in found if finding and _untold(viewer.told, finding, one.moment))

    @staticmethod
    def _of_session(session: _OfSession, one: Observation) -> Iterator[Finding]:
        if one.network:
            _noted(session.networks, one.network, one.moment)
        found = findings.sharing(session.networks, one.moment)
        if found and _untold(session.told, found, one.moment):
            yield found


_Key = TypeVar("_Key")


def _touched(kept: OrderedDict[_Key, Kept], key: _Key, make: Callable[[], Kept], most: int) -> Kept:
    """What is kept under a key, new if need be; the one that was not asked for the longest makes room."""
    found = kept.get(key)
    if found is None:
        found = kept[key] = make()
        if len(kept) > most:
            kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return found


def _noted(names: OrderedDict[str, datetime], name: str, moment: datetime) -> None:
    names[name] = moment
    names.move_to_end(name)
    if len(names) > _MOST_NAMES:
        names.popitem(last=False)


def _untold(told: dict[SignalKind, datetime], found: Finding, now: datetime) -> bool:
    """Whether it is time to tell this; from then on it was told."""
    last = told.get(found.kind)
    if last is not None and now - last < findings.QUIET[found.kind]:
        return False
    told[found.kind] = now
    return True
