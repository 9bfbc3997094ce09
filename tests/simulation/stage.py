"""What the simulated viewers meet: two real edges before a real policy service, and titles to watch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from services.kit.clock import FixedClock, SystemClock
from services.kit.settings import ProcessSettings
from tests.envoy.lanes import Lanes, some_lanes
from tests.policy.scene import Scene
from tests.simulation.oracle import Oracle, Seat, Title
from tests.support.http1 import Answer, Connections

SEGMENTS: Final = 24
"""Of each title: hours of film, thinned."""
_FILES: Final[Mapping[str, bytes]] = {
    "manifest.mpd": b"<MPD/>",
    "master.m3u8": b"#EXTM3U\n",
    **{f"video/{number}.m4s": f"segment {number}".encode() for number in range(SEGMENTS)},
}
_CONNECTIONS: Final = 64
_CALLS: Final = 6


class Time(FixedClock):
    """What the policy service takes for the time: the machine's own, unless it is behind. The edges' clock never is.

    Attributes:
        behind: how far.
    """

    def __init__(self) -> None:
        super().__init__(SystemClock().now())
        self.behind = timedelta()

    def now(self) -> datetime:
        """The present moment."""
        return SystemClock().now() - self.behind


@dataclass(frozen=True)
class Stage:
    """Everything that viewers and operators use.

    Attributes:
        time: may be turned back while nobody asks for anything.
        calls: how many calls of operators and servers are made at a time; a moment counts from when a call has its turn.
        beside: what goes on beside viewers, and is waited for in the end.
    """

    scene: Scene
    edges: tuple[Connections, Connections]
    titles: list[Title]
    lanes: Lanes
    time: Time
    calls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CALLS))
    beside: set[asyncio.Task[None]] = field(default_factory=set)

    @staticmethod
    def edge(rng: random.Random) -> int:
        """The edge that lets segments through by itself, mostly, or the one that asks about each."""
        return int(rng.random() < 0.2)

    async def asked_at(self, edge: int, oracle: Oracle, seat: Seat, file: str, who: str = "") -> str:
        """Asks an edge for a file of a session, and has the oracle judge the answer. Returns the reason of a refusal; empty when it was served."""
        asked = time.time()
        answer = await self.edges[edge].ask("GET", f"{seat.base}/{file}")
        answered = time.time()
        reason = reason_of(answer)
        if not reason and answer.body != _FILES[file]:
            oracle.complain(f"{file} came out different")
        oracle.request(seat, who or ("segment" if file.endswith("m4s") else "manifest"), asked, answered, reason)
        return reason

    def go_on_with(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something beside everything else."""
        self.beside.add(asyncio.create_task(work))

    async def publish(self) -> Title:
        """One more title."""
        film = await self.scene.publish()
        for name, content in _FILES.items():
            path = self.lanes.objects / "published" / film.package_id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        title = Title(film.asset_id, film.package_id)
        self.titles.append(title)
        return title


@contextlib.asynccontextmanager
async def a_stage(mesh: ProcessSettings, titles: int) -> AsyncIterator[Stage]:
    """A stage whose policy service goes by the machine's clock, as the edges do."""
    clock = Time()
    async with (
        some_lanes(mesh, clock=clock) as lanes,
        Connections(lanes.warm.address, _CONNECTIONS) as warm,
        Connections(lanes.strict.address, _CONNECTIONS) as strict,
    ):
        stage = Stage(lanes.scene, (warm, strict), [], lanes, clock)
        for _ in range(titles):
            await stage.publish()
        await lanes.scene.bus.client.flush()
        yield stage


def reason_of(answer: Answer) -> str:
    """Reason of a refusal; empty for what was served."""
    if answer.status == 200:
        return ""
    try:
        return str(json.loads(answer.body)["details"][0]["reason"])
    except (ValueError, LookupError):
        return f"{answer.status} {answer.body[:200]!r}"
