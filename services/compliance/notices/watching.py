"""Keeps the terms of all cases: what is due soon or overdue is told, what ends by itself ends, and people are forgotten when their time has come."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from reelmesh.compliance.v1 import events_pb2

from services.compliance.notices import infringements, rules, store
from services.compliance.notices.handling import Handling
from services.compliance.rights import holds
from services.compliance.rights.store import Subjects
from services.kit import attempts, telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import announce

log = structlog.stdlib.get_logger()

_ERASED_AT_A_TIME: Final = 50
_HOLDS_LOOKED_AT: Final = timedelta(days=1)
"""How long what a legal hold is on is kept before it is looked at again."""


class Watch:
    """Looks at terms, one case at a time over all replicas: each is locked while it is looked at, so a term ends once.

    Args:
        database: the service's own.
        clock: tells what has ended.
        handling: ends terms.
        subjects: tells whom legal holds are on.
    """

    def __init__(self, database: Database, clock: Clock, handling: Handling, subjects: Subjects) -> None:
        self._database = database
        self._clock = clock
        self._handling = handling
        self._subjects = subjects

    async def run(self, every: float) -> None:
        """Looks every so many seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except (
                Exception
            ) as error:  # the database may be away for a moment; a term that ended is found by the next look
                log.warning("terms wait", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)

    async def once(self) -> None:
        """Looks at all terms that ended by now, and forgets what is to be forgotten."""
        while await self._next():
            pass
        while await self._erased():
            pass
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await attempts.forget_old(tx, now)
            await infringements.forget_old(tx, rules.at(now), now)

    async def _next(self) -> bool:
        """Ends the terms of one case. Returns whether there was one."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            case = await store.next_due(tx, now)
            if case is None:
                return False
            calendar = await self._handling.calendar(tx, case)
            after, deed = case.passed(now, calendar)
            while deed:
                await self._handling.term_ended(tx, case, after, deed, now)
                case = after
                after, deed = case.passed(now, calendar)
        return True

    async def _erased(self) -> bool:
        """Forgets the people of some cases, except of those that a legal hold is on. Returns whether there were any."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            found = await store.next_erased(tx, now, _ERASED_AT_A_TIME)
            for case in found:
                people = holds.people_of(case.uploader, *case.deciders)
                if await holds.covered(tx, self._subjects, people, [case.asset_id]):
                    await store.erase_later(tx, case.notice_id, now + _HOLDS_LOOKED_AT)
                    continue
                await store.erase(tx, case.notice_id)
                erased = events_pb2.NoticeErased(
                    notice_id=case.notice_id, organisation_id=case.organisation_id, change_time=timestamp(now)
                )
                await announce(tx, erased)
        return bool(found)
