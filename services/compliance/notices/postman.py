"""Takes letters out of the box and hands them on: those to addresses to the notifications service, those to accounts to identity.

A letter leaves the box when it was taken, when nobody can deliver it, or after a week. A process that dies in between leaves it there, and whoever took it
knows it by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any, Final

import grpc
import sqlalchemy as sa
import structlog
from reelmesh.identity.v1 import letters_service_pb2, letters_service_pb2_grpc
from reelmesh.notifications.v1 import notifications_pb2, notifications_service_pb2, notifications_service_pb2_grpc

from services.compliance.notices.letters import Letters, OutgoingLetter, letters
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.sealing import Unreadable
from services.kit.uncancelled import heed_cancellation

log = structlog.stdlib.get_logger()

FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=5)
_DEADLINE: Final = 30.0
_HOPELESS: Final = frozenset(
    {"ADDRESS_REFUSED", "ADDRESS_INVALID", "OUTCOME_UNKNOWN", "TEMPLATE_UNKNOWN", "PARAMETER_INVALID"}
)


class NoticePostman:
    """Empties the box, one letter at a time over all replicas.

    Args:
        notifications: leads to the notifications service.
        identity: leads to the identity service.
        idle: seconds between two looks when nothing is known to be in the box.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        box: Letters,
        *,
        notifications: grpc.aio.Channel,
        identity: grpc.aio.Channel,
        idle: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._notifications: Any = notifications_service_pb2_grpc.NotificationsServiceStub(notifications)
        self._identity: Any = letters_service_pb2_grpc.LettersServiceStub(identity)
        self._idle = idle

    async def run(self) -> None:
        """Goes round until cancelled. Trouble is waited out."""
        while True:
            heed_cancellation()
            self._box.news.clear()
            wait = self._idle
            try:
                while await self.once():
                    heed_cancellation()
                wait = min(await self._until_next(), self._idle)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database is away: the letters stay in the box
                log.warning("letters wait", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._box.news.wait()

    async def once(self) -> bool:
        """Takes the letter that has waited longest, of those whose time has come. Returns whether there was one."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            query = (
                sa.select(letters)
                .where(letters.c.next_try_time <= now)
                .order_by(letters.c.next_try_time)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = (await tx.execute(query)).one_or_none()
            if row is None:
                return False
            refusal = None if row.expire_time <= now else await self._delivered(row.message_id, row.sealed)
            if row.expire_time <= now or (refusal is not None and refusal.reason in _HOPELESS):
                reason = "EXPIRED" if refusal is None else refusal.reason
                log.warning("letter given up", message_id=row.message_id, reason=reason, tries=row.tries)
                await self._remove(tx, row.message_id)
            elif refusal is None:
                await self._remove(tx, row.message_id)
            else:
                log.info("letter put off", message_id=row.message_id, reason=refusal.reason, tries=row.tries)
                pause = max(
                    min(FIRST_PAUSE * (1 << min(row.tries, 10)), LONGEST_PAUSE), refusal.retry_after or timedelta()
                )
                await tx.execute(
                    sa.update(letters)
                    .where(letters.c.message_id == row.message_id)
                    .values(tries=row.tries + 1, next_try_time=now + pause)
                )
        return True

    async def _delivered(self, message_id: str, sealed: bytes) -> Refusal | None:
        """Hands a letter over. Returns why it was not taken; None when it was."""
        try:
            letter = self._box.opened(message_id, sealed)
        except Unreadable:  # sealed under a key that this install no longer has
            return Refusal(grpc.StatusCode.ABORTED, "OUTCOME_UNKNOWN", "unreadable", domain="")
        try:
            if letter.account_id:
                await self._identity.SendLetter(_to_account(message_id, letter), timeout=_DEADLINE)
            else:
                await self._notifications.DeliverMessage(_to_address(message_id, letter), timeout=_DEADLINE)
        except grpc.RpcError as error:
            return Refusal.from_rpc_error(error)
        return None

    async def _remove(self, tx: Tx, message_id: str) -> None:
        await tx.execute(sa.delete(letters).where(letters.c.message_id == message_id))

    async def _until_next(self) -> float:
        """Seconds until the next letter's time has come."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            query = sa.select(sa.func.min(letters.c.next_try_time)).where(letters.c.next_try_time > now)
            moment: datetime | None = (await tx.execute(query)).scalar_one_or_none()
        return self._idle if moment is None else max((moment - now).total_seconds(), 0.0)


def _to_account(message_id: str, letter: OutgoingLetter) -> letters_service_pb2.SendLetterRequest:
    return letters_service_pb2.SendLetterRequest(
        message_id=message_id, account_id=letter.account_id, template=letter.template, parameters=letter.parameters
    )


def _to_address(message_id: str, letter: OutgoingLetter) -> notifications_service_pb2.DeliverMessageRequest:
    return notifications_service_pb2.DeliverMessageRequest(
        message_id=message_id,
        channel=notifications_pb2.CHANNEL_EMAIL,
        to=letter.email,
        template=letter.template,
        language=letter.language,
        parameters=letter.parameters,
    )
