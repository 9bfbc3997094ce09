"""The table of entitlements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.entitlements.domain import Entitlement

entitlements: Final = sa.Table(
    "entitlements",
    sa.MetaData(),
    sa.Column("entitlement_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("buyer_id", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("territories", ARRAY(sa.Text, as_tuple=True)),
    sa.Column("max_plays", sa.Integer),
    sa.Column("begin_by_time", sa.DateTime(timezone=True)),
    sa.Column("watch", sa.Interval),
    sa.Column("sale_id", sa.Text),
    sa.Column("offer_id", sa.Text),
    sa.Column("promotion_id", sa.Text),
    sa.Column("comment", sa.Text),
    sa.Column("paid", sa.Boolean),
    sa.Column("revoke_time", sa.DateTime(timezone=True)),
    sa.Column("revoke_comment", sa.Text),
    sa.Column("plays", sa.Integer),
    sa.Column("begin_time", sa.DateTime(timezone=True)),
    sa.Column("change_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entitlements are asked for; what is empty does not matter."""

    viewer_id: str = ""
    asset_id: str = ""


async def add(tx: Tx, entitlement: Entitlement) -> None:
    """Keeps a new entitlement."""
    await tx.execute(sa.insert(entitlements).values(**_values(entitlement)))


async def put(tx: Tx, entitlement: Entitlement) -> None:
    """Keeps the next state of an entitlement, which is locked."""
    mine = entitlements.c.entitlement_id == entitlement.entitlement_id
    await tx.execute(sa.update(entitlements).where(mine).values(**_values(entitlement)))


async def find(tx: Tx, organisation_id: str, entitlement_id: str, *, for_update: bool = False) -> Entitlement | None:
    """One entitlement; None when there is none."""
    query = sa.select(entitlements).where(
        entitlements.c.organisation_id == organisation_id, entitlements.c.entitlement_id == entitlement_id
    )
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else Entitlement(**row._asdict())


async def claimed(tx: Tx, organisation_id: str, viewer_id: str, offer_id: str) -> Entitlement | None:
    """What a viewer took by a free offer and nobody took back, the newest; None when they did not. Two who ask at the same moment for the
    same viewer are put in a row."""
    lock = "SELECT pg_advisory_xact_lock(hashtextextended('claim:' || :viewer_id || ':' || :offer_id, 0))"
    await tx.execute(sa.text(lock), {"viewer_id": viewer_id, "offer_id": offer_id})
    query = sa.select(entitlements).where(
        entitlements.c.organisation_id == organisation_id,
        entitlements.c.viewer_id == viewer_id,
        entitlements.c.offer_id == offer_id,
    )
    row = (await tx.execute(query.order_by(entitlements.c.entitlement_id.desc()).limit(1))).one_or_none()
    return None if row is None else Entitlement(**row._asdict())


async def page(tx: Tx, organisation_id: str, wanted: Wanted, part: Page) -> Sequence[Entitlement]:
    """One page of an organisation's entitlements, newest first, and one more to tell whether there is another page."""
    query = sa.select(entitlements).where(entitlements.c.organisation_id == organisation_id)
    if wanted.viewer_id:
        query = query.where(entitlements.c.viewer_id == wanted.viewer_id)
    if wanted.asset_id:
        query = query.where(entitlements.c.asset_id == wanted.asset_id)
    if part.after:
        query = query.where(entitlements.c.entitlement_id < part.after)
    rows = await tx.execute(query.order_by(entitlements.c.entitlement_id.desc()).limit(part.size + 1))
    return [Entitlement(**row._asdict()) for row in rows]


def _values(entitlement: Entitlement) -> dict[str, Any]:
    return {column.name: getattr(entitlement, column.name) for column in entitlements.c}
