"""Keeps refusals at the edge, which are decided outside of any transaction: a batch at a time, and each kind of refusal of a session once
a minute. What is lost when the process is killed is a second of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.kit import telemetry
from services.kit.database import Database
from services.policy.decision.record import Record
from services.policy.decision.store import add_decisions

log = structlog.stdlib.get_logger()

_WRITTEN_EVERY: Final = 1.0
_MOST_WAITING: Final = 5_000
_SAME_FOR: Final = timedelta(minutes=1)


class Recorder:
    """Collects records, and writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Record] = []
        self._seen: dict[tuple[str, int, str], datetime] = {}

    def note(self, record: Record) -> None:
        """Collects a record, unless the like was collected a moment ago. Under a flood the later ones are dropped: the first tell."""
        key = (record.session_id, record.kind, record.reason)
        last = self._seen.get(key)
        if (last is not None and record.decide_time - last < _SAME_FOR) or len(self._waiting) >= _MOST_WAITING:
            return
        self._seen[key] = record.decide_time
        self._waiting.append(record)

    async def run(self) -> None:
        """Writes what was collected, until cancelled. Trouble is waited out."""
        while True:
            await asyncio.sleep(_WRITTEN_EVERY)
            try:
                await self.write()
            except Exception as error:  # the database may be away for a moment
                log.warning("decisions put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])

    async def write(self) -> None:
        """Writes what was collected since the last time."""
        if len(self._seen) > _MOST_WAITING:
            self._seen.clear()
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        try:
            async with self._database.transaction() as tx:
                await add_decisions(tx, batch)
        except BaseException:
            self._waiting = batch + self._waiting
            raise
