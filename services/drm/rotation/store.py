"""The table of rotations, and what they do to keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.drm.emergency.store import emergency_titles
from services.drm.rotation.domain import Rotation, State, rotation_not_found
from services.drm.store import SealedKey, content_keys, key_encryption_keys
from services.kit.database import Tx
from services.kit.pagination import Page

key_rotations: Final = sa.Table(
    "key_rotations",
    sa.MetaData(),
    sa.Column("rotation_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("state", sa.SmallInteger),
    sa.Column("reason", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("kek_id", sa.Text),
    sa.Column("keys_total", sa.BigInteger),
    sa.Column("keys_done", sa.BigInteger),
    sa.Column("stop_at_once", sa.Boolean),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("rewrap_time", sa.DateTime(timezone=True)),
    sa.Column("first_title_time", sa.DateTime(timezone=True)),
    sa.Column("complete_time", sa.DateTime(timezone=True)),
)
_ALL: Final = [key_rotations.c[field.name] for field in fields(Rotation)]
_SEALED: Final = [content_keys.c[field.name] for field in fields(SealedKey)]


@dataclass(frozen=True, slots=True)
class KekRecord:
    """What may be told of a key-encryption key."""

    kek_id: str
    organisation_id: str
    generation: int
    root_id: str
    content_keys: int
    create_time: datetime
    retire_time: datetime | None
    destroy_time: datetime | None


async def one_at_a_time(tx: Tx, organisation_id: str) -> None:
    """Waits for whoever changes the keys of this organisation just now."""
    lock = sa.func.hashtextextended(f"rotation {organisation_id}", 0)
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


async def add(tx: Tx, rotation: Rotation) -> None:
    """Keeps a new rotation."""
    await tx.execute(sa.insert(key_rotations).values(**asdict(rotation)))


async def put(tx: Tx, rotation: Rotation) -> None:
    """Keeps the next state of a rotation."""
    query = sa.update(key_rotations).where(key_rotations.c.rotation_id == rotation.rotation_id)
    await tx.execute(query.values(**asdict(rotation)))


async def locked(tx: Tx, rotation_id: str) -> Rotation:
    """One rotation, locked until the transaction ends."""
    query = sa.select(*_ALL).where(key_rotations.c.rotation_id == rotation_id).with_for_update()
    return Rotation(**(await tx.execute(query)).one()._asdict())


async def known(tx: Tx, rotation_id: str) -> Rotation:
    """One rotation of whichever organisation."""
    query = sa.select(*_ALL).where(key_rotations.c.rotation_id == rotation_id)
    return Rotation(**(await tx.execute(query)).one()._asdict())


async def get(tx: Tx, organisation_id: str, rotation_id: str) -> Rotation:
    """One rotation of an organisation.

    Raises:
        Refusal: ROTATION_NOT_FOUND.
    """
    query = sa.select(*_ALL).where(
        key_rotations.c.rotation_id == rotation_id, key_rotations.c.organisation_id == organisation_id
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise rotation_not_found(rotation_id)
    return Rotation(**row._asdict())


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[Rotation]:
    """One page of an organisation's rotations, newest first, and one more to tell whether there is another page."""
    query = sa.select(*_ALL).where(key_rotations.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(key_rotations.c.rotation_id < part.after)
    rows = await tx.execute(query.order_by(key_rotations.c.rotation_id.desc()).limit(part.size + 1))
    return [Rotation(**row._asdict()) for row in rows]


async def rewrapping(tx: Tx, organisation_id: str) -> Rotation | None:
    """The rotation that seals an organisation's content keys anew now, locked; None when none does."""
    query = sa.select(*_ALL).where(
        key_rotations.c.organisation_id == organisation_id, key_rotations.c.state == int(State.REWRAPPING)
    )
    row = (await tx.execute(query.with_for_update())).one_or_none()
    return None if row is None else Rotation(**row._asdict())


async def unfinished(tx: Tx) -> Sequence[str]:
    """Rotations of the install that seal content keys anew, oldest first."""
    query = sa.select(key_rotations.c.rotation_id).where(key_rotations.c.state == int(State.REWRAPPING))
    return list((await tx.execute(query.order_by(key_rotations.c.rotation_id))).scalars())


async def retire_keks(tx: Tx, organisation_id: str, now: datetime) -> None:
    """Nothing new is sealed by what an organisation has. Waits for whoever seals something just now."""
    await tx.execute(
        sa.update(key_encryption_keys)
        .where(key_encryption_keys.c.organisation_id == organisation_id, key_encryption_keys.c.retire_time.is_(None))
        .values(retire_time=now)
    )


async def due(tx: Tx, made_before: datetime) -> Sequence[str]:
    """Organisations whose newest key-encryption key is older than a moment, and which no rotation has in hand."""
    running = sa.select(key_rotations.c.rotation_id).where(
        key_rotations.c.organisation_id == key_encryption_keys.c.organisation_id,
        key_rotations.c.state == int(State.REWRAPPING),
    )
    query = sa.select(key_encryption_keys.c.organisation_id).where(
        key_encryption_keys.c.retire_time.is_(None),
        key_encryption_keys.c.create_time <= made_before,
        ~running.exists(),
    )
    return list((await tx.execute(query.order_by(key_encryption_keys.c.create_time))).scalars())


async def count(tx: Tx, organisation_id: str) -> int:
    """Content keys of an organisation that are in force."""
    query = sa.select(sa.func.count()).where(
        content_keys.c.organisation_id == organisation_id, content_keys.c.revoke_time.is_(None)
    )
    return int((await tx.execute(query)).scalar_one())


async def sealed_otherwise(tx: Tx, rotation: Rotation, limit: int) -> Sequence[SealedKey]:
    """Content keys of the rotation's organisation that another key-encryption key seals, locked."""
    query = (
        sa.select(*_SEALED)
        .where(
            content_keys.c.organisation_id == rotation.organisation_id,
            content_keys.c.kek_id != rotation.kek_id,
            content_keys.c.revoke_time.is_(None),
        )
        .order_by(content_keys.c.package_id, content_keys.c.label)
        .limit(limit)
        .with_for_update()
    )
    return [SealedKey(**row._asdict()) for row in await tx.execute(query)]


async def reseal(tx: Tx, keys: Sequence[SealedKey]) -> None:
    """Keeps content keys as they are sealed now."""
    statement = (
        sa.update(content_keys)
        .where(content_keys.c.package_id == sa.bindparam("of_package"), content_keys.c.key_id == sa.bindparam("of_key"))
        .values(kek_id=sa.bindparam("by_kek"), version=sa.bindparam("now_version"), sealed=sa.bindparam("as_sealed"))
    )
    await tx.execute(
        statement,
        [
            {
                "of_package": key.package_id,
                "of_key": key.key_id,
                "by_kek": key.kek_id,
                "now_version": key.version,
                "as_sealed": key.sealed,
            }
            for key in keys
        ],
    )


async def forget(tx: Tx, before: datetime) -> None:
    """Removes rotations that were complete before a moment, with their titles, and what is left of content keys destroyed before it."""
    over = sa.select(key_rotations.c.rotation_id).where(key_rotations.c.complete_time < before)
    await tx.execute(sa.delete(emergency_titles).where(emergency_titles.c.rotation_id.in_(over)))
    await tx.execute(sa.delete(key_rotations).where(key_rotations.c.complete_time < before))
    await tx.execute(sa.delete(content_keys).where(content_keys.c.revoke_time < before))


async def keks_page(tx: Tx, organisation_id: str, part: Page) -> Sequence[KekRecord]:
    """One page of an organisation's key-encryption keys, newest first, and one more to tell whether there is another page."""
    table = key_encryption_keys.c
    sealed = (
        sa.select(sa.func.count())
        .where(content_keys.c.kek_id == table.kek_id, content_keys.c.revoke_time.is_(None))
        .scalar_subquery()
    )
    query = sa.select(
        table.kek_id,
        table.organisation_id,
        table.generation,
        table.root_id,
        sealed.label("content_keys"),
        table.create_time,
        table.retire_time,
        table.destroy_time,
    ).where(table.organisation_id == organisation_id)
    if part.after:
        query = query.where(table.kek_id < part.after)
    rows = await tx.execute(query.order_by(table.kek_id.desc()).limit(part.size + 1))
    return [KekRecord(**row._asdict()) for row in rows]
