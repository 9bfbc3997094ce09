"""Heartbeats: which sessions are alive, and so which streams a viewer has.

Most of them are only noted, and written a batch at a time; one that has to get its place back is decided in a transaction. What is lost
when this process is killed is less than two seconds of heartbeats, and a place is kept for thirty.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.policy import store
from services.policy.decision.engine import decide
from services.policy.decision.facts import Kind
from services.policy.decision.found import Subject
from services.policy.decision.gathering import Gathering, holds_place
from services.policy.decision.rules import RuleKind, RuleSet
from services.policy.domain import BEAT_INTERVAL, SILENT_AFTER, Session
from services.policy.judge import Known
from services.policy.opening import displaced, limits_streams

log = structlog.stdlib.get_logger()

_WRITTEN_EVERY: Final = 1.0
# One that was noted so long ago is looked up again, to be sure that it still has its place.
_SURE_FOR: Final = SILENT_AFTER - BEAT_INTERVAL


class Beats:
    """Takes heartbeats."""

    def __init__(self, database: Database, clock: Clock, known: Known, gathering: Gathering) -> None:
        self._database = database
        self._clock = clock
        self._known = known
        self._gathering = gathering
        self._alive: dict[str, datetime] = {}
        self._unwritten: dict[str, datetime] = {}

    async def beat(self, organisation_id: str, session_id: str) -> None:
        """A session says that it still plays.

        Raises:
            Refusal: TOO_MANY_STREAMS when it lost its place and there is none.
        """
        now = self._clock.now()
        last = self._alive.get(session_id)
        if last is not None and now - last < _SURE_FOR and not self._known.is_displaced(session_id):
            self._alive[session_id] = self._unwritten[session_id] = now
            return
        async with self._database.transaction() as tx:
            session = await store.get(tx, organisation_id, session_id, for_update=True)
            if session.beat_time is not None:
                await self._placed(tx, session, now)
        if session.beat_time is not None:
            self._alive[session_id] = now

    async def run(self) -> None:
        """Writes what was noted, until cancelled. Trouble is waited out."""
        while True:
            await asyncio.sleep(_WRITTEN_EVERY)
            try:
                await self.write()
            except Exception as error:  # the database may be away for a moment; places are kept for longer
                log.warning("heartbeats put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])

    async def write(self) -> None:
        """Writes what was noted since the last time."""
        since = self._clock.now() - SILENT_AFTER
        self._alive = {session_id: moment for session_id, moment in self._alive.items() if moment > since}
        if not self._unwritten:
            return
        noted, self._unwritten = self._unwritten, {}
        try:
            async with self._database.transaction() as tx:
                await _write(tx, noted)
        except BaseException:
            self._unwritten = noted | self._unwritten
            raise

    async def _placed(self, tx: Tx, session: Session, now: datetime) -> None:
        if not holds_place(session, now):
            rules = await self._gathering.rules(tx, session.organisation_id)
            facts = await self._gathering.facts(tx, Subject.of(session), rules, now)
            only = RuleSet(rules.version, tuple(rule for rule in rules.rules if rule.kind is RuleKind.CONCURRENCY))
            if only.rules:
                decide(only, Kind.PLAYBACK, facts).required()
            if limits_streams(rules, facts):
                for silent in await displaced(tx, session, now):
                    after_commit(tx, partial(self._known.displace, silent.session_id, silent.expire_time.timestamp()))
        await store.beat(tx, session.session_id, now)
        after_commit(tx, lambda: self._known.restore(session.session_id))


async def _write(tx: Tx, noted: dict[str, datetime]) -> None:
    """One statement for all. A session that was displaced meanwhile must ask for its place."""
    table = store.sessions
    beats = sa.select(
        sa.func.unnest(sa.cast(list(noted), ARRAY(sa.Text))).label("session_id"),
        sa.func.unnest(sa.cast(list(noted.values()), ARRAY(sa.DateTime(timezone=True)))).label("moment"),
    ).subquery()
    await tx.execute(
        sa.update(table)
        .where(
            table.c.session_id == beats.c.session_id,
            table.c.displace_time.is_(None),
            table.c.beat_time < beats.c.moment,
        )
        .values(beat_time=beats.c.moment)
    )
