"""Taking calls out of buckets: both kinds of bucket by the same rules, many callers at once, and a store that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.clock import FixedClock
from services.kit.settings import ProcessSettings
from services.limits.domain import MICROSECONDS, Ask, Limit, Taken, microseconds, taken
from services.limits.ledger import Buckets, Ledger, MemoryBuckets
from services.limits.store import PostgresBuckets
from tests.limits.scene import PATIENCE

NOW = microseconds(datetime(2026, 11, 28, tzinfo=UTC))
FIVE = Limit(count=5, seconds=60, burst=5)


def key(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


@pytest.fixture
async def stored(mesh: ProcessSettings) -> AsyncIterator[PostgresBuckets]:
    buckets = PostgresBuckets("limits", mesh, PATIENCE)
    yield buckets
    await buckets.close()


@pytest.fixture(params=["postgres", "memory"])
async def buckets(request: pytest.FixtureRequest, stored: PostgresBuckets) -> Buckets:
    return stored if request.param == "postgres" else MemoryBuckets()


async def rows(settings: ProcessSettings) -> int:
    connection = await asyncpg.connect(host=settings.database_host, user="limits", database=settings.database_name)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM buckets"))
    finally:
        await connection.close()


class TestBothKindsOfBucket:
    async def test_a_bucket_that_nobody_heard_of_is_full(self, buckets: Buckets) -> None:
        found = await buckets.take([Ask(key(1), FIVE, 7)], NOW)
        assert found == {key(1): Taken(5, NOW + FIVE.window)}

    async def test_several_are_taken_from_at_once_each_by_its_own_limit(self, buckets: Buckets) -> None:
        other = Limit(count=1, seconds=1, burst=2)
        asks = [Ask(key(name), FIVE if name % 2 else other, name) for name in range(1, 9)]
        found = await buckets.take(asks, NOW)
        assert [found[key(name)].granted for name in range(1, 9)] == [1, 2, 3, 2, 5, 2, 5, 2]

    async def test_they_count_as_the_rules_say(self, buckets: Buckets) -> None:
        """Against the plain arithmetic, over a run of takes, givings back and jumps of the clock."""
        full_at: dict[bytes, int] = {}

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 8), st.integers(-5, 30)), min_size=1, max_size=10))
        def same(steps: list[tuple[int, int, int]]) -> None:
            now = NOW
            for name, wanted, pause in steps:
                now += pause * MICROSECONDS
                one = Ask(key(name), FIVE, wanted)
                expected = taken(full_at.get(one.key, 0), one, now) if one.key in full_at else taken(now, one, now)
                asked.append((one, now, expected))
                full_at[one.key] = expected.full_at

        asked: list[tuple[Ask, int, Taken]] = []
        same()
        for one, now, expected in asked:
            assert (await buckets.take([one], now))[one.key] == expected


class TestThoseInPostgres:
    async def test_full_ones_are_removed_and_others_stay(self, mesh: ProcessSettings, stored: PostgresBuckets) -> None:
        await stored.take([Ask(key(1), FIVE, 1), Ask(key(2), FIVE, 5)], NOW)
        await stored.forget(NOW + FIVE.interval + 1)
        assert await rows(mesh) == 1
        assert (await stored.take([Ask(key(2), FIVE, 5)], NOW + FIVE.interval + 1))[key(2)].granted == 1

    async def test_one_that_a_clock_left_in_the_far_future_is_removed(
        self, mesh: ProcessSettings, stored: PostgresBuckets
    ) -> None:
        await stored.take([Ask(key(1), FIVE, 5)], NOW + 3600 * MICROSECONDS)
        await stored.forget(NOW)
        assert await rows(mesh) == 0

    async def test_many_replicas_at_once_take_no_more_than_there_is(self, mesh: ProcessSettings) -> None:
        replicas = [PostgresBuckets("limits", mesh, PATIENCE) for _ in range(4)]
        limit = Limit(count=1, seconds=3600, burst=100)
        names = [key(name) for name in range(10)]

        async def takes(replica: PostgresBuckets, turn: int) -> list[Taken]:
            order = names[turn % 10 :] + names[: turn % 10]
            return list((await replica.take([Ask(name, limit, 1) for name in order], NOW)).values())

        found = await asyncio.gather(*(takes(replica, turn) for turn in range(50) for replica in replicas))
        for replica in replicas:
            await replica.close()
        assert sum(one.granted for batch in found for one in batch) == 100 * 10

    async def test_one_that_takes_too_long_is_told_and_the_next_begins_anew(self, mesh: ProcessSettings) -> None:
        hasty, patient = PostgresBuckets("limits", mesh, 0.000001), PostgresBuckets("limits", mesh, PATIENCE)
        with pytest.raises(TimeoutError):
            await hasty.take([Ask(key(1), FIVE, 1)], NOW)
        assert (await patient.take([Ask(key(1), FIVE, 9)], NOW))[key(1)].granted == 5
        await patient.close()
        await hasty.close()

    async def test_a_lost_connection_is_made_anew(self, mesh: ProcessSettings, stored: PostgresBuckets) -> None:
        await stored.take([Ask(key(1), FIVE, 5)], NOW)
        admin = await asyncpg.connect(host=mesh.database_host, user=mesh.database_admin, database=mesh.database_name)
        await admin.execute("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE usename = 'limits'")
        await admin.close()
        # The driver may have heard of it already; at the latest it does now, in whatever words.
        with contextlib.suppress(Exception):
            await stored.take([Ask(key(2), FIVE, 1)], NOW)
        assert (await stored.take([Ask(key(1), FIVE, 1)], NOW))[key(1)].granted == 0


@dataclass
class Watched:
    """Buckets that note what they are asked, and can be away."""

    behind: Buckets = field(default_factory=MemoryBuckets)
    asked: list[list[Ask]] = field(default_factory=list)
    away: bool = False

    async def take(self, asks: Sequence[Ask], now: int) -> dict[bytes, Taken]:
        self.asked.append(list(asks))
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("away")
        return await self.behind.take(asks, now)


class TestTheLedger:
    @pytest.fixture(autouse=True)
    def _parts(self) -> None:
        self.clock = FixedClock(datetime(2026, 11, 28, tzinfo=UTC))
        self.shared = Watched()
        self.elapsed = 0.0
        self.ledger = Ledger(self.shared, self.clock, lambda: self.elapsed)

    async def test_callers_who_come_together_go_in_one_statement_and_share_what_there_is(self) -> None:
        found = await asyncio.gather(*(self.ledger.take([Ask(key(1), FIVE)]) for _ in range(20)))
        assert [one.allowed for (one,) in found] == [True] * 5 + [False] * 15
        assert [[ask.wanted for ask in batch] for batch in self.shared.asked] == [[20]]

    async def test_an_empty_bucket_is_known_without_asking_until_it_refills(self) -> None:
        await asyncio.gather(*(self.ledger.take([Ask(key(1), FIVE)]) for _ in range(6)))
        asked = len(self.shared.asked)
        self.clock.advance(timedelta(seconds=5))
        (found,) = await self.ledger.take([Ask(key(1), FIVE)])
        assert (found.allowed, found.retry_in, found.remaining) == (False, 7 * MICROSECONDS, 0)
        assert len(self.shared.asked) == asked
        self.clock.advance(timedelta(seconds=7))
        assert (await self.ledger.take([Ask(key(1), FIVE)]))[0].allowed
        assert len(self.shared.asked) == asked + 1

    async def test_a_call_that_one_limit_refuses_takes_nothing_from_the_others(self) -> None:
        one = Limit(count=1, seconds=60, burst=1)
        for _ in range(3):
            await self.ledger.take([Ask(key("wide"), FIVE), Ask(key("narrow"), one)])
        await self.ledger.close()
        (found,) = await self.ledger.take([Ask(key("wide"), FIVE)])
        assert found.remaining == 3

    async def test_it_counts_alone_while_the_shared_buckets_are_away(self) -> None:
        self.shared.away = True
        found = await asyncio.gather(*(self.ledger.take([Ask(key(1), FIVE)]) for _ in range(7)))
        assert sum(one.allowed for (one,) in found) == 5

    async def test_it_does_not_knock_at_each_call_and_finds_them_again(self) -> None:
        self.shared.away = True
        for name in range(5):
            await self.ledger.take([Ask(key(name), FIVE)])
        assert len(self.shared.asked) == 1
        self.shared.away = False
        self.elapsed = 2.0
        await self.ledger.take([Ask(key(9), FIVE)])
        assert len(self.shared.asked) == 2

    async def test_a_clock_that_is_set_back_locks_nobody_out(self) -> None:
        await asyncio.gather(*(self.ledger.take([Ask(key(1), FIVE)]) for _ in range(6)))
        self.clock.advance(timedelta(hours=-1))
        (found,) = await self.ledger.take([Ask(key(1), FIVE)])
        assert found.retry_in <= FIVE.interval
        self.clock.advance(timedelta(seconds=12))
        assert (await self.ledger.take([Ask(key(1), FIVE)]))[0].allowed

    async def test_a_caller_who_gave_up_holds_nobody_up(self) -> None:
        leaving = asyncio.create_task(self.ledger.take([Ask(key(1), FIVE)]))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await self.ledger.take([Ask(key(1), FIVE)]))[0].allowed

    async def test_memory_keeps_no_more_buckets_than_it_may(self) -> None:
        memory = MemoryBuckets(remembered=10)
        for name in range(100):
            await memory.take([Ask(key(name), FIVE, 5)], NOW)
        assert (await memory.take([Ask(key(0), FIVE, 1)], NOW))[key(0)].granted == 1
        assert (await memory.take([Ask(key(99), FIVE, 1)], NOW))[key(99)].granted == 0
