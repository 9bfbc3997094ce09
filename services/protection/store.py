"""The tables of watermarked titles and of the sessions that played them, as other services announced them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx

_METADATA: Final = sa.MetaData()

titles: Final = sa.Table(
    "titles",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("colluders", sa.SmallInteger),
    sa.Column("segment_seconds", sa.Double),
    sa.Column("renditions", JSONB),
)

sessions: Final = sa.Table(
    "sessions",
    _METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Rendition:
    """One picture size of a watermarked title.

    Attributes:
        variant_a, variant_b: keys of the files in the object store.
    """

    width: int
    height: int
    frame_rate: float
    variant_a: str
    variant_b: str

    @property
    def longer(self) -> int:
        """Pixels of the longer side."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class MarkedTitle:
    """A watermarked title.

    Attributes:
        colluders: that its code is made for.
        renditions: largest first.
    """

    asset_id: str
    organisation_id: str
    colluders: int
    segment_seconds: float
    renditions: tuple[Rendition, ...]


@dataclass(frozen=True, slots=True)
class Viewing:
    """A session that played a watermarked title; `viewer_id` is empty when it is not known."""

    session_id: str
    viewer_id: str
    create_time: datetime


async def add_title(tx: Tx, title: MarkedTitle) -> None:
    """Keeps a title, in place of what was known of it."""
    values: dict[str, Any] = {
        "asset_id": title.asset_id,
        "organisation_id": title.organisation_id,
        "colluders": title.colluders,
        "segment_seconds": title.segment_seconds,
        "renditions": [
            {
                "width": one.width,
                "height": one.height,
                "frame_rate": one.frame_rate,
                "variant_a": one.variant_a,
                "variant_b": one.variant_b,
            }
            for one in title.renditions
        ],
    }
    statement = insert(titles).values(**values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["asset_id"], set_=values))


async def add_session(tx: Tx, asset_id: str, viewing: Viewing) -> None:
    """Keeps a session of a watermarked title; those of others are nobody's business here."""
    known = sa.select(
        sa.literal(viewing.session_id),
        titles.c.asset_id,
        sa.literal(viewing.viewer_id),
        sa.literal(viewing.create_time, sa.DateTime(timezone=True)),
    ).where(titles.c.asset_id == asset_id)
    names = ["session_id", "asset_id", "viewer_id", "create_time"]
    await tx.execute(insert(sessions).from_select(names, known).on_conflict_do_nothing(index_elements=["session_id"]))


async def forget_asset(tx: Tx, asset_id: str) -> None:
    """Forgets a deleted title with its sessions: nothing is left to compare a copy with."""
    await tx.execute(sa.delete(sessions).where(sessions.c.asset_id == asset_id))
    await tx.execute(sa.delete(titles).where(titles.c.asset_id == asset_id))


async def forget_sessions(tx: Tx, before: datetime) -> None:
    """Forgets sessions that began before a moment."""
    await tx.execute(sa.delete(sessions).where(sessions.c.create_time < before))


async def marked_titles(tx: Tx, asset_id: str = "") -> Sequence[MarkedTitle]:
    """All watermarked titles, newest first, or one of them."""
    query = sa.select(titles).order_by(titles.c.asset_id.desc())
    if asset_id:
        query = query.where(titles.c.asset_id == asset_id)
    return [
        MarkedTitle(
            row.asset_id,
            row.organisation_id,
            row.colluders,
            row.segment_seconds,
            tuple(Rendition(**rendition) for rendition in row.renditions),
        )
        for row in await tx.execute(query)
    ]


async def viewings(tx: Tx, asset_id: str) -> Sequence[Viewing]:
    """Everybody who played a title, oldest first."""
    columns = (sessions.c.session_id, sessions.c.viewer_id, sessions.c.create_time)
    query = sa.select(*columns).where(sessions.c.asset_id == asset_id).order_by(sessions.c.session_id)
    return [Viewing(row.session_id, row.viewer_id, row.create_time) for row in await tx.execute(query)]
