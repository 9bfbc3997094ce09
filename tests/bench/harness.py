"""What every group of measurements shares: the shape of a result, alternating rounds, and the file of results.

A group is a module of this package with `async def measure() -> list[Measurement]`, named in `__main__.GROUPS`. It runs
on any machine, so it compares: ours and a peer take turns, and what is recorded is a ratio of medians wherever there is
a peer. Nothing here is a test, and no test is timed.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

Seen = TypeVar("Seen")

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "bench/results.json"
SCRATCH: Final = ROOT / ".reelmesh-bench"
"""Inputs that are made once and peers that are installed once. Ignored by git; safe to remove."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number.

    Attributes:
        id: `<group>.<what>`, never renamed once published.
        value: in `unit`.
        unit: `ratio`, `ms`, `s`, `MiB`, `MB/s`, `VMAF` …
        peer: beside what, with its version; empty where there is none.
        note: how it was measured. Machine, load and date are added when it is recorded.
    """

    id: str
    value: float
    unit: str
    peer: str
    note: str


async def take_turns(lanes: Mapping[str, Callable[[], Awaitable[Seen]]], rounds: int) -> dict[str, list[Seen]]:
    """Runs each lane once per round, and every second round backwards, so that a busy machine hits all alike."""
    seen: dict[str, list[Seen]] = {lane: [] for lane in lanes}
    for number in range(rounds):
        for lane in list(lanes)[:: -1 if number % 2 else 1]:
            seen[lane].append(await lanes[lane]())
    return seen


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def machine() -> str:
    """Where and when: processors, load of the last minute, date."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, {datetime.now(UTC).date().isoformat()}"


def record(measurements: Iterable[Measurement], where: str, path: Path = RESULTS) -> None:
    """Merges into the file of results, in one move; what other groups wrote stays.

    Args:
        measurements: what a group found.
        where: what `machine` said before the group began to make a load of its own.
        path: the file.
    """
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for one in measurements:
        note = f"{one.note}; {where}"
        results[one.id] = {"value": round(one.value, 4), "unit": one.unit, "peer": one.peer, "note": note}
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(dict(sorted(results.items())), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)
