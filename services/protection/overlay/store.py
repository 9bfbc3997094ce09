"""The tables of overlays and of review copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.protection.overlay.domain import CopyState, Motion, ReviewCopy, Template
from services.protection.overlay.refusals import review_copy_not_found

_METADATA: Final = sa.MetaData()

overlays: Final = sa.Table(
    "overlays",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("enabled", sa.Boolean),
    sa.Column("text", sa.Text),
    sa.Column("opacity", sa.Double),
    sa.Column("size", sa.Double),
    sa.Column("motion", sa.SmallInteger),
    sa.Column("seconds", sa.Double),
    sa.Column("contrast_aware", sa.Boolean),
)

copies: Final = sa.Table(
    "review_copies",
    _METADATA,
    sa.Column("review_copy_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("recipient", sa.Text),
    sa.Column("object_key", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("state", sa.SmallInteger),
    sa.Column("fraction", sa.Double),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("sha256", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)


async def template_of(tx: Tx, organisation_id: str) -> Template:
    """An organisation's template; the one that is not enabled where none was set."""
    row = (await tx.execute(sa.select(overlays).where(overlays.c.organisation_id == organisation_id))).one_or_none()
    if row is None:
        return Template()
    values = row._asdict()
    del values["organisation_id"]
    return Template(**{**values, "motion": Motion(values["motion"])})


async def put_template(tx: Tx, organisation_id: str, template: Template) -> None:
    """Keeps an organisation's template."""
    values = asdict(template)
    statement = insert(overlays).values(organisation_id=organisation_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["organisation_id"], set_=values))


async def add_copy(tx: Tx, copy: ReviewCopy) -> None:
    """Keeps a new review copy."""
    await tx.execute(sa.insert(copies).values(**_values(copy)))


async def put_copy(tx: Tx, copy: ReviewCopy) -> None:
    """Keeps the next state of a review copy."""
    query = sa.update(copies).where(copies.c.review_copy_id == copy.review_copy_id)
    await tx.execute(query.values(**_values(copy)))


async def note_fraction(tx: Tx, review_copy_id: str, fraction: float) -> None:
    """Notes how far a copy is that is being made."""
    running = (copies.c.review_copy_id == review_copy_id) & (copies.c.state == CopyState.RUNNING)
    await tx.execute(sa.update(copies).where(running).values(fraction=fraction))


async def locked_copy(tx: Tx, review_copy_id: str) -> ReviewCopy | None:
    """One copy of whichever organisation, locked until the transaction ends."""
    query = sa.select(copies).where(copies.c.review_copy_id == review_copy_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _copy(row)


async def copy_of(tx: Tx, organisation_id: str, review_copy_id: str) -> ReviewCopy:
    """One copy of an organisation.

    Raises:
        Refusal: REVIEW_COPY_NOT_FOUND.
    """
    mine = (copies.c.organisation_id == organisation_id) & (copies.c.review_copy_id == review_copy_id)
    row = (await tx.execute(sa.select(copies).where(mine))).one_or_none()
    if row is None:
        raise review_copy_not_found(review_copy_id)
    return _copy(row)


async def forgotten(tx: Tx, asked_before: datetime, limit: int = 100) -> Sequence[ReviewCopy]:
    """Copies that should be made long since, locked: the queue may have lost them."""
    query = sa.select(copies).where(copies.c.end_time.is_(None), copies.c.ask_time < asked_before)
    return [_copy(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def over(tx: Tx, ended_before: datetime, limit: int = 100) -> Sequence[ReviewCopy]:
    """Copies whose time is over, locked."""
    query = sa.select(copies).where(copies.c.end_time < ended_before)
    return [_copy(row) for row in await tx.execute(query.limit(limit).with_for_update(skip_locked=True))]


async def forget_copy(tx: Tx, review_copy_id: str) -> None:
    """Forgets a copy."""
    await tx.execute(sa.delete(copies).where(copies.c.review_copy_id == review_copy_id))


def _copy(row: sa.Row[tuple[Any, ...]]) -> ReviewCopy:
    values = row._asdict()
    return ReviewCopy(**{**values, "state": CopyState(values["state"])})


def _values(copy: ReviewCopy) -> dict[str, Any]:
    return {column.name: getattr(copy, column.name) for column in fields(copy)}
