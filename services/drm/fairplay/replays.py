"""SPCs that were answered, in the database: each is answered once, whichever replica is asked and whatever crashes in between.

What is remembered of an SPC is a hash, and for as long only as its own date lets it in again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import unavailable
from services.kit.server import as_refusal

_MOST: Final = 256
"""SPCs to a transaction."""
_PARALLEL: Final = 1
_PATIENCE: Final = 5.0
_FORGOTTEN_AT_ONCE: Final = 10_000

# In one order for all: two transactions that hold the same SPCs then wait for each other and do not lock each other out.
_CLAIM: Final = sa.text(
    "INSERT INTO fairplay_spcs (fingerprint, expire_time)"
    " SELECT fingerprint, expire_time FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:expire_times AS timestamptz[]))"
    " AS new (fingerprint, expire_time) ORDER BY fingerprint"
    " ON CONFLICT (fingerprint) DO NOTHING RETURNING fingerprint"
)
_FORGET: Final = sa.text(
    "DELETE FROM fairplay_spcs WHERE fingerprint IN"
    " (SELECT fingerprint FROM fairplay_spcs WHERE expire_time < :now ORDER BY expire_time LIMIT :most)"
)


@dataclass(frozen=True, slots=True)
class _Claim:
    fingerprint: bytes
    expire_time: datetime
    answer: asyncio.Future[bool]


class Replays:
    """Claims SPCs, many to a transaction.

    Args:
        good_for: how far the date of an SPC may be from now, in either direction. SPCs without a date are remembered for as long.
    """

    def __init__(self, database: Database, clock: Clock, *, good_for: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._good_for = good_for
        self._waiting: deque[_Claim] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def stale(self, creation_time: datetime | None) -> bool:
        """Whether an SPC of this date may have been answered so long ago that it is forgotten."""
        return creation_time is not None and abs(self._clock.now() - creation_time) > self._good_for

    async def claim(self, fingerprint: bytes, creation_time: datetime | None) -> bool:
        """Whether this is the first time that an SPC comes; from now on it is not. On disk when this returns.

        Raises:
            Refusal: DEPENDENCY_UNAVAILABLE: the database is away. Then nothing is answered: it might be the second time.
        """
        now = self._clock.now()
        # With something to spare for the clocks of other replicas.
        expire_time = max(now, creation_time or now) + self._good_for * 2
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Claim(fingerprint, expire_time, answer))
        # Those that come while transactions are under way go together in the next.
        if self._running < _PARALLEL:
            self._running += 1
            # In a context of its own: it is no part of the call that happens to come first.
            task = asyncio.create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._answer([self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))])
        finally:
            # At once, and not when the task is found done: whoever was answered may be back before that.
            self._running -= 1

    async def _answer(self, part: list[_Claim]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                first = await self._claimed(part)
        except Exception as error:  # each of those who wait is told
            away = as_refusal(error) is not None
            for claim in part:
                if not claim.answer.done():
                    claim.answer.set_exception(unavailable("the database") if away else error)
            return
        for claim in part:
            # Of two in one transaction, one is the first.
            is_first = claim.fingerprint in first
            first.discard(claim.fingerprint)
            if not claim.answer.done():
                claim.answer.set_result(is_first)

    async def _claimed(self, part: list[_Claim]) -> set[bytes]:
        values = {
            "fingerprints": [claim.fingerprint for claim in part],
            "expire_times": [claim.expire_time for claim in part],
        }
        async with self._database.transaction() as tx:
            return {bytes(row.fingerprint) for row in await tx.execute(_CLAIM, values)}


async def forget(tx: Tx, now: datetime) -> bool:
    """Forgets some of the SPCs that are too old to be let in again; whether there may be more."""
    gone = await tx.execute(_FORGET, {"now": now, "most": _FORGOTTEN_AT_ONCE})
    return gone.rowcount == _FORGOTTEN_AT_ONCE
