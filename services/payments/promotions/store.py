"""The tables of promotions and of who redeemed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.promotions.domain import Promotion

_METADATA: Final = sa.MetaData()

promotions: Final = sa.Table(
    "promotions",
    _METADATA,
    sa.Column("promotion_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("code", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("lasts", sa.Interval),
    sa.Column("max_plays", sa.Integer),
    sa.Column("watch", sa.Interval),
    sa.Column("territories", ARRAY(sa.Text, as_tuple=True)),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("max_uses", sa.Integer),
    sa.Column("uses_per_viewer", sa.Integer),
    sa.Column("comment", sa.Text),
    sa.Column("uses", sa.Integer),
    sa.Column("stop_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
redemptions: Final = sa.Table(
    "redemptions",
    _METADATA,
    sa.Column("entitlement_id", sa.Text, primary_key=True),
    sa.Column("promotion_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("redeem_time", sa.DateTime(timezone=True)),
)


async def add(tx: Tx, promotion: Promotion) -> bool:
    """Keeps a new promotion. Returns whether its code was free: of all promotions of an organisation that nobody ended, each has one of its
    own."""
    values = {field.name: getattr(promotion, field.name) for field in fields(Promotion)}
    return (await tx.execute(insert(promotions).values(**values).on_conflict_do_nothing())).rowcount == 1


async def find(tx: Tx, organisation_id: str, promotion_id: str) -> Promotion | None:
    """One promotion; None when there is none."""
    query = sa.select(promotions).where(
        promotions.c.organisation_id == organisation_id, promotions.c.promotion_id == promotion_id
    )
    return _one((await tx.execute(query)).one_or_none())


async def by_code(tx: Tx, organisation_id: str, code: str) -> Promotion | None:
    """The promotion of a code that nobody ended, locked until the transaction ends; None when there is none."""
    query = sa.select(promotions).where(
        promotions.c.organisation_id == organisation_id, promotions.c.code == code, promotions.c.stop_time.is_(None)
    )
    return _one((await tx.execute(query.with_for_update())).one_or_none())


async def redeemed(tx: Tx, promotion_id: str, viewer_id: str) -> int:
    """How often a viewer redeemed a promotion, which is locked."""
    query = sa.select(sa.func.count()).where(
        redemptions.c.promotion_id == promotion_id, redemptions.c.viewer_id == viewer_id
    )
    return int((await tx.execute(query)).scalar_one())


async def redeem(tx: Tx, promotion_id: str, viewer_id: str, entitlement_id: str, now: datetime) -> None:
    """Keeps that a viewer redeemed a promotion, which is locked."""
    mine = promotions.c.promotion_id == promotion_id
    await tx.execute(sa.update(promotions).where(mine).values(uses=promotions.c.uses + 1))
    await tx.execute(
        sa.insert(redemptions).values(
            entitlement_id=entitlement_id, promotion_id=promotion_id, viewer_id=viewer_id, redeem_time=now
        )
    )


async def stop(tx: Tx, promotion_id: str, now: datetime) -> None:
    """Keeps that a promotion ended; when it had, that stays."""
    mine = sa.and_(promotions.c.promotion_id == promotion_id, promotions.c.stop_time.is_(None))
    await tx.execute(sa.update(promotions).where(mine).values(stop_time=now))


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[Promotion]:
    """One page of an organisation's promotions, newest first, and one more to tell whether there is another page."""
    query = sa.select(promotions).where(promotions.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(promotions.c.promotion_id < part.after)
    rows = await tx.execute(query.order_by(promotions.c.promotion_id.desc()).limit(part.size + 1))
    return [Promotion(**row._asdict()) for row in rows]


def _one(row: sa.Row[Any] | None) -> Promotion | None:
    return None if row is None else Promotion(**row._asdict())
