"""Takes calls out of buckets, for many callers at once: what comes while a statement is under way goes into the next one.

So a replica has one statement under way at a time, however many calls wait, and each call is decided by what all replicas share. A bucket
that was found empty is known to stay so until it refills, whoever else takes from it: a flood is refused from memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from services.kit import telemetry
from services.kit.clock import Clock
from services.limits.domain import Ask, Limit, Outcome, Taken, microseconds, outcome, taken

log = structlog.stdlib.get_logger()

MOST_AT_ONCE: Final = 512
"""Buckets that one statement touches at most."""
REMEMBERED: Final = 65_536
"""Buckets known to be empty, and buckets counted in memory, that are kept at most; about 200 bytes each."""
_AWAY_SECONDS: Final = 1.0

STORE_AWAY: Final = Counter("reelmesh_limits_store_away_total", "Statements for which the shared buckets were away.")


class Buckets(Protocol):
    """Where buckets are kept."""

    async def take(self, asks: Sequence[Ask], now: int) -> dict[bytes, Taken]:
        """Takes calls out of several different buckets at once."""
        ...


class MemoryBuckets:
    """Buckets of this process alone, for as long as the shared ones are away."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._full_at: OrderedDict[bytes, int] = OrderedDict()
        self._remembered = remembered

    async def take(self, asks: Sequence[Ask], now: int) -> dict[bytes, Taken]:
        """Takes calls out of several different buckets at once."""
        found = {}
        for ask in asks:
            found[ask.key] = taken(self._full_at.get(ask.key, 0), ask, now)
            self._full_at[ask.key] = found[ask.key].full_at
            self._full_at.move_to_end(ask.key)
        while len(self._full_at) > self._remembered:
            self._full_at.popitem(last=False)
        return found


class _Waiting:
    """Those who wait for one bucket, in the order in which they came."""

    __slots__ = ("given_back", "limit", "queue")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.given_back = 0
        self.queue: list[asyncio.Future[Outcome]] = []


class Ledger:
    """Decides calls.

    Args:
        shared: the buckets that all replicas share.
        clock: what time it is.
    """

    def __init__(self, shared: Buckets, clock: Clock, now: Callable[[], float] | None = None) -> None:
        self._shared = shared
        self._alone = MemoryBuckets()
        self._clock = clock
        self._monotonic = now or asyncio.get_running_loop().time
        self._away_until = 0.0
        self._waiting: dict[bytes, _Waiting] = {}
        self._empty: OrderedDict[bytes, int] = OrderedDict()
        self._writing: asyncio.Task[None] | None = None

    async def take(self, asks: Sequence[Ask]) -> list[Outcome]:
        """Takes one call out of each bucket, or out of none when one of them is empty.

        Returns:
            One outcome for each ask, in their order. The call may pass when all allow it.
        """
        now = microseconds(self._clock.now())
        known = [self._known_empty(ask, now) for ask in asks]
        if any(known):
            return [found or Outcome(allowed=True, remaining=0, full_in=0, retry_in=0) for found in known]
        found = await asyncio.gather(*(self._joined(ask) for ask in asks))
        if not all(one.allowed for one in found):
            for ask, one in zip(asks, found, strict=True):
                if one.allowed:
                    self._give_back(ask)
        return found

    def exhausted(self, asks: Sequence[Ask]) -> bool:
        """Whether one of the buckets is known to be empty, so that `take` will refuse without asking."""
        now = microseconds(self._clock.now())
        return any(self._known_empty(ask, now) for ask in asks)

    async def close(self) -> None:
        """Lets the statement that is under way end."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    def _known_empty(self, ask: Ask, now: int) -> Outcome | None:
        full_at = self._empty.get(ask.key)
        if full_at is None:
            return None
        found = outcome(ask.limit, full_at, now, allowed=False)
        # A clock that was set back would leave the bucket empty for as long: then it is asked.
        if found.retry_in > 0 and full_at - now <= ask.limit.window:
            return found
        del self._empty[ask.key]
        return None

    def _joined(self, ask: Ask) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(ask.key, _Waiting(ask.limit)).queue.append(future)
        self._write()
        return future

    def _give_back(self, ask: Ask) -> None:
        self._waiting.setdefault(ask.key, _Waiting(ask.limit)).given_back += 1
        self._write()

    def _write(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._all_written(), name="limits")

    async def _all_written(self) -> None:
        while self._waiting:
            # Whoever comes in this turn of the loop goes along.
            await asyncio.sleep(0)
            batch = dict(list(self._waiting.items())[:MOST_AT_ONCE])
            for key in batch:
                del self._waiting[key]
            now = microseconds(self._clock.now())
            asks = [Ask(key, one.limit, len(one.queue) - one.given_back) for key, one in batch.items()]
            found = await self._taken(asks, now)
            for ask in asks:
                self._told(ask, batch[ask.key], found[ask.key], now)

    async def _taken(self, asks: list[Ask], now: int) -> dict[bytes, Taken]:
        if self._monotonic() >= self._away_until:
            try:
                return await self._shared.take(asks, now)
            except Exception as error:  # whatever is wrong with the store, callers are not to suffer from it
                STORE_AWAY.inc()
                log.warning(
                    "counting alone: the shared buckets are away",
                    error=telemetry.masked(f"{type(error).__name__}: {error}")[:300],
                )
                self._away_until = self._monotonic() + _AWAY_SECONDS
        return await self._alone.take(asks, now)

    def _told(self, ask: Ask, waiting: _Waiting, found: Taken, now: int) -> None:
        granted = found.granted + waiting.given_back
        for place, future in enumerate(waiting.queue):
            if not future.done():
                future.set_result(outcome(ask.limit, found.full_at, now, allowed=place < granted))
        if granted < len(waiting.queue):
            self._empty[ask.key] = found.full_at
            self._empty.move_to_end(ask.key)
            while len(self._empty) > REMEMBERED:
                self._empty.popitem(last=False)
