"""Legal holds on assets: what they are on is not deleted. The compliance service places them; here is the picture of them that its events make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2 as compliance
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.events import EVENTS_KEPT_FOR, Handler

holds: Final = sa.Table(
    "holds",
    sa.MetaData(),
    sa.Column("hold_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("released", sa.Boolean),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
_FORGOTTEN_AFTER: Final = EVENTS_KEPT_FOR + timedelta(days=1)
"""Once its placing cannot come any more, a release need not be known."""


async def standing(tx: Tx, asset_id: str) -> str:
    """A hold that stands on an asset; empty when none does."""
    query = sa.select(holds.c.hold_id).where(holds.c.asset_id == asset_id, holds.c.released.is_(False)).limit(1)
    return (await tx.execute(query)).scalar_one_or_none() or ""


async def _placed(tx: Tx, data: bytes) -> None:
    event = compliance.LegalHoldPlaced.FromString(data)
    if event.asset_id:
        row = {"hold_id": event.hold_id, "asset_id": event.asset_id, "released": False}
        statement = insert(holds).values(event_time=event.place_time.ToDatetime(tzinfo=UTC), **row)
        await tx.execute(statement.on_conflict_do_nothing())


async def _released(tx: Tx, data: bytes) -> None:
    event = compliance.LegalHoldReleased.FromString(data)
    if not event.asset_id:
        return
    now: datetime = event.release_time.ToDatetime(tzinfo=UTC)
    change: dict[str, Any] = {"released": True, "event_time": now}
    statement = insert(holds).values(hold_id=event.hold_id, asset_id=event.asset_id, **change)
    await tx.execute(statement.on_conflict_do_update(index_elements=["hold_id"], set_=change))
    await tx.execute(sa.delete(holds).where(holds.c.released.is_(True), holds.c.event_time < now - _FORGOTTEN_AFTER))


HANDLERS: Final[dict[type[Any], Handler]] = {
    compliance.LegalHoldPlaced: _placed,
    compliance.LegalHoldReleased: _released,
}
