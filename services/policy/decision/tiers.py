"""Tiers that viewers are in by what they subscribed to, as payments announced it.

Such a tier is good in the organisation whose plan it is, and nowhere else; there it goes before the account's own. It ends by itself when nothing
else is announced, so that a service of payments that is away leaves nobody in a tier for longer than they paid.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx

subscribed_tiers: Final = sa.Table(
    "subscribed_tiers",
    sa.MetaData(),
    sa.Column("subscription_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("tier", sa.Text),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)


async def keep(
    tx: Tx,
    subscription_id: str,
    organisation_id: str,
    viewer_id: str,
    *,
    tier: str,
    end_time: datetime | None,
    moment: datetime,
) -> None:
    """Keeps the tier that a subscription gives, empty for none, unless something later is known of it."""
    values = {
        "organisation_id": organisation_id,
        "viewer_id": viewer_id,
        "tier": tier,
        "end_time": end_time,
        "event_time": moment,
    }
    statement = insert(subscribed_tiers).values(subscription_id=subscription_id, **values)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["subscription_id"], set_=values, where=subscribed_tiers.c.event_time <= moment
        )
    )


async def tier_of(tx: Tx, organisation_id: str, viewer_id: str, now: datetime) -> str | None:
    """The tier that a viewer is in by a subscription; None when by none."""
    query = (
        sa.select(subscribed_tiers.c.tier)
        .where(
            subscribed_tiers.c.organisation_id == organisation_id,
            subscribed_tiers.c.viewer_id == viewer_id,
            subscribed_tiers.c.tier != "",
            subscribed_tiers.c.end_time > now,
        )
        .order_by(subscribed_tiers.c.event_time.desc())
        .limit(1)
    )
    return (await tx.execute(query)).scalar_one_or_none()


async def forget(tx: Tx, before: datetime) -> None:
    """Removes what nothing was heard of since, and gives no tier any more."""
    await tx.execute(
        sa.delete(subscribed_tiers).where(
            subscribed_tiers.c.event_time < before,
            sa.or_(subscribed_tiers.c.tier == "", subscribed_tiers.c.end_time < before),
        )
    )
