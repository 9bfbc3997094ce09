"""The table of uploads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.kit.pagination import Page
from services.upload.domain import Purpose, State, Upload, Watermarking, not_found

_METADATA: Final = sa.MetaData()

uploads: Final = sa.Table(
    "uploads",
    _METADATA,
    sa.Column("upload_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("content_type", sa.Text),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("received_bytes", sa.BigInteger),
    sa.Column("state", sa.SmallInteger),
    sa.Column("sha256", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("commit_time", sa.DateTime(timezone=True)),
    sa.Column("watermarking", sa.SmallInteger),
    sa.Column("actor", sa.Text),
    sa.Column("purpose", sa.SmallInteger),
)


def _upload(row: sa.Row[tuple[object, ...]]) -> Upload:
    values = row._asdict()
    numbers = {"state": State, "watermarking": Watermarking, "purpose": Purpose}
    return Upload(**values | {name: meaning(values[name]) for name, meaning in numbers.items()})


async def add(tx: Tx, upload: Upload) -> None:
    """Keeps a new upload."""
    await tx.execute(sa.insert(uploads).values(**asdict(upload)))


async def put(tx: Tx, upload: Upload) -> None:
    """Keeps the next state of an upload."""
    await tx.execute(sa.update(uploads).where(uploads.c.upload_id == upload.upload_id).values(**asdict(upload)))


async def get(tx: Tx, organisation_id: str, upload_id: str, *, for_update: bool = False) -> Upload:
    """One upload of an organisation; locked until the transaction ends when it is about to change.

    Raises:
        Refusal: UPLOAD_NOT_FOUND.
    """
    query = sa.select(uploads).where(uploads.c.upload_id == upload_id, uploads.c.organisation_id == organisation_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise not_found(upload_id)
    return _upload(row)


async def page(tx: Tx, organisation_id: str, state: int, part: Page) -> Sequence[Upload]:
    """One page of an organisation's uploads, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(uploads)
        .where(uploads.c.organisation_id == organisation_id)
        .order_by(uploads.c.upload_id.desc())
        .limit(part.size + 1)
    )
    if state:
        query = query.where(uploads.c.state == state)
    if part.after:
        query = query.where(uploads.c.upload_id < part.after)
    return [_upload(row) for row in await tx.execute(query)]


async def overdue(tx: Tx, now: datetime, limit: int = 100) -> Sequence[Upload]:
    """Unfinished uploads whose time ran out, locked; those that someone else works on are left out."""
    query = sa.select(uploads).where(uploads.c.expire_time < now).limit(limit).with_for_update(skip_locked=True)
    return [_upload(row) for row in await tx.execute(query)]


async def receiving(tx: Tx, upload_ids: Sequence[str]) -> set[str]:
    """Those of the ids that still take bytes."""
    query = sa.select(uploads.c.upload_id).where(
        uploads.c.upload_id.in_(upload_ids), uploads.c.state == State.RECEIVING
    )
    return set((await tx.execute(query)).scalars())
