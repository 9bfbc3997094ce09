"""Revocations: what must not be trusted although its time is not over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.identity.trust.signing import LIFETIME
from services.kit.database import Tx

revocations: Final = sa.Table(
    "revocations",
    sa.MetaData(),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("not_before", sa.DateTime(timezone=True)),
    sa.Column("forget_time", sa.DateTime(timezone=True)),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
# Rows of one moment become visible in any order, as their transactions end.
_OVERLAP: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation.

    Attributes:
        subject: id of an account, a session or an API key.
        not_before: tokens of it that were issued before are refused.
        forget_time: when the last of them has expired.
    """

    subject: str
    not_before: datetime
    forget_time: datetime


async def revoke(tx: Tx, subject: str, now: datetime) -> Revocation:
    """Revokes all tokens that were issued for a subject up to now."""
    revocation = Revocation(subject, now, now + LIFETIME + timedelta(minutes=1))
    fresh = {"not_before": revocation.not_before, "forget_time": revocation.forget_time}
    await tx.execute(
        insert(revocations)
        .values(subject=subject, **fresh)
        .on_conflict_do_update(index_elements=["subject"], set_={**fresh, "change_time": sa.func.clock_timestamp()})
    )
    return revocation


async def since(tx: Tx, moment: datetime | None) -> tuple[Sequence[Revocation], datetime]:
    """Revocations that changed since a moment of the database's clock, some of them again; all for None. Returns them with the moment to
    ask for next."""
    query = sa.select(revocations, sa.func.now().label("asked"))
    if moment is not None:
        query = query.where(revocations.c.change_time >= moment - _OVERLAP)
    rows = (await tx.execute(query)).all()
    asked = rows[0].asked if rows else (await tx.execute(sa.select(sa.func.now()))).scalar_one()
    return [Revocation(row.subject, row.not_before, row.forget_time) for row in rows], asked


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes revocations of tokens that expired."""
    await tx.execute(sa.delete(revocations).where(revocations.c.forget_time < now))
