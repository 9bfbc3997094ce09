"""Registered devices, as identity announces them: by its key a device is known, whatever is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from reelmesh.identity.v1 import events_pb2 as identity
from sqlalchemy.dialects.postgresql import insert

from services.kit import events
from services.kit.database import Tx
from services.policy.domain import Wanted

_METADATA: Final = sa.MetaData()

devices: Final = sa.Table(
    "devices",
    _METADATA,
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("key_thumbprint", sa.Text),
    sa.Column("revoked", sa.Boolean),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)


async def proven(tx: Tx, wanted: Wanted) -> Wanted:
    """What is wanted, with the device whose key the viewer proved to hold. A key of no registered device proves nothing of a person; of the
    viewer of another system, that system knows."""
    if not wanted.person or not wanted.key_thumbprint:
        return wanted
    query = sa.select(devices.c.device_id).where(
        devices.c.account_id == wanted.viewer_id,
        devices.c.key_thumbprint == wanted.key_thumbprint,
        devices.c.revoked.is_(False),
    )
    device_id = (await tx.execute(query.order_by(devices.c.change_time.desc()).limit(1))).scalar_one_or_none()
    if device_id is None:
        return replace(wanted, key_thumbprint="")
    return replace(wanted, device_id=device_id)


def handlers() -> dict[type, events.Handler]:
    """Each kind of event with its handler."""
    return {identity.DeviceRegistered: _registered, identity.DeviceRevoked: _revoked}


async def _registered(tx: Tx, data: bytes) -> None:
    event = identity.DeviceRegistered.FromString(data)
    await _keep(tx, event, revoked=False, moment=event.register_time.ToDatetime(UTC))


async def _revoked(tx: Tx, data: bytes) -> None:
    event = identity.DeviceRevoked.FromString(data)
    await _keep(tx, event, revoked=True, moment=event.revoke_time.ToDatetime(UTC))


async def _keep(
    tx: Tx, event: identity.DeviceRegistered | identity.DeviceRevoked, *, revoked: bool, moment: datetime
) -> None:
    """Keeps what was announced last, in whichever order it arrives."""
    new = insert(devices).values(
        device_id=event.device_id,
        account_id=event.account_id,
        key_thumbprint=event.key_thumbprint,
        revoked=revoked,
        change_time=moment,
    )
    await tx.execute(
        new.on_conflict_do_update(
            index_elements=[devices.c.device_id],
            set_={name: new.excluded[name] for name in ("account_id", "key_thumbprint", "revoked", "change_time")},
            where=devices.c.change_time <= new.excluded.change_time,
        )
    )
