"""What `policy` is asked about at a constant rate: manifests through the cold lane and segments in strict mode, with tickets that it
knows, with new tickets of sessions that it knows, and with tickets of sessions that are as new to it as they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse

from tests.bench.edge_audience import Audience, audience
from tests.bench.edge_lanes import another_edge
from tests.bench.harness import Measurement
from tests.bench.open_loop import Offered, offer
from tests.bench.screening import Screening

PER_SECOND: Final = 2000
_KNOWN: Final = 500
_METHOD: Final = "HEAD"
"""What is measured is the decision, not the file."""
_TICKETS: Final = f"{_KNOWN} tickets, all asked about a moment before"
_NEW: Final = (
    f"each request with a ticket never seen before, of one of {_KNOWN} sessions that were asked about a moment before by another ticket, as when "
    "tickets are renewed: a signature to check each time"
)
_NEW_SESSION: Final = (
    "each request with a ticket of a session of its own, both never seen before: a signature to check each time and, for a manifest, a session "
    "to look up in the database"
)
_SLOWER: Final = (1500, 1000, 700, 500, 350, 250, 175, 125)
"""What is offered, a second, when what was offered before is more than this machine can do."""

Once = Callable[[float], Awaitable[Offered]]


@dataclass(frozen=True, slots=True)
class Checks:
    """What came of one kind of tickets.

    Attributes:
        asked_for: at PER_SECOND.
        sustained: at the highest rate tried at which the last answers came at once; None if none was low enough.
    """

    asked_for: Offered
    sustained: Offered | None


@dataclass(frozen=True, slots=True)
class Way:
    """What is asked about, and where.

    Attributes:
        name: in ids.
        what: for notes.
        address: `host:port` of an edge.
        file: below the package.
    """

    name: str
    what: str
    address: str
    file: str


async def measured(ours: Screening, like: CreatePlaybackResponse, segment: str, *, seconds: float) -> list[Measurement]:
    """Offers manifests through the cold lane, then segments in strict mode, with each kind of tickets.

    Args:
        segment: path of one below the package.
        seconds: of each rate.
    """
    found: list[Measurement] = []
    async with another_edge(ours, strict=True) as (strict, _):
        for way in (
            Way("cold", "manifests through the cold lane", f"127.0.0.1:{ours.mesh.installation.port}", "manifest.mpd"),
            Way("strict", "heads of segments in strict mode", strict, segment),
        ):
            known = await _known(ours, like, way, seconds)
            found += _measurements(way, "known", known, _TICKETS, seconds)
            new = await _stepped(partial(_new, ours, like, way, seconds))
            found += _measurements(way, "new", new, _NEW, seconds)
            both = await _stepped(partial(_new_sessions, ours, like, way, seconds))
            found += _measurements(way, "new_session", both, _NEW_SESSION, seconds)
    return found


async def _known(ours: Screening, like: CreatePlaybackResponse, way: Way, seconds: float) -> Checks:
    paths = _paths(await audience(ours, like, _KNOWN), way)

    async def once(rate: float) -> Offered:
        await _made_known(way, paths)
        return await offer(way.address, itertools.cycle(paths), per_second=rate, seconds=seconds, method=_METHOD)

    return await _stepped(once)


async def _made_known(way: Way, paths: list[str]) -> None:
    """Asks about each once. Policy looks a session up again after half a minute, so this is done anew for each rate."""
    await offer(way.address, iter(paths), per_second=100, seconds=len(paths) / 100)


async def _new(ours: Screening, like: CreatePlaybackResponse, way: Way, seconds: float, rate: float) -> Offered:
    each = 1 + math.ceil(rate * seconds / _KNOWN)
    paths = _paths(await audience(ours, like, _KNOWN, tickets_each=each), way)
    await _made_known(way, paths[:_KNOWN])
    return await offer(way.address, iter(paths[_KNOWN:]), per_second=rate, seconds=seconds, method=_METHOD)


async def _new_sessions(
    ours: Screening, like: CreatePlaybackResponse, way: Way, seconds: float, rate: float
) -> Offered:
    fresh = await audience(ours, like, round(rate * seconds))
    return await offer(way.address, iter(_paths(fresh, way)), per_second=rate, seconds=seconds, method=_METHOD)


async def _stepped(once: Once) -> Checks:
    asked_for = await once(PER_SECOND)
    if asked_for.kept_up:
        return Checks(asked_for, asked_for)
    for rate in _SLOWER:
        slower = await once(rate)
        if slower.kept_up:
            return Checks(asked_for, slower)
    return Checks(asked_for, None)


def _paths(found: Audience, way: Way) -> list[str]:
    return [f"{base}/{way.file}" for base in found.base]


def _measurements(way: Way, kind: str, seen: Checks, who: str, seconds: float) -> list[Measurement]:
    what = f"{way.what} by {_METHOD}, {who}"
    note = (
        f"{what}; {_said(seen.asked_for)}; for {seconds:g} s, at a constant rate that waits for no answer, each request timed from when it "
        "was due and counted as 5 s when unanswered, by a generator on the same machine"
    )
    found = [Measurement(f"edge.{way.name}_p95_ms_{kind}", seen.asked_for.late(95), "ms", "", note)]
    if seen.sustained is None:
        return found
    at = f"the highest of the rates tried that it kept up with; {_said(seen.sustained)}; {what}"
    return [
        *found,
        Measurement(f"edge.{way.name}_sustained_per_s_{kind}", seen.sustained.per_second, "1/s", "", at),
        Measurement(f"edge.{way.name}_sustained_p95_ms_{kind}", seen.sustained.late(95), "ms", "", at),
    ]


def _said(seen: Offered) -> str:
    kept_up = "kept up" if seen.kept_up else "MORE THAN THIS MACHINE CAN DO"
    return (
        f"{seen.per_second:.0f}/s offered, {seen.answered_per_second:.0f}/s answered in time, {seen.refused} refused, {seen.unanswered} "
        f"unanswered ({kept_up}); p50 {seen.late(50):.1f}, p95 {seen.late(95):.1f}, p99 {seen.late(99):.1f} ms, of which the generator's "
        f"own lateness is {seen.own_lateness_ms:.1f} ms at most (p99; it took {seen.own_load:.0%} of one processor)"
    )
