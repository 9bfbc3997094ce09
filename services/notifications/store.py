"""Which message was taken, by the SHA-256 of its id: what a message said and to whom is not kept, nor a digest of it, since a code of
eight digits is found by trying."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx

KEPT_FOR: Final = timedelta(days=7)
"""How long it is known that a message was taken. Nobody asks again after minutes."""
LEASE: Final = timedelta(seconds=60)
"""How long a message is held by the process that sends it; after that the process must have died, and the message may be sent by another."""

deliveries: Final = sa.Table(
    "deliveries",
    sa.MetaData(),
    sa.Column("message_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("claimed_until", sa.DateTime(timezone=True)),
    sa.Column("accept_time", sa.DateTime(timezone=True)),
    sa.Column("closed_reason", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of a message.

    Attributes:
        claimed: whether it is ours to send now.
        accept_time: when it was taken; None unless it was.
        closed_reason: name of the `ErrorReason` for which it is never sent; empty unless it is so.
    """

    claimed: bool
    accept_time: datetime | None
    closed_reason: str


def _digest(message_id: str) -> bytes:
    return hashlib.sha256(message_id.encode()).digest()


async def claim(tx: Tx, message_id: str, now: datetime) -> Delivery:
    """Takes a message to send it, unless it was sent, is closed, or is being sent by somebody else."""
    digest = _digest(message_id)
    blank = {"message_sha256": digest, "claimed_until": now, "closed_reason": "", "create_time": now}
    await tx.execute(insert(deliveries).values(**blank).on_conflict_do_nothing())
    query = sa.select(deliveries).where(deliveries.c.message_sha256 == digest).with_for_update()
    row = (await tx.execute(query)).one()
    if row.accept_time is not None or row.closed_reason or row.claimed_until > now:
        return Delivery(False, row.accept_time, row.closed_reason)
    await _set(tx, digest, claimed_until=now + LEASE)
    return Delivery(True, None, "")


async def accepted(tx: Tx, message_id: str, now: datetime) -> None:
    """A provider took it."""
    await _set(tx, _digest(message_id), accept_time=now)


async def closed(tx: Tx, message_id: str, reason: str) -> None:
    """It will never be sent."""
    await _set(tx, _digest(message_id), closed_reason=reason)


async def released(tx: Tx, message_id: str, now: datetime) -> None:
    """It was not sent, and may be asked for again at once."""
    await _set(tx, _digest(message_id), claimed_until=now)


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes what nobody asks for any more."""
    await tx.execute(sa.delete(deliveries).where(deliveries.c.create_time < now - KEPT_FOR))


async def _set(tx: Tx, digest: bytes, **values: object) -> None:
    await tx.execute(sa.update(deliveries).where(deliveries.c.message_sha256 == digest).values(**values))
