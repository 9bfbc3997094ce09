"""When facts change, running sessions are decided anew, and those that may not go on are revoked.

What is to be reviewed is written with the fact, in its transaction, and worked through afterwards, some sessions at a time: a film that a
hundred thousand people watch is no reason to hold anything up, and a process that is killed is no reason to forget it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert

from services.kit import events, telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.policy import store as sessions_store
from services.policy.announcements import revocation
from services.policy.decision.engine import decide
from services.policy.decision.facts import Kind
from services.policy.decision.found import Subject
from services.policy.decision.gathering import Gathering
from services.policy.decision.rules import RuleKind, RuleSet
from services.policy.domain import Session
from services.policy.judge import Known

log = structlog.stdlib.get_logger()

reviews: Final = sa.Table(
    "reviews",
    sa.MetaData(),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("target_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("due_time", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("after_session_id", sa.Text),
)
ASSET: Final = "asset"
VIEWER: Final = "viewer"
ORGANISATION: Final = "organisation"
_AT_A_TIME: Final = 200
_LOOKED_EVERY: Final = 2.0
# What cannot be known without a request, or is no reason to end a session.
_NOT_REVIEWED: Final = frozenset({RuleKind.NETWORK, RuleKind.CONCURRENCY})


@dataclass(frozen=True, slots=True)
class Target:
    """What changed.

    Attributes:
        kind: `asset`, `viewer` or `organisation`.
        target_id: its id.
        organisation_id: owner of the sessions; empty for all.
    """

    kind: str
    target_id: str
    organisation_id: str


class Review:
    """Decides running sessions anew.

    Args:
        forget: called whenever something is to be reviewed.
    """

    def __init__(
        self, database: Database, clock: Clock, known: Known, gathering: Gathering, *, forget: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._known = known
        self._gathering = gathering
        self._news = asyncio.Event()
        self._forget = forget

    async def due(self, tx: Tx, target: Target, *later: datetime | None) -> None:
        """Asks, in the caller's transaction, for a review now, and again at later moments at which rights end."""
        now = self._clock.now()
        for moment in {now, *(one for one in later if one is not None and one > now)}:
            await self._due(tx, target, moment)
        after_commit(tx, self._wake)

    async def _due(self, tx: Tx, target: Target, moment: datetime) -> None:
        values = {
            "kind": target.kind,
            "target_id": target.target_id,
            "organisation_id": target.organisation_id,
            "due_time": moment,
        }
        await tx.execute(
            insert(reviews)
            .values(**values, after_session_id="")
            .on_conflict_do_update(index_elements=list(values), set_={"after_session_id": ""})
        )

    def _wake(self) -> None:
        self._forget()
        self._news.set()

    async def run(self) -> None:
        """Reviews whatever is due, until cancelled. Trouble is waited out."""
        while True:
            try:
                while await self.once():
                    pass
            except Exception as error:  # the database may be away for a moment; what is due stays due
                log.warning("review put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOKED_EVERY):
                    await self._news.wait()
            self._news.clear()

    async def once(self) -> bool:
        """Reviews the next sessions of something that is due. Returns whether there was anything."""
        async with self._database.transaction() as tx:
            query = sa.select(reviews).where(reviews.c.due_time <= self._clock.now()).order_by(reviews.c.due_time)
            row = (await tx.execute(query.limit(1).with_for_update(skip_locked=True))).one_or_none()
            if row is None:
                return False
            target = Target(row.kind, row.target_id, row.organisation_id)
            found = await self._running(tx, target, row.after_session_id)
            for session in found:
                await self._reviewed(tx, session)
            this = sa.and_(
                reviews.c.kind == target.kind,
                reviews.c.target_id == target.target_id,
                reviews.c.organisation_id == target.organisation_id,
                reviews.c.due_time == row.due_time,
            )
            if len(found) < _AT_A_TIME:
                await tx.execute(sa.delete(reviews).where(this))
            else:
                await tx.execute(sa.update(reviews).where(this).values(after_session_id=found[-1].session_id))
        return True

    async def _running(self, tx: Tx, target: Target, after: str) -> Sequence[Session]:
        table, now = sessions_store.sessions, self._clock.now()
        columns = {ASSET: table.c.asset_id, VIEWER: table.c.viewer_id, ORGANISATION: table.c.organisation_id}
        query = sa.select(*sessions_store.SESSION).where(
            columns[target.kind] == target.target_id,
            table.c.revoke_time.is_(None),
            table.c.expire_time > now,
            table.c.session_id > after,
        )
        if target.organisation_id:
            query = query.where(table.c.organisation_id == target.organisation_id)
        rows = await tx.execute(query.order_by(table.c.session_id).limit(_AT_A_TIME).with_for_update())
        return [sessions_store.session_of(row) for row in rows]

    async def _reviewed(self, tx: Tx, session: Session) -> None:
        now = self._clock.now()
        rules = await self._gathering.rules(tx, session.organisation_id)
        rules = RuleSet(rules.version, tuple(rule for rule in rules.rules if rule.kind not in _NOT_REVIEWED))
        facts = await self._gathering.facts(tx, Subject.of(session), rules, now)
        refusal = decide(rules, Kind.LICENCE, replace(facts, session_id=session.session_id)).refusal
        if refusal is None:
            return
        ended = session.revoked(now, f"{refusal.reason}: {refusal.message}"[:500])
        await sessions_store.put(tx, ended)
        await events.announce(tx, revocation(ended))
        after_commit(tx, partial(self._known.revoke, ended.session_id, ended.expire_time.timestamp()))
