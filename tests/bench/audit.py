"""The audit log: leaves a second, beside plain INSERTs of the same events into a table without a rule; proofs from the full log; size on disk.

Both write in transactions of as many events, in the same Postgres and by the same driver, and take turns.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from reelmesh.policy.v1 import events_pb2 as policy

from services.compliance.log import proofs, store
from services.compliance.log.appending import Writer
from services.compliance.log.leaves import Event
from services.compliance.log.notes import Signer
from services.kit.clock import SystemClock, timestamp
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from tests.bench.harness import Measurement, median, percentile, take_turns
from tests.support.stores import mortal_stores

_LEAVES: Final = 1_000_000
_PLAIN: Final = 20_000
_ROUNDS: Final = 4
_BATCH: Final = 512
_PROOFS: Final = 500
_VIEWERS: Final = 5_000
_NOW: Final = SystemClock().now()
_TYPE: Final = "reelmesh.policy.v1.PlaybackCreated"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured: leaves and rows a second, seconds of each proof, bytes a leaf and a row on disk."""

    leaves_per_s: float
    rows_per_s: float
    proof_seconds: list[float]
    leaf_bytes: float
    row_bytes: float


class Lanes:
    """The log, and a plain table of the same events."""

    def __init__(self, database: Database) -> None:
        self._database = database
        seal = Seal(secrets.token_bytes(32), "bench")
        self._writer = Writer(database, SystemClock(), Signer("bench.example", secrets.token_bytes(32)), seal)
        self._organisation_id = new_id("org")
        self._viewers = [new_id("usr") for _ in range(_VIEWERS)]
        self._sequences = itertools.count(1)
        self._table = sa.Table(
            "plain_events",
            sa.MetaData(),
            sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
            sa.Column("event_id", sa.Text, unique=True),
            sa.Column("event_type", sa.Text),
            sa.Column("organisation_id", sa.Text),
            sa.Column("event_time", sa.DateTime(timezone=True)),
            sa.Column("payload", sa.LargeBinary),
        )

    async def prepare(self) -> None:
        """Makes the plain table, and begins the log."""
        async with self._database.transaction() as tx:
            await tx.execute(sa.schema.CreateTable(self._table))
        await self._writer.begin()

    def _events(self, count: int) -> list[Event]:
        made = []
        for _ in range(count):
            event = policy.PlaybackCreated(
                session_id=new_id("pbs"),
                asset_id=new_id("ast"),
                package_id=new_id("pkg"),
                organisation_id=self._organisation_id,
                viewer_id=random.choice(self._viewers),
                create_time=timestamp(_NOW),
            )
            made.append(Event(new_id("evt"), _TYPE, _NOW, event.SerializeToString(), next(self._sequences)))
        return made

    async def logged(self, count: int) -> float:
        """Appends events to the log. Returns how many a second; making them does not count."""
        spent = 0.0
        for done in range(0, count, _BATCH):
            events = self._events(min(_BATCH, count - done))
            begun = time.perf_counter()
            await self._writer.append("bench", events)
            spent += time.perf_counter() - begun
        return count / spent

    async def plain(self, count: int) -> float:
        """Inserts events into the plain table. Returns how many a second."""
        spent = 0.0
        for done in range(0, count, _BATCH):
            rows = [
                {
                    "event_id": event.event_id,
                    "event_type": event.event_type,
                    "organisation_id": self._organisation_id,
                    "event_time": event.time,
                    "payload": event.payload,
                }
                for event in self._events(min(_BATCH, count - done))
            ]
            begun = time.perf_counter()
            async with self._database.transaction() as tx:
                await tx.execute(sa.insert(self._table), rows)
            spent += time.perf_counter() - begun
        return count / spent

    async def proved(self, count: int) -> list[float]:
        """Proves so many leaves, anywhere, to be in the whole log. Returns the seconds of each."""
        seconds = []
        async with self._database.transaction() as tx:
            head = await store.find_head(tx)
        assert head is not None
        for _ in range(count):
            begun = time.perf_counter()
            async with self._database.transaction() as tx:
                await proofs.inclusion(tx, random.randrange(head.frontier.size), head.frontier.size)
            seconds.append(time.perf_counter() - begun)
        return seconds

    async def bytes_each(self, *tables: str) -> float:
        """Bytes on disk, indexes too, for each row of the first of some tables."""
        query = sa.text(
            f"SELECT (SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(CAST(:tables AS text[])) AS name)::float"
            f" / (SELECT count(*) FROM {tables[0]})"
        )
        async with self._database.transaction() as tx:
            return float((await tx.execute(query, {"tables": list(tables)})).scalar_one())


async def measured(settings: ProcessSettings, leaves: int, plain: int, rounds: int, proved: int) -> Seen:
    """Measures."""
    database = Database.of("compliance", settings)
    try:
        lanes = Lanes(database)
        await lanes.prepare()
        rates = await take_turns({"log": lambda: lanes.logged(plain), "plain": lambda: lanes.plain(plain)}, rounds)
        await lanes.logged(max(0, leaves - plain * rounds))
        return Seen(
            median(rates["log"]),
            median(rates["plain"]),
            await lanes.proved(proved),
            await lanes.bytes_each("log_leaves", "log_tiles", "log_contents", "log_content_subjects"),
            await lanes.bytes_each("plain_events"),
        )
    finally:
        await database.close()


async def measure() -> list[Measurement]:
    """Takes some minutes, most of them for the million leaves."""
    stores = mortal_stores()
    running = await asyncio.to_thread(stores.__enter__)
    try:
        seen = await measured(running.settings, _LEAVES, _PLAIN, _ROUNDS, _PROOFS)
    finally:
        await asyncio.to_thread(stores.__exit__, None, None, None)
    how = f"median of {_ROUNDS} rounds of {_PLAIN} events with one person each, {_BATCH} in a transaction"
    disk = f"{seen.leaf_bytes:.0f} bytes on disk a leaf, sealed content included, {seen.row_bytes:.0f} a plain row"
    told = f"{how}; log {seen.leaves_per_s:.0f}/s, plain {seen.rows_per_s:.0f}/s; {disk}"
    return [
        Measurement("audit.leaves_per_s", seen.leaves_per_s, "leaves/s", "", f"{how}; signed, sealed, indexed"),
        Measurement(
            "audit.proof_p95_ms",
            percentile(seen.proof_seconds, 95) * 1000,
            "ms",
            "",
            f"{_PROOFS} proofs of inclusion of leaves anywhere, in a tree of {_LEAVES}",
        ),
        Measurement(
            "audit.vs_insert",
            seen.leaves_per_s / seen.rows_per_s,
            "ratio",
            "plain INSERT, same Postgres and driver",
            told,
        ),
    ]
