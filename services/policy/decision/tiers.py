"""Tiers that viewers are in by what they subscribed to, as payments announced it.

Such a tier is good in the organisation whose plan it is, and nowhere else; there it goes before the account's own. It ends by itself when nothing
else is announced, so that a service of payments that is away leaves nobody in a tier for longer than they paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx, any_of

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
# Put together once, and the same for any number of viewers: one that is not would be prepared anew for each.
_TIERS: Final = (
    sa.select(subscribed_tiers)
    .where(
        subscribed_tiers.c.organisation_id == any_of("organisation_ids"),
        subscribed_tiers.c.viewer_id == any_of("viewer_ids"),
        subscribed_tiers.c.tier != "",
    )
    .order_by(subscribed_tiers.c.event_time.desc())
)


class SubscribedTier(NamedTuple):
    """A tier, and until when it is had."""

    tier: str
    end_time: datetime


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


async def tiers_of(
    tx: Tx, organisations: Sequence[str], viewers: Sequence[str]
) -> dict[tuple[str, str], list[SubscribedTier]]:
    """The tiers that viewers are in by subscriptions, by organisation and viewer, the one heard of last first; those that have ended too."""
    asked = {"organisation_ids": list(organisations), "viewer_ids": list(viewers)}
    found: dict[tuple[str, str], list[SubscribedTier]] = {}
    for row in await tx.execute(_TIERS, asked):
        found.setdefault((row.organisation_id, row.viewer_id), []).append(SubscribedTier(row.tier, row.end_time))
    return found


async def forget(tx: Tx, before: datetime) -> None:
    """Removes what nothing was heard of since, and gives no tier any more."""
    await tx.execute(
        sa.delete(subscribed_tiers).where(
            subscribed_tiers.c.event_time < before,
            sa.or_(subscribed_tiers.c.tier == "", subscribed_tiers.c.end_time < before),
        )
    )
