"""The edge: a segment through an Envoy that only serves files, through our edge with all that judges requests taken out, through the warm lane, through one in strict mode, which asks `policy` about
each request, and through nginx with `secure_link`; manifests through the cold lane; and how soon a revocation is known everywhere.

All serve the same published files with as many workers, write an access log where theirs is on as shipped, and take the same load.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse
from rich.console import Console
from rich.table import Table

from tests.bench import edge_checks, edge_revocations
from tests.bench.edge_lanes import Lane, Turn, another_edge, nginx_secure_link, open_edge, plain_edge, taken
from tests.bench.harness import SCRATCH, Measurement, median, percentile, take_turns
from tests.bench.screening import Screening, screening

_WANTED_BYTES: Final = 100_000
_PER_VIEWER: Final = 2 / 4
"""Requests a second of one viewer: a segment of sound and one of picture for every four seconds of film."""
_NGINX: Final = "nginx (Debian's nginx-light) with secure_link on the same files"
_PLAIN: Final = "a bare Envoy with file_server only: no ticket, no access log, no answer headers, no limits"
_OPEN: Final = "the same edge with all that judges requests taken out"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything is measured.

    Attributes:
        rounds: of turns of every lane, after one that is not counted.
        seconds: of one turn.
        connections: at which lanes are compared; the first is the one that ids speak of.
        checks_seconds: of one constant rate.
        revocations: sessions revoked.
    """

    rounds: int = 5
    seconds: float = 4
    connections: tuple[int, ...] = (32, 256)
    checks_seconds: float = 10
    revocations: int = 120


@dataclass(frozen=True, slots=True)
class Result:
    """All turns of one lane at one number of connections."""

    turns: list[Turn]

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return median(turn.load.per_second for turn in self.turns)

    def late(self, percent: float) -> float:
        """A percentile of milliseconds."""
        return median(percentile(turn.load.milliseconds, percent) for turn in self.turns)

    @property
    def cpu(self) -> Mapping[str, float]:
        """Seconds of processor time by name of process, for 1,000 requests."""
        names = self.turns[0].cpu
        return {
            name: median(turn.cpu[name] / len(turn.load.milliseconds) * 1000 for turn in self.turns) for name in names
        }


async def measure(plan: Plan | None = None) -> list[Measurement]:
    """Takes about ten minutes."""
    plan = plan or Plan()
    SCRATCH.mkdir(exist_ok=True)
    async with screening() as ours:
        created = await ours.playback()
        package = ours.published / created.playback.package_id
        segment = min(package.glob("video/*/[0-9]*.m4s"), key=lambda path: abs(path.stat().st_size - _WANTED_BYTES))
        async with _lanes(ours, created, segment) as lanes:
            found = {connections: await _compared(ours, lanes, plan, connections) for connections in plan.connections}
        _show(found)
        file = str(segment.relative_to(package))
        checks = await edge_checks.measured(ours, created, file, seconds=plan.checks_seconds)
        revocations = await edge_revocations.measured(ours, created, file, samples=plan.revocations)
        size = segment.stat().st_size
    return [*_measurements(found, size, plan), *checks, *revocations]


@asynccontextmanager
async def _lanes(ours: Screening, created: CreatePlaybackResponse, segment: Path) -> AsyncIterator[dict[str, Lane]]:
    base = created.playback.dash_url.rpartition("/")[0]
    below = segment.relative_to(ours.published / created.playback.package_id)
    envoy, policy = (ours.mesh.installation.pid(name) for name in ("envoy", "policy"))
    async with (
        plain_edge(ours) as (plain, plain_pid),
        open_edge(ours) as (unjudged, unjudged_pid),
        another_edge(ours, strict=True) as (strict, strict_pid),
        nginx_secure_link(ours, segment) as (nginx, nginx_pid),
    ):
        yield {
            "plain": Lane(f"http://{plain}/{segment.relative_to(ours.published)}", {"envoy": plain_pid}),
            "open": Lane(f"http://{unjudged}/published/{segment.relative_to(ours.published)}", {"envoy": unjudged_pid}),
            "warm": Lane(f"{base}/{below}", {"envoy": envoy, "policy": policy}),
            "cold": Lane(created.playback.dash_url, {"envoy": envoy, "policy": policy}, asks=True),
            "strict": Lane(
                f"http://{strict}{urlsplit(base).path}/{below}", {"envoy": strict_pid, "policy": policy}, asks=True
            ),
            "nginx": Lane(nginx, {"nginx": nginx_pid}),
        }


