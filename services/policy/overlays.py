"""What players show over the picture, as `protection` announced it for each organisation, with what is known of the viewer."""

from __future__ import annotations

from datetime import UTC
from typing import Final

import sqlalchemy as sa
from reelmesh.policy.v1 import policy_pb2
from reelmesh.protection.v1 import events_pb2, overlays_pb2
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.overlay_text import filled, of_viewer
from services.policy.domain import Session

_TABLE: Final = sa.Table(
    "overlays",
    sa.MetaData(),
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("template", sa.LargeBinary),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)


async def changed(tx: Tx, data: bytes) -> None:
    """An organisation's overlay was set; the latest counts, in whatever order they are heard of."""
    event = events_pb2.OverlayChanged.FromString(data)
    values = {
        "template": event.template.SerializeToString(),
        "change_time": event.change_time.ToDatetime(tzinfo=UTC),
    }
    statement = insert(_TABLE).values(organisation_id=event.organisation_id, **values)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["organisation_id"],
            set_=values,
            where=_TABLE.c.change_time <= statement.excluded.change_time,
        )
    )


async def overlay_of(tx: Tx, session: Session, address: str) -> policy_pb2.Overlay | None:
    """What is shown over the picture of a session; None for nothing.

    Args:
        tx: a transaction.
        session: the session.
        address: where the viewer is; empty when it is not known.
    """
    query = sa.select(_TABLE.c.template).where(_TABLE.c.organisation_id == session.organisation_id)
    kept = (await tx.execute(query)).scalar_one_or_none()
    if kept is None:
        return None
    template = overlays_pb2.OverlayTemplate.FromString(kept)
    if not template.enabled:
        return None
    return policy_pb2.Overlay(
        text=filled(template.text, of_viewer(session.viewer_id, session.session_id, address)),
        opacity=template.opacity,
        size=template.size,
        drifts=template.motion == overlays_pb2.OVERLAY_MOTION_DRIFT,
        interval=template.interval,
        contrast_aware=template.contrast_aware,
    )
