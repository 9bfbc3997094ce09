"""What is done for viewers who are erased, or whose data may not be used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import sqlalchemy as sa
from reelmesh.policy.v1 import events_pb2
from reelmesh.rpc.v1 import personal_data_service_pb2 as api

from services.kit import events
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx, after_commit
from services.kit.ids import is_id, new_id
from services.kit.personal import DataSubject
from services.kit.personal_data import remove
from services.policy import objections, store
from services.policy.announcements import revocation as session_revocation
from services.policy.announcements import target_revoked
from services.policy.judge import Known
from services.policy.personal import DECLARATION
from services.policy.revocations import store as revocations
from services.policy.revocations.store import Revocation, Target

_RESTRICTED: Final = "the viewer's data may only be stored"
_BY: Final = "service/compliance"
_CONCLUSIONS: Final = tuple(one for one in DECLARATION.personal if one.name in {"signals", "viewer_risks"})


class PolicyActs:
    """Ends what an erased viewer watches, draws no conclusions about who objected to that, and bars viewers without an account whose data may only be
    stored; accounts are locked by identity.

    Args:
        clock: dates what is ended.
        known: revoked sessions, in memory.
        forget: called with organisation and viewer when what was seen of them counts no longer.
    """

    def __init__(self, clock: Clock, known: Known, forget: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._known = known
        self._forget = forget

    async def before_erasure(self, tx: Tx, subject: DataSubject) -> None:
        """Revokes the running sessions: the next request is refused."""
        now = self._clock.now()
        table = store.sessions
        theirs = [table.c.viewer_id == subject.name, table.c.revoke_time.is_(None), table.c.expire_time > now]
        if subject.scope:
            theirs.append(table.c.organisation_id == subject.scope)
        change = {"revoke_time": now, "revoke_comment": "the viewer was erased", "change_time": sa.func.now()}
        rows = await tx.execute(sa.update(table).where(*theirs).values(**change).returning(*store.SESSION))
        for session in [store.session_of(row) for row in rows]:
            await events.announce(tx, session_revocation(session))
            after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))
            after_commit(tx, partial(self._forget, session.organisation_id, subject.name))

    async def limited(self, tx: Tx, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """Keeps the limits; what was concluded before goes with an objection to conclusions."""
        heeded = limits & {api.PROCESSING_LIMIT_NO_PROFILING}
        await objections.keep(tx, subject, limits, self._clock.now())
        if heeded:
            for table in _CONCLUSIONS:
                await remove(tx, table, subject)
        if subject.scope and not is_id("usr", subject.name):
            await self._barred(tx, subject, barred=api.PROCESSING_LIMIT_STORAGE_ONLY in limits)
            heeded |= limits & {api.PROCESSING_LIMIT_STORAGE_ONLY}
        return heeded

    async def _barred(self, tx: Tx, subject: DataSubject, *, barred: bool) -> None:
        """Revokes a viewer without an account, or lifts that."""
        now, table = self._clock.now(), revocations.revocations
        query = sa.select(table.c.revocation_id).where(
            table.c.organisation_id == subject.scope,
            table.c.target == int(Target.VIEWER),
            table.c.target_id == subject.name,
            table.c.actor == _BY,
            table.c.lift_time.is_(None),
        )
        standing = list((await tx.execute(query)).scalars())
        if barred and not standing:
            made = Revocation(
                new_id("rvk"), subject.scope, int(Target.VIEWER), subject.name, _RESTRICTED, _BY, create_time=now
            )
            await revocations.add(tx, made)
            for session in await revocations.end_sessions(tx, made):
                await events.announce(tx, session_revocation(session))
                after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))
            await events.announce(tx, target_revoked(made))
        for revocation_id in standing if not barred else ():
            await tx.execute(sa.update(table).where(table.c.revocation_id == revocation_id).values(lift_time=now))
            lifted = events_pb2.RevocationLifted(
                revocation_id=revocation_id, organisation_id=subject.scope, actor=_BY, lift_time=timestamp(now)
            )
            await events.announce(tx, lifted)
