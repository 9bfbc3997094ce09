"""Counting attempts that come at the same moment, on a real Postgres: nobody is in anybody's way for longer than a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.identity.attempts import Guess, forgive
from services.kit.attempts import Alone, Limit, attempts, begin, forget_keys, forget_old
from services.kit.database import Database
from services.kit.settings import ProcessSettings

NOW = datetime(2026, 11, 29, tzinfo=UTC)
FREE = Limit(100, timedelta(seconds=1), timedelta(seconds=1))
NETWORK, ACCOUNT, PLACE = b"a", b"b", b"c"
GUESS = Guess(account=ACCOUNT, place=PLACE, network=NETWORK)


@pytest.fixture
async def database(mesh: ProcessSettings) -> AsyncIterator[Database]:
    """Of a service that counts, with an attempt counted under each key."""
    database = Database.of("identity", mesh)
    async with database.transaction() as tx:
        await begin(tx, GUESS, NOW)
    yield database
    await database.close()


def alone(key: bytes) -> Alone:
    return Alone([(key, FREE)])


async def test_who_was_right_holds_nothing_that_an_attempt_waits_for(database: Database) -> None:
    """Whoever counts takes the keys in their order; so must who forgives, or each waits for the other."""

    async def forgiven() -> None:
        async with database.transaction() as tx:
            await forgive(tx, GUESS)

    async with database.transaction() as tx:
        await begin(tx, alone(NETWORK), NOW)
        forgiving = asyncio.create_task(forgiven())
        await asyncio.sleep(0.3)  # in which it comes to wait
        await begin(tx, alone(ACCOUNT), NOW)
    await forgiving


async def test_what_is_old_is_removed_around_whoever_counts(database: Database) -> None:
    async def removed() -> None:
        async with database.transaction() as tx:
            await forget_old(tx, NOW + timedelta(days=2))

    async with database.transaction() as tx:
        await begin(tx, alone(ACCOUNT), NOW)
        await asyncio.wait_for(removed(), 30)
        await begin(tx, alone(PLACE), NOW)


async def test_an_attempt_that_waited_for_one_that_was_right_is_counted_anew(database: Database) -> None:
    async def counted() -> timedelta:
        async with database.transaction() as tx:
            return await begin(tx, alone(ACCOUNT), NOW)

    async with database.transaction() as tx:
        await tx.execute(sa.select(attempts).where(attempts.c.key == ACCOUNT).with_for_update())
        counting = asyncio.create_task(counted())
        await asyncio.sleep(0.3)  # in which it comes to wait
        await forget_keys(tx, [ACCOUNT])
    assert await counting == timedelta()
