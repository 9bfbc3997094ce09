"""The table of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx

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
