"""What the gate sees to from time to time: what the queue lost is asked for again, and evidence goes whose time is over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog
from reelmesh.protection.v1.events_pb2 import EvidenceDestroyed

from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import announce, enqueue
from services.protection.scanners import store
from services.protection.scanners.domain import FINAL, Hold
from services.protection.scanners.quarantine import Quarantine
from services.protection.scanners.reports import PATIENCE
from services.protection.scanners.screening import QUEUE, Gate

log = structlog.stdlib.get_logger()

ASK_AGAIN_AFTER: Final = timedelta(hours=1)
"""What is still in the queue is then done twice, which does no harm."""


class GateUpkeep:
    """Looks at what is due. Whatever it did not get to before a crash is still there to be found.

    Args:
        kept: how long the evidence of confirmed holds is kept.
    """

    def __init__(self, database: Database, clock: Clock, gate: Gate, quarantine: Quarantine, kept: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._gate = gate
        self._quarantine = quarantine
        self._kept = kept

    async def run(self, interval: float) -> None:
        """Looks every `interval` seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database or the store may be away for a moment; there is no hurry
                log.warning("the gate's upkeep is put off", error=type(error).__name__)
            await asyncio.sleep(interval)

    async def once(self) -> None:
        """Looks once."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            for screening in await store.forgotten_screenings(tx, now - ASK_AGAIN_AFTER):
                await self._gate.ask(tx, screening)
            for hold in await store.unpreserved(tx, now - ASK_AGAIN_AFTER):
                await store.put_hold(tx, replace(hold, ask_time=now))
                await enqueue(tx, QUEUE.subject, f"preserve:{hold.hold_id}".encode())
            for report in await store.forgotten_reports(tx, now - PATIENCE):
                await store.put_report(tx, replace(report, ask_time=now))
                await enqueue(tx, QUEUE.subject, f"report:{report.report_id}".encode())
        await self._destroy()
        await self._quarantine.tidy()

    async def _destroy(self) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            for hold in await store.to_destroy(tx, now - self._kept):
                await store.put_hold(tx, replace(hold, destroy_time=now))
                await announce(
                    tx,
                    EvidenceDestroyed(
                        hold_id=hold.hold_id,
                        organisation_id=hold.organisation_id,
                        sha256=hold.sha256,
                        destroy_time=timestamp(now),
                    ),
                )
                others = await store.holds_of_file(tx, hold.sha256)
                if all(_done_with(one) or one.hold_id == hold.hold_id for one in others):
                    await self._quarantine.destroy(hold.sha256)


def _done_with(hold: Hold) -> bool:
    return hold.state in FINAL and hold.destroy_time is not None
