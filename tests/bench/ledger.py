"""The ledger: entries a second on one account that everybody posts to, and spread over many, beside plain INSERTs of the same rows into tables
without a rule, in the same Postgres and by the same driver. Each is a transaction of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Final

import sqlalchemy as sa

from services.kit.clock import SystemClock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.ledger import store
from services.payments.ledger.domain import Account, AccountKind, Direction, Draft, EntryKind, Posting
from tests.bench.harness import Measurement, median, take_turns
from tests.support.stores import mortal_stores

_ROUNDS: Final = 4
_ENTRIES: Final = 1500
_AT_A_TIME: Final = 12
_ACCOUNTS: Final = 400
_NOW: Final = SystemClock().now()
Post = Callable[[int], Awaitable[None]]


class Lanes:
    """The three ways of writing an entry with two postings."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._organisation_id = new_id("org")
        self._turns = itertools.count()
        self._entries = _plain(store.entries)
        self._postings = _plain(store.postings)

    async def prepare(self) -> None:
        """Makes the plain tables, and opens the accounts."""
        async with self._database.transaction() as tx:
            for table in (self._entries, self._postings):
                await tx.execute(sa.schema.CreateTable(table))
        for turn in range(_ACCOUNTS):
            await self.spread(turn)

    async def hot(self, turn: int) -> None:
        """To one account."""
        await self._post("everybody", f"giver-{turn % _ACCOUNTS}")

    async def spread(self, turn: int) -> None:
        """To one of many."""
        await self._post(f"taker-{turn % _ACCOUNTS}", f"giver-{turn % _ACCOUNTS}")

    async def plain(self, turn: int) -> None:
        """The same rows, and nothing that guards them."""
        entry_id = new_id("jnl")
        entry = {
            "entry_id": entry_id,
            "organisation_id": self._organisation_id,
            "kind": 1,
            "reference": f"plain/{turn}",
            "content_sha256": bytes(32),
            "posting_count": 2,
            "reverses_entry_id": "",
            "description": "",
            "occur_time": _NOW,
            "create_time": _NOW,
        }
        postings = [
            {
                "position": 2 * turn + side,
                "entry_id": entry_id,
                "account_id": new_id("acc"),
                "currency": "EUR",
                "direction": side,
                "minor_units": 5,
                "guarded": False,
                "number": 1,
                "balance": 5,
                "book_time": _NOW,
            }
            for side in (1, 2)
        ]
        async with self._database.transaction() as tx:
            await tx.execute(sa.insert(self._entries).values(entry))
            await tx.execute(sa.insert(self._postings).values(postings))

    async def _post(self, taker: str, giver: str) -> None:
        reference = f"bench/{next(self._turns)}"
        sides = ((giver, Direction.DEBIT), (taker, Direction.CREDIT))
        draft = Draft(
            self._organisation_id,
            EntryKind.SALE,
            reference,
            hashlib.sha256(reference.encode()).digest(),
            tuple(Posting(Account(AccountKind.CREATOR_PENDING, who, "EUR"), side, 5) for who, side in sides),
            _NOW,
        )
        async with self._database.transaction() as tx:
            await store.post(tx, draft, _NOW)


def _plain(table: sa.Table) -> sa.Table:
    """A table with the same columns, and with its key."""
    columns = [sa.Column(column.name, column.type, primary_key=column.primary_key) for column in table.c]
    return sa.Table(f"plain_{table.name}", sa.MetaData(), *columns)


async def _rate(post: Post, entries: int) -> float:
    """Entries a second, so many at a time."""
    turns = iter(range(entries))

    async def work() -> None:
        for turn in turns:
            await post(turn)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(_AT_A_TIME)))
    return entries / (time.perf_counter() - begun)


async def measured(settings: ProcessSettings, entries: int, rounds: int) -> dict[str, float]:
    """Entries a second of each lane, in the middle of all rounds."""
    database = Database.of("payments", settings.model_copy(update={"database_pool": _AT_A_TIME}))
    try:
        lanes = Lanes(database)
        await lanes.prepare()
        begun = itertools.count()

        async def plain() -> float:
            first = next(begun) * entries
            return await _rate(lambda turn: lanes.plain(first + turn), entries)

        seen = await take_turns(
            {"hot": lambda: _rate(lanes.hot, entries), "spread": lambda: _rate(lanes.spread, entries), "plain": plain},
            rounds,
        )
        return {lane: median(rates) for lane, rates in seen.items()}
    finally:
        await database.close()


async def measure() -> list[Measurement]:
    """Takes about a minute."""
    stores = mortal_stores()
    running = await asyncio.to_thread(stores.__enter__)
    try:
        rates = await measured(running.settings, _ENTRIES, _ROUNDS)
    finally:
        await asyncio.to_thread(stores.__exit__, None, None, None)
    peer = "plain INSERT, same Postgres and driver"
    how = f"median of {_ROUNDS} rounds of {_ENTRIES} entries with two postings, {_AT_A_TIME} at a time, a transaction each"
    told = f"{how}; spread {rates['spread']:.0f}/s, plain {rates['plain']:.0f}/s"
    return [
        Measurement("ledger.hot_per_s", rates["hot"], "entries/s", "", f"{how}; one account in all of them"),
        Measurement("ledger.spread_vs_insert", rates["spread"] / rates["plain"], "ratio", peer, told),
    ]
