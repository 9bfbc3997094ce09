"""Looks after requests that wait: reminds staff of what is due, gives up what nobody proved to be theirs or fetched, forgets what is old enough."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from reelmesh.compliance.v1 import events_pb2

from services.compliance.rights import letters, store
from services.compliance.rights.domain import FETCHED_WITHIN, LOG_KEPT, PROOF_WAITED_FOR, DataRequest, days_left
from services.compliance.rights.letters import Letter, Letters
from services.compliance.rights.running import ended
from services.compliance.rights.store import Requests
from services.kit import telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import forget_old
from services.kit.personal import years_after

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Reminders:
    """Whoever reminds.

    Attributes:
        database: the service's own.
        clock: the present moment.
        requests: the requests.
        box: for letters.
        contact: e-mail address of whoever sees to requests; empty for none.
    """

    database: Database
    clock: Clock
    requests: Requests
    box: Letters
    contact: str = ""

    async def run(self, every: float) -> None:
        """Looks every so many seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database may be away for a moment
                log.warning("reminders put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)

    async def once(self) -> int:
        """Looks once. Returns of how many requests staff was reminded."""
        now = self.clock.now()
        async with self.database.transaction() as tx:
            for request in await self.requests.abandoned(tx, now - PROOF_WAITED_FOR, now - FETCHED_WITHIN):
                given_up = request.expired(now)
                await self.requests.put(tx, given_up)
                await announce(tx, ended(given_up, now))
            due = await self.requests.to_remind(tx, now)
            for request in due:
                await self._remind(tx, request)
                await self.requests.put(tx, request.reminded(now))
            await store.forget_old(tx, years_after(now, -LOG_KEPT))
            await forget_old(tx)
        return len(due)

    async def _remind(self, tx: Tx, request: DataRequest) -> None:
        now = self.clock.now()
        left = days_left(request.due_time, now)
        log.warning(
            "a request is due",
            data_request_id=request.data_request_id,
            state=request.state.name,
            days_left=left,
        )
        await announce(
            tx,
            events_pb2.DataRequestReminded(
                data_request_id=request.data_request_id,
                organisation_id=request.organisation_id,
                days_left=left,
                due_time=timestamp(request.due_time),
                hold_ids=request.waits_for,
                remind_time=timestamp(now),
            ),
        )
        if self.contact:
            told = {
                "request": request.data_request_id,
                "due": request.due_time.date().isoformat(),
                "state": request.state.name.lower().replace("_", " "),
            }
            await self.box.put(tx, Letter(self.contact, letters.DUE, told))
