"""What the simulated viewers meet: two real edges before a real policy service, and titles to watch."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.kit.clock import FixedClock, SystemClock
from services.kit.settings import ProcessSettings
from tests.envoy.lanes import Lanes, some_lanes
from tests.policy.scene import Scene
from tests.simulation.oracle import Title
from tests.support.http1 import Connections

SEGMENTS: Final = 24
"""Of each title: hours of film, thinned."""
_FILES: Final[Mapping[str, bytes]] = {
    "manifest.mpd": b"<MPD/>",
    "master.m3u8": b"#EXTM3U\n",
    **{f"video/{number}.m4s": f"segment {number}".encode() for number in range(SEGMENTS)},
}
_CONNECTIONS: Final = 64
_CALLS: Final = 6
_TICK: Final = 0.004


@dataclass
class Time:
    """What the policy service takes for the time.

    Attributes:
        behind: how far it is behind the machine's; the edges' own clock is never.
    """

    clock: FixedClock
    behind: timedelta = timedelta()

    async def go_on(self) -> None:
        """Keeps it going."""
        while True:
            self.clock.advance(SystemClock().now() - self.behind - self.clock.now())
            await asyncio.sleep(_TICK)


@dataclass(frozen=True)
class Stage:
    """Everything that viewers and operators use.

    Attributes:
        time: may be turned back while nobody asks for anything.
        calls: how many calls of operators and servers are made at a time; a moment counts from when a call has its turn.
    """

    scene: Scene
    edges: tuple[Connections, Connections]
    titles: list[Title]
    lanes: Lanes
    time: Time
    calls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CALLS))

    def edge(self, rng: random.Random) -> Connections:
        """The edge that lets segments through by itself, mostly, or the one that asks about each."""
        return self.edges[rng.random() < 0.2]

    @staticmethod
    def content(file: str) -> bytes:
        """What a file holds."""
        return _FILES[file]

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
    async with some_lanes(mesh) as lanes:
        time = Time(lanes.scene.clock)
        ticking = asyncio.create_task(time.go_on())
        try:
            async with (
                Connections(lanes.warm.address, _CONNECTIONS) as warm,
                Connections(lanes.strict.address, _CONNECTIONS) as strict,
            ):
                stage = Stage(lanes.scene, (warm, strict), [], lanes, time)
                for _ in range(titles):
                    await stage.publish()
                await lanes.scene.bus.client.flush()
                yield stage
        finally:
            ticking.cancel()
