"""What identity announced of people's devices and profiles.

A device that was revoked and a profile that was removed stay so, in whatever order the events come. Where an event has not arrived yet,
the access token says the same in identity's own words: it was signed after the fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from reelmesh.identity.v1 import profiles_pb2
from sqlalchemy.dialects.postgresql import insert

from services.kit.access import Principal
from services.kit.database import Tx, any_of

_METADATA: Final = sa.MetaData()

devices: Final = sa.Table(
    "devices",
    _METADATA,
    sa.Column("device_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("revoked", sa.Boolean),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
profiles: Final = sa.Table(
    "profiles",
    _METADATA,
    sa.Column("profile_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text),
    sa.Column("maturity", sa.SmallInteger),
    sa.Column("removed", sa.Boolean),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)

_DEVICES: Final = sa.select(devices).where(devices.c.device_id == any_of("device_ids")).order_by(devices.c.device_id)
_DEVICES_KEPT: Final = _DEVICES.with_for_update(read=True)
_LIMITS: Final = (
    sa.select(profiles.c.profile_id, profiles.c.account_id, profiles.c.maturity)
    .where(profiles.c.profile_id == any_of("profile_ids"), profiles.c.removed.is_(False))
    .order_by(profiles.c.profile_id)
)
_LIMITS_KEPT: Final = _LIMITS.with_for_update(read=True)

ADULT: Final = 99
"""Whoever may watch what is for adults may watch all: there is no rating above it."""
STRICTEST: Final = 0
"""Limit of a profile of which nothing is known: only what is for everybody."""
_AGES: Final = {
    profiles_pb2.MATURITY_RATING_ALL: 0,
    profiles_pb2.MATURITY_RATING_SEVEN: 7,
    profiles_pb2.MATURITY_RATING_TWELVE: 12,
    profiles_pb2.MATURITY_RATING_SIXTEEN: 16,
    profiles_pb2.MATURITY_RATING_EIGHTEEN: ADULT,
}
_BEFORE_ALL_EVENTS: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device that identity registered.

    Attributes:
        account_id: whose it is.
        revoked: whether it was revoked.
    """

    account_id: str
    revoked: bool


def age_of(rating: int) -> int:
    """Limit of a profile as an age, from a `MaturityRating`. One that is not known here is the strictest."""
    return _AGES.get(profiles_pb2.MaturityRating.ValueType(rating), STRICTEST)


async def devices_of(tx: Tx, device_ids: Sequence[str], *, kept: bool) -> Mapping[str, KnownDevice]:
    """What is known of devices, of those of which anything is.

    Args:
        tx: the transaction.
        device_ids: which.
        kept: they stay as they are until the transaction has ended, so that whoever revokes one finds the sessions that rest on it.
    """
    rows = await tx.execute(_DEVICES_KEPT if kept else _DEVICES, {"device_ids": list(device_ids)})
    return {row.device_id: KnownDevice(row.account_id, row.revoked) for row in rows}


async def limits_of(tx: Tx, profile_ids: Sequence[str], *, kept: bool) -> Mapping[tuple[str, str], int]:
    """What profiles may watch at most, as an age, by profile and account; nothing of one that is removed or not known.

    Args:
        tx: the transaction.
        profile_ids: which.
        kept: as for devices.
    """
    rows = await tx.execute(_LIMITS_KEPT if kept else _LIMITS, {"profile_ids": list(profile_ids)})
    return {(row.profile_id, row.account_id): int(row.maturity) for row in rows}


async def keep_device(tx: Tx, device_id: str, account_id: str, moment: datetime, *, revoked: bool) -> None:
    """Keeps that a device was registered or revoked. What was revoked is never registered again: it comes back as another device."""
    values = {"account_id": account_id, "revoked": revoked, "event_time": moment}
    statement = insert(devices).values(device_id=device_id, **values)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["device_id"], set_=values, where=sa.or_(devices.c.revoked.is_(False), sa.literal(revoked))
        )
    )


async def keep_profile(tx: Tx, profile_id: str, account_id: str, maturity: int, moment: datetime) -> None:
    """Keeps what a profile may watch, unless something later is known."""
    values = {"account_id": account_id, "maturity": maturity, "removed": False, "event_time": moment}
    statement = insert(profiles).values(profile_id=profile_id, **values)
    later = sa.and_(profiles.c.removed.is_(False), profiles.c.event_time <= moment)
    await tx.execute(statement.on_conflict_do_update(index_elements=["profile_id"], set_=values, where=later))


async def remove_profile(tx: Tx, profile_id: str, account_id: str, moment: datetime) -> None:
    """Keeps that a profile was removed, also when it was not heard of yet."""
    values = {"account_id": account_id, "maturity": STRICTEST, "removed": True, "event_time": moment}
    statement = insert(profiles).values(profile_id=profile_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["profile_id"], set_=values))


async def take_word(tx: Tx, person: Principal) -> None:
    """Keeps what a person's access token says of device and profile, where no event has told yet. Every event counts for more."""
    if person.device_id:
        told = {"device_id": person.device_id, "account_id": person.account_id, "revoked": False}
        await tx.execute(insert(devices).values(**told, event_time=_BEFORE_ALL_EVENTS).on_conflict_do_nothing())
    if person.profile_id and person.profile_maturity:
        limited = {"profile_id": person.profile_id, "account_id": person.account_id, "removed": False}
        maturity = age_of(person.profile_maturity)
        statement = insert(profiles).values(**limited, maturity=maturity, event_time=_BEFORE_ALL_EVENTS)
        await tx.execute(statement.on_conflict_do_nothing())


async def forget(tx: Tx, *, devices_before: datetime, profiles_before: datetime) -> None:
    """Removes devices that were revoked and profiles that were removed before a moment."""
    await tx.execute(sa.delete(devices).where(devices.c.revoked, devices.c.event_time < devices_before))
    await tx.execute(sa.delete(profiles).where(profiles.c.removed, profiles.c.event_time < profiles_before))
