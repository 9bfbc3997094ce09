"""The table of API keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.kit.pagination import Page

api_keys: Final = sa.Table(
    "api_keys",
    sa.MetaData(),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("key_sha256", sa.LargeBinary),
    sa.Column("prefix", sa.Text),
    sa.Column("display_name", sa.Text),
    sa.Column("permissions", ARRAY(sa.Text)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("use_time", sa.DateTime(timezone=True)),
    sa.Column("revoke_time", sa.DateTime(timezone=True)),
)
_KEPT_AFTER_END: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    key_id: str
    organisation_id: str
    key_sha256: bytes
    prefix: str
    display_name: str
    permissions: tuple[str, ...]
    create_time: datetime
    expire_time: datetime | None = None
    use_time: datetime | None = None
    revoke_time: datetime | None = None

    def works(self, now: datetime) -> bool:
        """Whether it lets anybody in."""
        return self.revoke_time is None and (self.expire_time is None or now < self.expire_time)

    def revoked(self, moment: datetime) -> ApiKey:
        """Revoked; as it is when it was before."""
        return self if self.revoke_time else replace(self, revoke_time=moment)


def read(row: sa.Row[tuple[Any, ...]]) -> ApiKey:
    """A row as a key."""
    values = row._asdict()
    return ApiKey(**{**values, "permissions": tuple(values["permissions"])})


async def find(tx: Tx, key_sha256: bytes) -> ApiKey | None:
    """The key with this digest; None when there is none."""
    row = (await tx.execute(sa.select(api_keys).where(api_keys.c.key_sha256 == key_sha256))).one_or_none()
    return None if row is None else read(row)


async def used(tx: Tx, key_id: str, now: datetime) -> None:
    """Notes the last use."""
    await tx.execute(sa.update(api_keys).where(api_keys.c.key_id == key_id).values(use_time=now))


async def add(tx: Tx, key: ApiKey) -> None:
    """Keeps a new key."""
    await tx.execute(sa.insert(api_keys).values(**{**asdict(key), "permissions": list(key.permissions)}))


async def find_by_id(tx: Tx, organisation_id: str, key_id: str) -> ApiKey | None:
    """One key of an organisation, locked; None when there is none."""
    query = sa.select(api_keys).where(api_keys.c.organisation_id == organisation_id, api_keys.c.key_id == key_id)
    row = (await tx.execute(query.with_for_update())).one_or_none()
    return None if row is None else read(row)


async def put_revoked(tx: Tx, key: ApiKey) -> None:
    """Keeps that a key was revoked."""
    await tx.execute(sa.update(api_keys).where(api_keys.c.key_id == key.key_id).values(revoke_time=key.revoke_time))


async def page(tx: Tx, organisation_id: str, now: datetime, part: Page) -> Sequence[ApiKey]:
    """One page of an organisation's keys, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(api_keys)
        .where(api_keys.c.organisation_id == organisation_id, sa.not_(_ended_before(now - _KEPT_AFTER_END)))
        .order_by(api_keys.c.key_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(api_keys.c.key_id < part.after)
    return [read(row) for row in await tx.execute(query)]


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes keys a month after they were revoked or expired."""
    await tx.execute(sa.delete(api_keys).where(_ended_before(now - _KEPT_AFTER_END)))


def _ended_before(moment: datetime) -> sa.ColumnElement[bool]:
    return sa.func.coalesce(sa.func.least(api_keys.c.revoke_time, api_keys.c.expire_time) < moment, sa.false())
