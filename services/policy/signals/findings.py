"""From observations to findings. Pure: the same observations are found to be the same, and none of them is kept here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.policy.decision.territories import Point
from services.policy.signals.kinds import SignalKind

SHARING_WITHIN: Final = timedelta(minutes=10)
SCRAPING_WITHIN: Final = timedelta(hours=1)
BURST_WITHIN: Final = timedelta(minutes=5)
DEVICES_WITHIN: Final = timedelta(days=1)
QUIET: Final[Mapping[SignalKind, timedelta]] = {
    SignalKind.IMPOSSIBLE_TRAVEL: timedelta(hours=1),
    SignalKind.TOKEN_SHARING: SHARING_WITHIN,
    SignalKind.KEY_SCRAPING: SHARING_WITHIN,
    SignalKind.SEGMENT_SCRAPING: BURST_WITHIN,
    SignalKind.TOO_MANY_DEVICES: DEVICES_WITHIN,
    SignalKind.OVERLAY_TAMPERED: BURST_WITHIN,
}
"""For so long the same is not found again: what goes on counts again after that."""

# A telephone that leaves the house changes from one network to another; three within minutes is more than one telephone.
NETWORKS: Final = 3
# A zapping viewer opens a film a minute; a scraper takes the catalogue.
TITLES: Final = 40
# A player asks for the keys of a film once or twice, and again when it is loaded anew.
LICENCES: Final = 60
# With sound and pictures, segments of four seconds are fetched at one in two seconds, and twenty seconds of them at once at each seek.
SEGMENTS: Final = 900
DEVICES: Final = 8
# An airliner flies at 900 km/h; databases of addresses are wrong by a hundred kilometres without saying so.
FASTEST_KM_PER_HOUR: Final = 1000.0
NEAR_KM: Final = 500.0
_EARTH_KM: Final = 6371.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks like abuse.

    Attributes:
        explanation: for people; without addresses.
        facts: the same by name.
    """

    kind: SignalKind
    explanation: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """Where somebody was, and when."""

    moment: datetime
    point: Point
    territory: str


def distance_km(one: Point, other: Point) -> float:
    """The way between two points over the ground (haversine), less what the database may be wrong by; 0 and up."""
    latitudes = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    part = (
        math.sin((latitudes[1] - latitudes[0]) / 2) ** 2
        + math.cos(latitudes[0]) * math.cos(latitudes[1]) * math.sin(across / 2) ** 2
    )
    whole = 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, part)))
    return max(0.0, whole - one.radius_km - other.radius_km)


def travel(before: Seen, after: Seen) -> Finding | None:
    """Whether somebody would have had to be faster than an aeroplane."""
    far = distance_km(before.point, after.point)
    hours = abs((after.moment - before.moment).total_seconds()) / 3600
    if far < NEAR_KM or far <= FASTEST_KM_PER_HOUR * hours:
        return None
    minutes = round(hours * 60)
    return Finding(
        SignalKind.IMPOSSIBLE_TRAVEL,
        f"seen in {before.territory or 'one place'} and, {minutes} minutes later, in {after.territory or 'another'}, "
        f"{far:.0f} km away",
        {"from": before.territory, "to": after.territory, "kilometres": f"{far:.0f}", "minutes": str(minutes)},
    )


def sharing(networks: Mapping[str, datetime], now: datetime) -> Finding | None:
    """Whether one session is used from too many networks, each with when it was last seen."""
    recent = _recent(networks.values(), now, SHARING_WITHIN)
    if recent < NETWORKS:
        return None
    minutes = int(SHARING_WITHIN.total_seconds() // 60)
    return Finding(
        SignalKind.TOKEN_SHARING,
        f"one playback was used from {recent} networks within {minutes} minutes",
        {"networks": str(recent), "minutes": str(minutes)},
    )


def scraping_keys(titles: Mapping[str, datetime], licences: Sequence[datetime], now: datetime) -> Finding | None:
    """Whether keys of too many films are fetched by a viewer, or those of one session too often.

    Args:
        titles: films whose keys were fetched, each with when that was last.
        licences: when the session fetched keys.
        now: the moment.
    """
    many, often = _recent(titles.values(), now, SCRAPING_WITHIN), _recent(licences, now, SCRAPING_WITHIN)
    if many < TITLES and often < LICENCES:
        return None
    what = f"of {many} films" if many >= TITLES else f"{often} times for one playback"
    return Finding(
        SignalKind.KEY_SCRAPING,
        f"keys were fetched {what} within an hour",
        {"titles": str(many), "licences": str(often), "minutes": "60"},
    )


def overlay_tampered() -> Finding:
    """What the page that plays says by itself: somebody removed what lies over the picture, or hid it."""
    explanation = "the overlay with the viewer's name was removed or hidden on the page that plays"
    return Finding(SignalKind.OVERLAY_TAMPERED, explanation, {})


def scraping_segments(segments: int) -> Finding | None:
    """Whether a session fetched too many segments within five minutes."""
    if segments < SEGMENTS:
        return None
    return Finding(
        SignalKind.SEGMENT_SCRAPING,
        f"{segments} segments of one playback were fetched within 5 minutes, much faster than anybody watches",
        {"segments": str(segments), "minutes": "5"},
    )


def crowd(devices: Mapping[str, datetime], now: datetime) -> Finding | None:
    """Whether a viewer watches on too many devices within a day."""
    many = _recent(devices.values(), now, DEVICES_WITHIN)
    if many < DEVICES:
        return None
    return Finding(SignalKind.TOO_MANY_DEVICES, f"watched on {many} devices within a day", {"devices": str(many)})


def _recent(moments: Iterable[datetime], now: datetime, within: timedelta) -> int:
    return sum(1 for moment in moments if now - moment < within)
