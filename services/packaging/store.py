"""The tables of packages and of deleted assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.database import Tx
from services.kit.pagination import Page
from services.packaging.domain import Package, Scheme, State, not_found

_METADATA: Final = sa.MetaData()

packages: Final = sa.Table(
    "packages",
    _METADATA,
    sa.Column("package_id", sa.Text, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("job_id", sa.Text),
    sa.Column("source", sa.LargeBinary),
    sa.Column("state", sa.SmallInteger),
    sa.Column("scheme", sa.SmallInteger),
    sa.Column("attempt", sa.Integer),
    sa.Column("lease_until", sa.DateTime(timezone=True)),
    sa.Column("ask_time", sa.DateTime(timezone=True)),
    sa.Column("failures", sa.Integer),
    sa.Column("losses", sa.Integer),
    sa.Column("replaces", sa.Text),
    sa.Column("track_keys", JSONB),
    sa.Column("dash_path", sa.Text),
    sa.Column("hls_path", sa.Text),
    sa.Column("poster_path", sa.Text),
    sa.Column("thumbnails_path", sa.Text),
    sa.Column("duration_seconds", sa.Double),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("failure_reason", sa.Text),
    sa.Column("failure_message", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("publish_time", sa.DateTime(timezone=True)),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
    sa.Column("remove_time", sa.DateTime(timezone=True)),
    sa.Column("watermark_colluders", sa.SmallInteger),
    sa.Column("watermark_segments", sa.Integer),
)

deleted_assets: Final = sa.Table(
    "deleted_assets",
    _METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
)


def _package(row: sa.Row[tuple[Any, ...]]) -> Package:
    values = row._asdict()
    return Package(**{**values, "state": State(values["state"]), "scheme": Scheme(values["scheme"])})


def _values(package: Package) -> dict[str, Any]:
    return {column.name: getattr(package, column.name) for column in fields(package)}


async def add(tx: Tx, package: Package) -> bool:
    """Keeps a new package. False when its job has one already, or when the package that it replaces has a successor."""
    added = await tx.execute(
        insert(packages).values(**_values(package)).on_conflict_do_nothing(index_elements=["job_id", "replaces"])
    )
    return bool(added.rowcount)


async def put(tx: Tx, package: Package) -> None:
    """Keeps the next state of a package."""
    query = sa.update(packages).where(packages.c.package_id == package.package_id)
    await tx.execute(query.values(**_values(package)))


async def locked(tx: Tx, package_id: str) -> Package | None:
    """One package of whichever organisation, locked until the transaction ends."""
    query = sa.select(packages).where(packages.c.package_id == package_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _package(row)


async def successor_of(tx: Tx, package: Package) -> Package:
    """The package that takes the place of one that has a successor, locked."""
    query = sa.select(packages).where(packages.c.job_id == package.job_id, packages.c.replaces == package.package_id)
    return _package((await tx.execute(query.with_for_update())).one())


async def renew(tx: Tx, package_id: str, attempt: int, until: datetime) -> bool:
    """Prolongs the lease of an attempt. False when it is none any more."""
    renewed = await tx.execute(
        sa.update(packages)
        .where(packages.c.package_id == package_id, packages.c.attempt == attempt, packages.c.lease_until.is_not(None))
        .where(packages.c.state == State.PACKAGING, packages.c.delete_time.is_(None))
        .values(lease_until=until)
    )
    return bool(renewed.rowcount)


async def forgotten(tx: Tx, now: datetime, asked_before: datetime, limit: int = 100) -> Sequence[Package]:
    """Packages that were asked for long ago and that no worker has, locked."""
    query = (
        sa.select(packages)
        .where(packages.c.state == State.PACKAGING, packages.c.delete_time.is_(None))
        .where(packages.c.ask_time < asked_before, sa.func.coalesce(packages.c.lease_until, asked_before) < now)
        .order_by(packages.c.ask_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_package(row) for row in await tx.execute(query)]


async def get(tx: Tx, organisation_id: str, package_id: str) -> Package:
    """One package of an organisation.

    Raises:
        Refusal: PACKAGE_NOT_FOUND.
    """
    row = (await tx.execute(_visible(organisation_id).where(packages.c.package_id == package_id))).one_or_none()
    if row is None:
        raise not_found(package_id)
    return _package(row)


async def page(tx: Tx, organisation_id: str, asset_id: str, part: Page) -> Sequence[Package]:
    """One page of an organisation's packages, newest first, and one more to tell whether there is another page."""
    query = _visible(organisation_id).order_by(packages.c.package_id.desc()).limit(part.size + 1)
    if asset_id:
        query = query.where(packages.c.asset_id == asset_id)
    if part.after:
        query = query.where(packages.c.package_id < part.after)
    return [_package(row) for row in await tx.execute(query)]


def _visible(organisation_id: str) -> sa.Select[tuple[Any, ...]]:
    return sa.select(packages).where(packages.c.organisation_id == organisation_id, packages.c.delete_time.is_(None))


async def is_deleted(tx: Tx, asset_id: str) -> bool:
    """Whether an asset was deleted; waits for whoever is deciding that just now."""
    await _one_at_a_time(tx, asset_id)
    query = sa.select(deleted_assets.c.asset_id).where(deleted_assets.c.asset_id == asset_id)
    return (await tx.execute(query)).one_or_none() is not None


async def delete_asset(tx: Tx, asset_id: str, now: datetime) -> Sequence[Package]:
    """Notes that an asset was deleted. Returns its packages, locked."""
    await _one_at_a_time(tx, asset_id)
    await tx.execute(insert(deleted_assets).values(asset_id=asset_id, delete_time=now).on_conflict_do_nothing())
    query = sa.select(packages).where(packages.c.asset_id == asset_id).order_by(packages.c.package_id)
    return [_package(row) for row in await tx.execute(query.with_for_update())]


async def to_remove(tx: Tx, deleted_before: datetime, limit: int = 20) -> Sequence[Package]:
    """Packages whose files are to go, locked; those that someone else works on are left out."""
    query = (
        sa.select(packages)
        .where(packages.c.delete_time < deleted_before, packages.c.remove_time.is_(None))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_package(row) for row in await tx.execute(query)]


async def _one_at_a_time(tx: Tx, asset_id: str) -> None:
    # An asset may be deleted before its first package is heard of, so there may be no row to lock.
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(asset_id, 0))))
