"""Load at a constant rate that does not wait for answers, as many independent viewers make it: h2load's does, and so hides how late a
server is.

A request's time is counted from the moment at which it was due, whether a connection was free or not.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tests.bench.harness import percentile
from tests.support.http1 import Connections

_MOST_CONNECTIONS: Final = 256
_PATIENCE: Final = 5.0
"""Seconds after the last request was due. What has no answer by then counts as taken that long."""
_KEPT_UP: Final = 0.5
"""Seconds within which the last answers come where a server keeps up."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What came of a rate.

    Attributes:
        per_second: requests that were due each second.
        answered_per_second: answers with status 200, until the last request was due.
        milliseconds: of each request, unanswered ones included.
        refused: answers with another status, and broken connections.
        unanswered: requests without an answer when patience was over.
        over_after: seconds from when the last request was due until the last answer.
        own_lateness_ms: 99 % of requests were begun within so long of being due: what the generator itself adds at most.
        own_load: share of one processor that the generator took.
    """

    per_second: float
    answered_per_second: float
    milliseconds: tuple[float, ...]
    refused: int
    unanswered: int
    over_after: float
    own_lateness_ms: float
    own_load: float

    @property
    def kept_up(self) -> bool:
        """Whether the server sustains the rate."""
        return not self.refused and not self.unanswered and self.over_after < _KEPT_UP

    def late(self, percent: float) -> float:
        """A percentile of milliseconds."""
        return percentile(self.milliseconds, percent)


async def offer(
    address: str, paths: Iterator[str], *, per_second: float, seconds: float, method: str = "GET"
) -> Offered:
    """Asks for one path after another at a constant rate.

    Args:
        address: `host:port`.
        paths: as many as are needed, at least.
        per_second: requests each second.
        seconds: for how long.
        method: of each request.
    """
    count = round(per_second * seconds)
    wanted = list(islice(paths, count))
    if len(wanted) < count:
        raise ValueError(f"{count} paths are needed, and there are {len(wanted)}")
    taken: list[float] = []
    lateness: list[float] = []
    refused = in_time = 0
    gc.collect()
    gc.freeze()
    async with Connections(address, _MOST_CONNECTIONS) as server:
        start, busy = time.perf_counter() + 0.05, time.process_time()
        end = start + count / per_second

        async def one(path: str, due: float) -> None:
            nonlocal refused, in_time
            lateness.append(time.perf_counter() - due)
            try:
                good = (await server.ask(method, path)).status == 200
            except OSError:
                good = False
            now = time.perf_counter()
            taken.append(now - due)
            refused += not good
            in_time += good and now <= end

        running = set()
        for number, path in enumerate(wanted):
            due = start + number / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(path, due))
            running.add(task)
            task.add_done_callback(running.discard)
        unanswered = await _until_done(running, end + _PATIENCE - time.perf_counter())
        over = time.perf_counter()
        busy = time.process_time() - busy
    gc.unfreeze()
    taken += [_PATIENCE] * unanswered
    return Offered(
        per_second=per_second,
        answered_per_second=in_time / seconds,
        milliseconds=tuple(one * 1000 for one in taken),
        refused=refused,
        unanswered=unanswered,
        over_after=over - end,
        own_lateness_ms=percentile(lateness, 99) * 1000,
        own_load=busy / (over - start),
    )


async def _until_done(running: set[asyncio.Task[None]], patience: float) -> int:
    """Waits for the answers that are missing; returns how many still are when patience is over."""
    if not running:
        return 0
    _, late = await asyncio.wait(set(running), timeout=max(patience, 0.01))
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return len(late)
