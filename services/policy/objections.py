"""What may not be done with viewers' data, because they asked for it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from reelmesh.rpc.v1 import personal_data_service_pb2 as api
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kit.database import Tx
from services.kit.personal import DataSubject

_limits: Final = sa.Table(
    "processing_limits",
    sa.MetaData(),
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("viewer_id", sa.Text, primary_key=True),
    sa.Column("limits", ARRAY(sa.SmallInteger)),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)


async def keep(tx: Tx, subject: DataSubject, limits: Collection[int], now: datetime) -> None:
    """Keeps limits in place of those before."""
    values = {"limits": sorted(limits), "change_time": now}
    await tx.execute(
        insert(_limits)
        .values(organisation_id=subject.scope, viewer_id=subject.name, **values)
        .on_conflict_do_update(index_elements=["organisation_id", "viewer_id"], set_=values)
    )


async def objects_to_profiling(tx: Tx, organisation_id: str, viewer_id: str) -> bool:
    """Whether no conclusions may be drawn about a viewer."""
    query = sa.select(sa.literal(1)).where(
        _limits.c.viewer_id == viewer_id,
        _limits.c.organisation_id.in_(["", organisation_id]),
        sa.literal(int(api.PROCESSING_LIMIT_NO_PROFILING)) == sa.any_(_limits.c.limits),
    )
    return (await tx.execute(query.limit(1))).scalar_one_or_none() is not None
