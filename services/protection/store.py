"""The tables of watermarked titles and of the sessions that played them, as other services announced them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.protection.domain import Detection, State
from services.protection.refusals import copy_not_found, detection_not_found
from services.protection.scanners.domain import ScreeningState
from services.protection.scanners.store import screenings

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

masters: Final = sa.Table(
    "masters",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("filename", sa.Text),
)

detections: Final = sa.Table(
    "detections",
    _METADATA,
    sa.Column("detection_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("title_asset_id", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("state", sa.SmallInteger),
    sa.Column("fraction", sa.Double),
    sa.Column("finding", JSONB),
    sa.Column("failure_reason", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("end_time", sa.DateTime(timezone=True)),
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
    await tx.execute(sa.delete(masters).where(masters.c.asset_id == asset_id))


async def forget_sessions(tx: Tx, before: datetime) -> None:
    """Forgets sessions that began before a moment."""
    await tx.execute(sa.delete(sessions).where(sessions.c.create_time < before))


async def marked_titles(tx: Tx, asset_id: str = "", *, organisation_id: str = "") -> Sequence[MarkedTitle]:
    """All watermarked titles, newest first, or one of them; of all organisations or of one."""
    query = sa.select(titles).order_by(titles.c.asset_id.desc())
    if organisation_id:
        query = query.where(titles.c.organisation_id == organisation_id)
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


@dataclass(frozen=True, slots=True)
class Master:
    """A file that came in by an upload."""

    asset_id: str
    organisation_id: str
    object_key: str
    filename: str


async def add_master(tx: Tx, master: Master) -> None:
    """Keeps where the file of an upload lies: it may be a copy that somebody wants to know more of."""
    values = {column.name: getattr(master, column.name) for column in fields(master)}
    await tx.execute(insert(masters).values(**values).on_conflict_do_nothing(index_elements=["asset_id"]))


async def master_of(tx: Tx, organisation_id: str, asset_id: str, *, title: bool = False) -> Master:
    """The file that an asset of an organisation was made from, once it passed the gate; with `title`, only if it is no evidence.

    Raises:
        Refusal: COPY_NOT_FOUND.
    """
    passed = sa.exists().where(screenings.c.asset_id == asset_id, screenings.c.state == ScreeningState.CLEARED)
    if title:
        passed = passed.where(screenings.c.purpose != UPLOAD_PURPOSE_EVIDENCE)
    mine = (masters.c.asset_id == asset_id) & (masters.c.organisation_id == organisation_id)
    query = sa.select(masters).where(mine, passed)
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise copy_not_found(asset_id)
    return Master(**row._asdict())


async def add_detection(tx: Tx, detection: Detection) -> None:
    """Keeps a new detection."""
    await tx.execute(sa.insert(detections).values(**_values(detection)))


async def put_detection(tx: Tx, detection: Detection) -> None:
    """Keeps the next state of a detection."""
    query = sa.update(detections).where(detections.c.detection_id == detection.detection_id)
    await tx.execute(query.values(**_values(detection)))


async def note_fraction(tx: Tx, detection_id: str, fraction: float) -> None:
    """Notes how far a detection is that runs."""
    running = (detections.c.detection_id == detection_id) & (detections.c.state == State.RUNNING)
    await tx.execute(sa.update(detections).where(running).values(fraction=fraction))


async def locked_detection(tx: Tx, detection_id: str) -> Detection | None:
    """One detection of whichever organisation, locked until the transaction ends."""
    query = sa.select(detections).where(detections.c.detection_id == detection_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _detection(row)


async def detection_of(tx: Tx, organisation_id: str, detection_id: str) -> Detection:
    """One detection of an organisation.

    Raises:
        Refusal: DETECTION_NOT_FOUND.
    """
    mine = detections.c.organisation_id == organisation_id
    row = (await tx.execute(sa.select(detections).where(mine, detections.c.detection_id == detection_id))).one_or_none()
    if row is None:
        raise detection_not_found(detection_id)
    return _detection(row)


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[Detection]:
    """One page of an organisation's detections, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(detections)
        .where(detections.c.organisation_id == organisation_id)
        .order_by(detections.c.detection_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(detections.c.detection_id < part.after)
    return [_detection(row) for row in await tx.execute(query)]


async def unfinished(tx: Tx, asked_before: datetime, limit: int = 100) -> Sequence[Detection]:
    """Detections that are not done although they were asked for long ago, locked: the queue may have lost them."""
    query = sa.select(detections).where(
        detections.c.state.in_([State.QUEUED, State.RUNNING]), detections.c.ask_time < asked_before
    )
    return [_detection(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def forget_detections(tx: Tx, before: datetime, limit: int = 100) -> Sequence[str]:
    """Forgets detections that ended before a moment. Returns their ids, whose pictures are to go too."""
    old = sa.select(detections.c.detection_id).where(detections.c.end_time < before).limit(limit)
    gone = await tx.execute(
        sa.delete(detections).where(detections.c.detection_id.in_(old)).returning(detections.c.detection_id)
    )
    return list(gone.scalars())


def _detection(row: sa.Row[tuple[Any, ...]]) -> Detection:
    values = row._asdict()
    return Detection(**{**values, "state": State(values["state"])})


def _values(detection: Detection) -> dict[str, Any]:
    return {column.name: getattr(detection, column.name) for column in fields(detection)}
