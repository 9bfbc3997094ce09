"""The cold lane at a constant rate: manifests, about each of which `policy` is asked, with tickets that it knows and with some that it
has never seen."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse

from tests.bench.edge_audience import audience
from tests.bench.harness import Measurement
from tests.bench.open_loop import Offered, offer
from tests.bench.screening import Screening

PER_SECOND: Final = 2000
_KNOWN: Final = 500
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


async def measured(ours: Screening, like: CreatePlaybackResponse, *, seconds: float) -> list[Measurement]:
    """Offers both kinds."""
    address = f"127.0.0.1:{ours.mesh.installation.port}"
    known = await _known(ours, like, address, seconds)
    new = await _stepped(lambda rate: _new(ours, like, address, rate, seconds))
    return [
        *_measurements("known", known, f"{_KNOWN} tickets, all asked about a moment before", seconds),
        *_measurements(
            "new",
            new,
            "each request with a ticket and a session that policy had never seen: one signature to check and one session to look up "
            "for each, far more than any audience makes, for a viewer's ticket is new once",
            seconds,
        ),
    ]


async def _known(ours: Screening, like: CreatePlaybackResponse, address: str, seconds: float) -> Checks:
    paths = _manifests((await audience(ours, like, _KNOWN)).base)

    async def once(rate: float) -> Offered:
        # Policy looks a session up again after half a minute, so all are asked about anew.
        await offer(address, iter(paths), per_second=100, seconds=_KNOWN / 100)
        return await offer(address, itertools.cycle(paths), per_second=rate, seconds=seconds)

    return await _stepped(once)


async def _new(ours: Screening, like: CreatePlaybackResponse, address: str, rate: float, seconds: float) -> Offered:
    fresh = await audience(ours, like, round(rate * seconds))
    return await offer(address, iter(_manifests(fresh.base)), per_second=rate, seconds=seconds)


async def _stepped(once: Once) -> Checks:
    asked_for = await once(PER_SECOND)
    if asked_for.kept_up:
        return Checks(asked_for, asked_for)
    for rate in _SLOWER:
        slower = await once(rate)
        if slower.kept_up:
            return Checks(asked_for, slower)
    return Checks(asked_for, None)


def _manifests(base: Sequence[str]) -> list[str]:
    return [f"{one}/manifest.mpd" for one in base]


def _measurements(kind: str, seen: Checks, what: str, seconds: float) -> list[Measurement]:
    note = (
        f"manifests through the cold lane, {what}; {_said(seen.asked_for)}; for {seconds:g} s, at a constant rate that waits for no answer, "
        "each request timed from when it was due, by a generator on the same machine"
    )
    found = [Measurement(f"edge.cold_p95_ms_{kind}", seen.asked_for.late(95), "ms", "", note)]
    if seen.sustained is None:
        return found
    at = f"the highest of the rates tried that it kept up with; {_said(seen.sustained)}; {what}"
    return [
        *found,
        Measurement(f"edge.cold_sustained_per_s_{kind}", seen.sustained.per_second, "1/s", "", at),
        Measurement(f"edge.cold_sustained_p95_ms_{kind}", seen.sustained.late(95), "ms", "", at),
    ]


def _said(seen: Offered) -> str:
    kept_up = "kept up" if seen.kept_up else "MORE THAN THIS MACHINE CAN DO"
    return (
        f"{seen.per_second:.0f}/s offered, {seen.answered_per_second:.0f}/s answered in time, {seen.refused} refused, {seen.unanswered} "
        f"unanswered ({kept_up}); p50 {seen.late(50):.1f}, p95 {seen.late(95):.1f}, p99 {seen.late(99):.1f} ms, of which the generator's "
        f"own lateness is {seen.own_lateness_ms:.1f} ms at most (p99; it took {seen.own_load:.0%} of one processor)"
    )
