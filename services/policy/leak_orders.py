"""What `protection` orders about the source of a leaked copy: a session is ended, or a viewer is revoked until that is taken back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.message import Message
from reelmesh.protection.v1 import leaks_service_pb2 as leaks
from reelmesh.protection.v1.events_pb2 import LeakActionOrdered, LeakActionReversed

from services.kit.clock import Clock
from services.kit.database import Tx, after_commit
from services.kit.events import Handler, announce
from services.policy import store
from services.policy.announcements import revocation as session_revocation
from services.policy.announcements import revocation_lifted, target_revoked
from services.policy.domain import Session
from services.policy.revocations import store as revocations
from services.policy.revocations.store import Revocation, Target

if TYPE_CHECKING:
    from services.policy.judge import Known


class LeakOrders:
    """Does what is ordered. Told twice it does nothing more, and of sessions and viewers of another organisation it knows nothing."""

    def __init__(self, known: Known, clock: Clock) -> None:
        self._known = known
        self._clock = clock

    def handlers(self) -> dict[type[Message], Handler]:
        """The events that it is told by."""
        return {LeakActionOrdered: self.ordered, LeakActionReversed: self.reversed}

    async def ordered(self, tx: Tx, data: bytes) -> None:
        """An action was approved."""
        event = LeakActionOrdered.FromString(data)
        match event.kind:
            case leaks.LEAK_ACTION_KIND_REVOKE_SESSION:
                await self._end(tx, event)
            case leaks.LEAK_ACTION_KIND_BLOCK_VIEWER:
                await self._block(tx, event)
            case _:
                pass

    async def _end(self, tx: Tx, event: LeakActionOrdered) -> None:
        session = await store.find(tx, event.session_id)
        if session is None or session.organisation_id != event.organisation_id:
            return
        before = await store.get(tx, event.organisation_id, event.session_id, for_update=True)
        after = before.revoked(self._clock.now(), f"a copy that leaked comes from it ({event.case_id})")
        if after is not before:
            await store.put(tx, after)
        await self._tell(tx, after)

    async def _block(self, tx: Tx, event: LeakActionOrdered) -> None:
        if await revocations.find(tx, event.organisation_id, event.revocation_id) is not None:
            return
        blocked = Revocation(
            revocation_id=event.revocation_id,
            organisation_id=event.organisation_id,
            target=int(Target.VIEWER),
            target_id=event.viewer_id,
            comment=f"a copy that leaked comes from them ({event.case_id})",
            actor=event.approver,
            create_time=self._clock.now(),
        )
        await revocations.add(tx, blocked)
        for session in await revocations.end_sessions(tx, blocked):
            await self._tell(tx, session)
        await announce(tx, target_revoked(blocked))

    async def _tell(self, tx: Tx, session: Session) -> None:
        await announce(tx, session_revocation(session))
        after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))

    async def reversed(self, tx: Tx, data: bytes) -> None:
        """An action was taken back: a block is lifted. A session that was ended stays so; a new one can be opened."""
        event = LeakActionReversed.FromString(data)
        if not event.revocation_id:
            return
        before = await revocations.find(tx, event.organisation_id, event.revocation_id)
        if before is None or before.lift_time is not None:
            return
        after = before.lifted(self._clock.now())
        await revocations.lift(tx, after)
        await announce(tx, revocation_lifted(after, event.actor))