async def _compared(ours: Screening, lanes: Mapping[str, Lane], plan: Plan, connections: int) -> dict[str, Result]:
    turns = {
        name: partial(taken, ours, lane, connections=connections, seconds=plan.seconds) for name, lane in lanes.items()
    }
    await take_turns(turns, 1)
    return {name: Result(seen) for name, seen in (await take_turns(turns, plan.rounds)).items()}


def _measurements(found: Mapping[int, Mapping[str, Result]], size: int, plan: Plan) -> list[Measurement]:
    first = next(iter(found))
    at = found[first]
    plain, warm, strict, nginx = (at[name] for name in ("plain", "warm", "strict", "nginx"))
    how = (
        f"a segment of {size / 1000:.0f} kB (cold: a manifest), {first} connections, h2load on the same machine, "
        f"median of {plan.rounds} alternating rounds of {plan.seconds:g} s"
    )
    table = f"{how}; {'; '.join(_row(connections, name, one) for connections, lanes in found.items() for name, one in lanes.items())}"
    per_core = 1000 / warm.cpu["envoy"]
    arithmetic = (
        f"{per_core:.0f} requests through the warm lane for each second of Envoy's processor time ÷ {_PER_VIEWER:g} requests a second of "
        f"one viewer (2 for every 4 s of film, sound and picture); kernel time of sending {size / 1000:.0f} kB each time included; {how}"
    )
    return [
        Measurement("edge.warm_vs_plain", warm.per_second / plain.per_second, "ratio", _PLAIN, table),
        Measurement("edge.warm_vs_unauthenticated", warm.per_second / at["open"].per_second, "ratio", _OPEN, table),
        Measurement("edge.warm_per_s", warm.per_second, "1/s", "", how),
        Measurement("edge.warm_p95_ms", warm.late(95), "ms", "", how),
        Measurement("edge.strict_vs_plain", strict.per_second / plain.per_second, "ratio", _PLAIN, table),
        # Segments with and without ext_authz, by the name that came first.
        Measurement("edge.authz_vs_plain", strict.per_second / plain.per_second, "ratio", _PLAIN, table),
        Measurement("edge.strict_per_s", strict.per_second, "1/s", "", how),
        Measurement("edge.strict_p95_ms", strict.late(95), "ms", "", how),
        Measurement("edge.warm_vs_nginx_secure_link", warm.per_second / nginx.per_second, "ratio", _NGINX, table),
        Measurement("edge.viewers_per_core", per_core / _PER_VIEWER, "viewers", "", arithmetic),
    ]


def _row(connections: int, name: str, one: Result) -> str:
    cpu = " + ".join(f"{process} {seconds:.3f}" for process, seconds in one.cpu.items())
    return (
        f"{name} at {connections}: {one.per_second:.0f}/s, p50 {one.late(50):.1f}, p95 {one.late(95):.1f}, p99 {one.late(99):.1f} ms, "
        f"{cpu} CPU s per 1,000"
    )


def _show(found: Mapping[int, Mapping[str, Result]]) -> None:
    table = Table("connections", "lane", "requests/s", "p50 ms", "p95 ms", "p99 ms", "CPU s per 1,000 requests")
    for connections, lanes in found.items():
        for name, one in lanes.items():
            cpu = ", ".join(f"{process} {seconds:.3f}" for process, seconds in one.cpu.items())
            late = (f"{one.late(percent):.1f}" for percent in (50, 95, 99))
            table.add_row(str(connections), name, f"{one.per_second:.0f}", *late, cpu)
    Console().print(table)
