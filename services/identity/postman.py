"""The postman: takes messages out of the box (`services.identity.messages`) and hands them to the notifications service.

A message leaves the box when it was accepted, when nobody can deliver it, or when what it holds has expired. A postman who dies in
between leaves it there, and the notifications service knows by its id whether it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

import grpc
import sqlalchemy as sa
import structlog
from reelmesh.notifications.v1 import notifications_pb2, notifications_service_pb2_grpc
from reelmesh.notifications.v1 import notifications_service_pb2 as api

from services.identity.messages import NOWHERE, Messages, OutgoingMessage, messages
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.sealing import Unreadable
from services.kit.uncancelled import heed_cancellation

log = structlog.stdlib.get_logger()

FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=2)
_DEADLINE: Final = 30.0
"""Seconds. What becomes of a message after that is heard when it is asked for again."""
_HOPELESS: Final = frozenset(
    {"ADDRESS_REFUSED", "ADDRESS_INVALID", "OUTCOME_UNKNOWN", "TEMPLATE_UNKNOWN", "PARAMETER_INVALID"}
)
_CHANNELS: Final = {"email": notifications_pb2.CHANNEL_EMAIL, "sms": notifications_pb2.CHANNEL_SMS}


class Found(Enum):
    """What a look into the box found."""

    NOTHING = "nothing to do"
    MESSAGE = "a message, which was sent or put off"


class Postman:
    """Empties the box, one message at a time over all replicas: each row is locked while it is on its way.

    Args:
        channel: leads to the notifications service.
        idle: seconds between two looks when nothing is known to be in the box. Whoever puts something in wakes the postman of the same
            process; this is for messages of replicas that died.
    """

    def __init__(
        self, database: Database, clock: Clock, box: Messages, channel: grpc.aio.Channel, *, idle: float
    ) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._stub: Any = notifications_service_pb2_grpc.NotificationsServiceStub(channel)
        self._idle = idle

    async def run(self) -> None:
        """Goes round until cancelled. Trouble is waited out."""
        while True:
            heed_cancellation()
            self._box.news.clear()
            wait = self._idle
            try:
                while await self.once() is Found.MESSAGE:
                    heed_cancellation()
                wait = min(await self._until_next(), self._idle)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database is away: the messages stay in the box
                log.warning("postman is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._box.news.wait()

    async def once(self) -> Found:
        """Takes the message that has waited longest, of those whose time has come."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            query = (
                sa.select(messages)
                .where(messages.c.next_try_time <= now)
                .order_by(messages.c.next_try_time)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = (await tx.execute(query)).one_or_none()
            if row is None:
                return Found.NOTHING
            if row.expire_time <= now:
                log.warning("message given up", message_id=row.message_id, reason="EXPIRED", tries=row.tries)
                await self._remove(tx, row.message_id)
                return Found.MESSAGE
            refusal = await self._delivered(row.message_id, row.sealed)
            if refusal is None:
                await self._remove(tx, row.message_id)
            elif refusal.reason in _HOPELESS:
                log.warning("message given up", message_id=row.message_id, reason=refusal.reason, tries=row.tries)
                await self._remove(tx, row.message_id)
            else:
                log.info("message put off", message_id=row.message_id, reason=refusal.reason, tries=row.tries)
                await self._put_off(tx, row.message_id, row.tries, refusal, now)
        return Found.MESSAGE

    async def _delivered(self, message_id: str, sealed: bytes) -> Refusal | None:
        """Hands a message over. Returns why it was not taken; None when it was."""
        try:
            message = self._box.opened(message_id, sealed)
        except Unreadable:  # sealed under a key that this install no longer has
            return Refusal(grpc.StatusCode.ABORTED, "OUTCOME_UNKNOWN", "unreadable", domain="")
        if message.channel == NOWHERE:
            return None
        try:
            await self._stub.DeliverMessage(_request(message_id, message), timeout=_DEADLINE)
        except grpc.RpcError as error:
            return Refusal.from_rpc_error(error)
        return None

    async def _put_off(self, tx: Tx, message_id: str, tries: int, refusal: Refusal, now: datetime) -> None:
        pause = max(min(FIRST_PAUSE * (1 << min(tries, 10)), LONGEST_PAUSE), refusal.retry_after or timedelta())
        await tx.execute(
            sa.update(messages)
            .where(messages.c.message_id == message_id)
            .values(tries=tries + 1, next_try_time=now + pause)
        )

    async def _remove(self, tx: Tx, message_id: str) -> None:
        await tx.execute(sa.delete(messages).where(messages.c.message_id == message_id))

    async def _until_next(self) -> float:
        """Seconds until the next message's time has come."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            query = sa.select(sa.func.min(messages.c.next_try_time)).where(messages.c.next_try_time > now)
            moment: datetime | None = (await tx.execute(query)).scalar_one_or_none()
        return self._idle if moment is None else max((moment - now).total_seconds(), 0.0)


def _request(message_id: str, message: OutgoingMessage) -> api.DeliverMessageRequest:
    return api.DeliverMessageRequest(
        message_id=message_id,
        channel=_CHANNELS[message.channel],
        to=message.to,
        template=message.template,
        language=message.language,
        parameters=message.parameters,
    )
