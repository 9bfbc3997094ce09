"""The table of devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.identity.devices.domain import Device
from services.kit.database import Tx
from services.kit.pagination import Page

devices: Final = sa.Table(
    "devices",
    sa.MetaData(),
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("display_name", sa.Text),
    sa.Column("platform", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("key_thumbprint", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("use_time", sa.DateTime(timezone=True)),
    sa.Column("revoke_time", sa.DateTime(timezone=True)),
)
_KEPT_AFTER_END: Final = timedelta(days=30)


def _device(row: sa.Row[tuple[Any, ...]]) -> Device:
    return Device(**row._asdict())


async def add(tx: Tx, device: Device) -> None:
    """Keeps a new device."""
    await tx.execute(sa.insert(devices).values(**asdict(device)))


async def put(tx: Tx, device: Device) -> None:
    """Keeps the next state of a device."""
    await tx.execute(sa.update(devices).where(devices.c.device_id == device.device_id).values(**asdict(device)))


async def find(tx: Tx, device_id: str, *, for_update: bool = False) -> Device | None:
    """One device, revoked or not; None when there is none."""
    query = sa.select(devices).where(devices.c.device_id == device_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _device(row)


async def of_account(tx: Tx, account_id: str) -> Sequence[Device]:
    """All devices of an account that are not revoked. They are few."""
    query = sa.select(devices).where(devices.c.account_id == account_id, devices.c.revoke_time.is_(None))
    return [_device(row) for row in await tx.execute(query)]


async def page(tx: Tx, account_id: str, part: Page) -> Sequence[Device]:
    """One page of an account's devices that are not revoked, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(devices)
        .where(devices.c.account_id == account_id, devices.c.revoke_time.is_(None))
        .order_by(devices.c.device_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(devices.c.device_id < part.after)
    return [_device(row) for row in await tx.execute(query)]


async def seen(tx: Tx, device_id: str, now: datetime) -> None:
    """Notes that a device is in use."""
    await tx.execute(sa.update(devices).where(devices.c.device_id == device_id).values(use_time=now))


async def forget_old(tx: Tx, now: datetime) -> None:
    """Removes devices a month after they were revoked."""
    await tx.execute(sa.delete(devices).where(devices.c.revoke_time < now - _KEPT_AFTER_END))
