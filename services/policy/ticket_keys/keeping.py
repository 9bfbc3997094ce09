"""Makes keys, reads them, forgets them.

The first key is the install's own file. Every other is made here, sealed in the database, told to every replica and every edge, and only
then signs; the one before is known until the last ticket that it signed has expired.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from reelmesh.policy.v1 import events_pb2

from services.kit import events, telemetry
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.sealing import Seal
from services.policy.domain import CLOCKS_APART, LONGEST_LIFETIME
from services.policy.tickets import TicketKey, Tickets, key_id_of

log = structlog.stdlib.get_logger()

POLICY_KEY_FILE: Final = "policy_key"
ANNOUNCED_FOR: Final = timedelta(minutes=1)
"""How long a key is known before it signs. Replicas hear of it in milliseconds, or look within ten seconds; edges are told at once."""
_LOOK_EVERY: Final = 10.0
_LOCK: Final = 0x7469636B  # "tick": one rotation at a time

ticket_keys: Final = sa.Table(
    "ticket_keys",
    sa.MetaData(),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("sealed_private_key", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("sign_time", sa.DateTime(timezone=True)),
    sa.Column("forget_time", sa.DateTime(timezone=True)),
)


class TicketKeys:
    """Keeps the keys of `Tickets` up to date, and rotates them by schedule or on demand.

    Args:
        born: when the install's own file was made.
        every: a key signs for so long.
        changed: called when there is another key, so that edges are told.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        seal: Seal,
        tickets: Tickets,
        born: datetime,
        every: timedelta,
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._tickets = tickets
        self._every = every
        self._changed = changed
        self._news = asyncio.Event()
        self._born = born

    async def rotate(self) -> tuple[str, datetime]:
        """Makes the next key, unless one is about to sign already. Returns its id and when it signs."""
        async with self._database.transaction() as tx:
            await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            now = self._clock.now()
            coming = sa.select(ticket_keys.c.key_id, ticket_keys.c.sign_time).where(ticket_keys.c.sign_time > now)
            row = (await tx.execute(coming)).one_or_none()
            key_id, sign_time = (row.key_id, row.sign_time) if row else await self._make(tx, now)
        await self.refresh()
        return key_id, sign_time

    async def start(self, bus: NatsClient) -> None:
        """Hears what other replicas do, and reads the keys."""

        async def rotated(_message: Msg) -> None:
            self._news.set()

        await bus.subscribe(events_pb2.TicketKeyRotated.DESCRIPTOR.full_name, cb=rotated)
        await self.refresh()

    async def refresh(self) -> None:
        """Reads the keys, makes the next one when it is time, and forgets those of which no ticket is left."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await tx.execute(sa.delete(ticket_keys).where(ticket_keys.c.forget_time < now))
            rows = (await tx.execute(sa.select(ticket_keys).order_by(ticket_keys.c.sign_time))).all()
            newest = rows[-1].sign_time if rows else self._born
            if newest + self._every <= now:
                await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                again = sa.select(sa.func.count()).where(ticket_keys.c.sign_time > newest)
                if not (await tx.execute(again)).scalar_one():
                    await self._make(tx, now)
                rows = (await tx.execute(sa.select(ticket_keys).order_by(ticket_keys.c.sign_time))).all()
        keys = [TicketKey(row.key_id, self._opened(row.key_id, row.sealed_private_key), row.sign_time) for row in rows]
        if self._tickets.take(keys, keep_first=not rows or now < rows[0].sign_time + _OUTLIVED):
            self._changed()

    async def run(self) -> None:
        """Looks now and then, until cancelled. Trouble is waited out."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._news.wait()
            self._news.clear()
            try:
                await self.refresh()
            except Exception as error:  # the database may be away for a moment; the keys that are known stay
                log.warning("ticket keys put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])

    async def _make(self, tx: Tx, now: datetime) -> tuple[str, datetime]:
        private, sign_time = ec.generate_private_key(ec.SECP256R1()), now + ANNOUNCED_FOR
        key_id = key_id_of(private)
        sealed = self._seal.seal(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), key_id)
        await tx.execute(
            sa.update(ticket_keys).where(ticket_keys.c.forget_time.is_(None)).values(forget_time=sign_time + _OUTLIVED)
        )
        await tx.execute(
            sa.insert(ticket_keys).values(
                key_id=key_id, sealed_private_key=sealed, create_time=now, sign_time=sign_time
            )
        )
        await events.announce(tx, events_pb2.TicketKeyRotated(key_id=key_id, sign_time=timestamp(sign_time)))
        return key_id, sign_time

    def _opened(self, key_id: str, sealed: bytes) -> ec.EllipticCurvePrivateKey:
        key = load_der_private_key(self._seal.open(sealed, key_id), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key


_OUTLIVED: Final = LONGEST_LIFETIME + CLOCKS_APART
"""How long the last ticket of a key may be about once the next key signs."""
