"""The table of assets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.assets.domain import Asset, Failure, Purpose, Stage, State
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()

assets: Final = sa.Table(
    "assets",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("state", sa.SmallInteger),
    sa.Column("update_time", sa.DateTime(timezone=True)),
    sa.Column("title", sa.Text),
    sa.Column("upload_id", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("sha256", sa.Text),
    sa.Column("commit_time", sa.DateTime(timezone=True)),
    sa.Column("delay_time", sa.DateTime(timezone=True)),
    sa.Column("hold_time", sa.DateTime(timezone=True)),
    sa.Column("clear_time", sa.DateTime(timezone=True)),
    sa.Column("probe_time", sa.DateTime(timezone=True)),
    sa.Column("media", JSONB(none_as_null=True)),
    sa.Column("transcode_time", sa.DateTime(timezone=True)),
    sa.Column("failure_stage", sa.SmallInteger),
    sa.Column("failure_reason", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("failure_time", sa.DateTime(timezone=True)),
    sa.Column("packaging_time", sa.DateTime(timezone=True)),
    sa.Column("package_id", sa.Text),
    sa.Column("publish_time", sa.DateTime(timezone=True)),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
    sa.Column("consent", sa.SmallInteger),
    sa.Column("consent_time", sa.DateTime(timezone=True)),
    sa.Column("purpose", sa.SmallInteger),
)
_SHOWN: Final = (assets.c.state != State.DELETED) & (assets.c.purpose == Purpose.TITLE)
"""What people see who ask for nothing in particular."""
_PLAIN: Final = tuple(field.name for field in fields(Asset) if field.name != "failure")


def _asset(row: sa.Row[tuple[Any, ...]]) -> Asset:
    values = row._asdict()
    failure = None
    if values["failure_stage"] is not None:
        failure = Failure(
            Stage(values["failure_stage"]), values["failure_reason"], values["failure_message"], values["failure_time"]
        )
    return Asset(**{name: values[name] for name in _PLAIN}, failure=failure)


def _values(asset: Asset) -> dict[str, Any]:
    failure = asset.failure
    return {name: getattr(asset, name) for name in _PLAIN} | {
        "state": asset.state,
        "failure_stage": failure.stage if failure else None,
        "failure_reason": failure.reason if failure else None,
        "failure_message": failure.message if failure else None,
        "failure_time": failure.time if failure else None,
    }


async def locked_or_new(tx: Tx, asset_id: str, organisation_id: str, now: datetime) -> Asset:
    """What is known of an asset, locked until the transaction ends; a blank one when it was never heard of."""
    blank = Asset(asset_id, organisation_id, version=0, update_time=now)
    await tx.execute(insert(assets).values(**_values(blank)).on_conflict_do_nothing())
    row = (await tx.execute(sa.select(assets).where(assets.c.asset_id == asset_id).with_for_update())).one()
    return _asset(row)


async def put(tx: Tx, asset: Asset) -> None:
    """Keeps the next state of an asset."""
    await tx.execute(sa.update(assets).where(assets.c.asset_id == asset.asset_id).values(**_values(asset)))


async def find(tx: Tx, asset_id: str, *, for_update: bool = False) -> Asset | None:
    """One asset of whichever organisation; None when it does not exist, or not yet."""
    query = sa.select(assets).where(assets.c.asset_id == asset_id, assets.c.commit_time.is_not(None))
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _asset(row)


async def page(tx: Tx, organisation_id: str, state: int, part: Page) -> Sequence[Asset]:
    """One page of an organisation's assets, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(assets)
        .where(assets.c.organisation_id == organisation_id, assets.c.commit_time.is_not(None))
        .where(assets.c.state == state if state else _SHOWN)
        .order_by(assets.c.asset_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(assets.c.asset_id < part.after)
    return [_asset(row) for row in await tx.execute(query)]


async def versions(tx: Tx, asset_ids: Collection[str]) -> Mapping[str, int]:
    """The versions of those of the assets that exist."""
    query = sa.select(assets.c.asset_id, assets.c.version).where(
        assets.c.asset_id == sa.func.any(sa.cast(list(asset_ids), sa.ARRAY(sa.Text))), assets.c.commit_time.is_not(None)
    )
    return {row.asset_id: row.version for row in await tx.execute(query)}
