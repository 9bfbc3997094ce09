"""What is known of titles: whose they are, who uploaded them and what they are called, so that a location leads to somebody who can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.upload.v1 import events_pb2 as upload
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Database, Tx
from services.kit.events import Consumer
from services.kit.ids import SUFFIX_PATTERN

_METADATA: Final = sa.MetaData()
titles: Final = sa.Table(
    "notice_titles",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("uploader", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("title_time", sa.DateTime(timezone=True)),
)
packages: Final = sa.Table(
    "notice_packages",
    _METADATA,
    sa.Column("package_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
)
_NAMED: Final = re.compile(rf"(?:ast|pkg)_{SUFFIX_PATTERN}")

_MOST_NAMED: Final = 5
"""An address of ours names one or two things; whoever writes hundreds into one wants something else."""


@dataclass(frozen=True, slots=True)
class Title:
    """Something that is or was shown here.

    Attributes:
        uploader: name of the principal that uploaded it; empty when it is not known.
    """

    asset_id: str
    organisation_id: str
    uploader: str


def consumer(database: Database, bus: NatsClient) -> Consumer:
    """Listens to what comes in, what is published, and what it is called."""
    return Consumer(
        "compliance-notices",
        database,
        bus,
        {
            upload.UploadCommitted: _uploaded,
            packaging.PackagePublished: _published,
            assets.AssetCreated: _created,
            assets.AssetUpdated: _renamed,
        },
    )


async def _uploaded(tx: Tx, data: bytes) -> None:
    event = upload.UploadCommitted.FromString(data)
    if event.purpose == UPLOAD_PURPOSE_EVIDENCE:
        return  # it is shown to nobody, so nobody can have a complaint about it
    values = {"organisation_id": event.organisation_id, "uploader": event.actor}
    statement = insert(titles).values(asset_id=event.asset_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["asset_id"], set_=values))


async def _published(tx: Tx, data: bytes) -> None:
    """A package leads to its asset; one that was uploaded before this was kept is known from here on, without its uploader."""
    event = packaging.PackagePublished.FromString(data)
    values = {"asset_id": event.asset_id, "organisation_id": event.organisation_id, "uploader": ""}
    await tx.execute(insert(titles).values(**values).on_conflict_do_nothing(index_elements=["asset_id"]))
    statement = insert(packages).values(package_id=event.package_id, asset_id=event.asset_id)
    await tx.execute(statement.on_conflict_do_nothing(index_elements=["package_id"]))


async def _created(tx: Tx, data: bytes) -> None:
    event = assets.AssetCreated.FromString(data)
    if event.purpose == UPLOAD_PURPOSE_EVIDENCE:
        return
    await _named(tx, event, event.create_time.ToDatetime(tzinfo=UTC))


async def _renamed(tx: Tx, data: bytes) -> None:
    event = assets.AssetUpdated.FromString(data)
    await _named(tx, event, event.update_time.ToDatetime(tzinfo=UTC))


async def _named(tx: Tx, event: assets.AssetCreated | assets.AssetUpdated, at: datetime) -> None:
    """The latest name stays, whatever is heard last."""
    named = {"title": event.title, "title_time": at}
    statement = insert(titles).values(
        asset_id=event.asset_id, organisation_id=event.organisation_id, uploader="", **named
    )
    older = sa.or_(titles.c.title_time.is_(None), titles.c.title_time < at)
    await tx.execute(statement.on_conflict_do_update(index_elements=["asset_id"], set_=named, where=older))


async def name_of(tx: Tx, asset_id: str) -> str:
    """What a title is called; empty when that is not known."""
    return (await tx.execute(sa.select(titles.c.title).where(titles.c.asset_id == asset_id))).scalar() or ""


async def at_location(tx: Tx, location: str) -> Title | None:
    """The title that a location names, by the id of its asset or of one of its packages; None when it names none. What was deleted is still known:
    copies of it may be barred."""
    for name in dict.fromkeys(_NAMED.findall(location)[:_MOST_NAMED]):
        query = sa.select(titles.c.asset_id, titles.c.organisation_id, titles.c.uploader)
        if name.startswith("pkg_"):
            query = query.join(packages, packages.c.asset_id == titles.c.asset_id).where(packages.c.package_id == name)
        else:
            query = query.where(titles.c.asset_id == name)
        row = (await tx.execute(query)).one_or_none()
        if row is not None:
            return Title(row.asset_id, row.organisation_id, row.uploader)
    return None
