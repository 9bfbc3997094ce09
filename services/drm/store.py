"""Tables of keys. Nothing in them opens without the root key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx

_METADATA: Final = sa.MetaData()

key_encryption_keys: Final = sa.Table(
    "key_encryption_keys",
    _METADATA,
    sa.Column("kek_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("generation", sa.Integer),
    sa.Column("wrapped", sa.LargeBinary),
    sa.Column("root_id", sa.Text),
    sa.Column("check_value", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("retire_time", sa.DateTime(timezone=True)),
    sa.Column("destroy_time", sa.DateTime(timezone=True)),
)

content_keys: Final = sa.Table(
    "content_keys",
    _METADATA,
    sa.Column("key_id", sa.LargeBinary, primary_key=True),
    sa.Column("package_id", sa.Text, primary_key=True),
    sa.Column("label", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kek_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("revoke_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class WrappedKek:
    """A key-encryption key as stored.

    Attributes:
        generation: counts an organisation's key-encryption keys from 1; the newest seals, older ones only open.
        root_id: names the root key that wraps it; empty where an older release wrapped it.
        check_value: seals nothing, bound to `kek_id`: only the right key opens it. Empty where an older release made the key.
    """

    kek_id: str
    organisation_id: str
    generation: int
    wrapped: bytes
    root_id: str = ""
    check_value: bytes = b""


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A content key as stored.

    Attributes:
        version: counts how often the key of this id was sealed, from 1.
        sealed: empty once it was destroyed.
    """

    key_id: bytes
    package_id: str
    label: str
    organisation_id: str
    kek_id: str
    version: int
    sealed: bytes

    @property
    def bound_to(self) -> bytes:
        """What the seal is bound to, so that a row cannot stand in for another."""
        return f"{self.organisation_id}|{self.key_id.hex()}|{self.version}".encode()


_SEALED: Final = [content_keys.c[field.name] for field in fields(SealedKey)]
_KEK: Final = [key_encryption_keys.c[field.name] for field in fields(WrappedKek)]


async def newest_kek(tx: Tx, organisation_id: str) -> WrappedKek | None:
    """The key-encryption key that seals an organisation's new keys; None when it has none yet. It is not retired before this transaction
    ends, so that a rotation finds all that it sealed."""
    query = (
        sa.select(*_KEK)
        .where(key_encryption_keys.c.organisation_id == organisation_id, key_encryption_keys.c.retire_time.is_(None))
        .order_by(key_encryption_keys.c.generation.desc())
        .limit(1)
        .with_for_update(read=True)
    )
    # Whoever waits here for a rotation to begin finds the row retired, so none; the second look finds its successor.
    for _ in range(2):
        row = (await tx.execute(query)).one_or_none()
        if row is not None:
            return WrappedKek(**row._asdict())
    return None


async def newest_generation(tx: Tx, organisation_id: str) -> int:
    """Generation of an organisation's newest key-encryption key; 0 when it has none."""
    query = sa.select(sa.func.coalesce(sa.func.max(key_encryption_keys.c.generation), 0))
    return int((await tx.execute(query.where(key_encryption_keys.c.organisation_id == organisation_id))).scalar_one())


async def kek(tx: Tx, kek_id: str) -> WrappedKek:
    """One key-encryption key."""
    return WrappedKek(
        **(await tx.execute(sa.select(*_KEK).where(key_encryption_keys.c.kek_id == kek_id))).one()._asdict()
    )


async def add_kek(tx: Tx, new: WrappedKek, now: datetime) -> bool:
    """Keeps a key-encryption key, unless the organisation has one of this generation; tells which."""
    statement = insert(key_encryption_keys).values(**asdict(new), create_time=now).on_conflict_do_nothing()
    return bool((await tx.execute(statement)).rowcount)


async def add_keys(tx: Tx, new: Sequence[SealedKey]) -> None:
    """Keeps content keys; where a package has one of this label or id, that one stays."""
    # Always in one order: two callers at the same time then wait for each other and do not lock each other out.
    rows = [asdict(key) for key in sorted(new, key=lambda key: key.label)]
    await tx.execute(insert(content_keys).values(rows).on_conflict_do_nothing())


async def keys_by_label(tx: Tx, package_id: str, labels: Sequence[str]) -> dict[str, SealedKey]:
    """Keys of a package by their labels, also such as were destroyed."""
    query = sa.select(*_SEALED).where(content_keys.c.package_id == package_id, content_keys.c.label.in_(labels))
    return {row.label: SealedKey(**row._asdict()) for row in await tx.execute(query)}


async def keys_by_id(tx: Tx, package_id: str, key_ids: Sequence[bytes]) -> dict[bytes, SealedKey]:
    """Keys of a package by their ids, without those that were destroyed."""
    query = sa.select(*_SEALED).where(
        content_keys.c.key_id.in_(key_ids),
        content_keys.c.package_id == package_id,
        content_keys.c.revoke_time.is_(None),
    )
    return {row.key_id: SealedKey(**row._asdict()) for row in await tx.execute(query)}


async def kek_locked(tx: Tx, kek_id: str) -> WrappedKek | None:
    """One key-encryption key, locked until the transaction ends; None when there is none."""
    query = sa.select(*_KEK).where(key_encryption_keys.c.kek_id == kek_id).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else WrappedKek(**row._asdict())


async def rewrap_kek(tx: Tx, kek_id: str, wrapped: bytes, root_id: str, check_value: bytes) -> None:
    """Keeps a key-encryption key as another root key wraps it."""
    await tx.execute(
        sa.update(key_encryption_keys)
        .where(key_encryption_keys.c.kek_id == kek_id)
        .values(wrapped=wrapped, root_id=root_id, check_value=check_value)
    )


async def live_keks(tx: Tx) -> Sequence[WrappedKek]:
    """Every key-encryption key of the install that is not destroyed."""
    query = sa.select(*_KEK).where(key_encryption_keys.c.destroy_time.is_(None))
    return [WrappedKek(**row._asdict()) for row in await tx.execute(query.order_by(key_encryption_keys.c.kek_id))]


async def keks_of_other_roots(tx: Tx, root_id: str, but: Sequence[str], limit: int) -> Sequence[WrappedKek]:
    """Key-encryption keys, `but` some, that another root key wraps, or of which that is not known, locked."""
    table = key_encryption_keys.c
    query = sa.select(*_KEK).where(
        table.destroy_time.is_(None),
        table.kek_id.not_in(but),
        sa.or_(table.root_id != root_id, sa.func.octet_length(table.check_value) == 0),
    )
    rows = await tx.execute(query.order_by(table.kek_id).limit(limit).with_for_update(skip_locked=True))
    return [WrappedKek(**row._asdict()) for row in rows]


async def destroy_idle_keks(tx: Tx, retired_before: datetime, now: datetime) -> Sequence[WrappedKek]:
    """Destroys key-encryption keys that seal nothing any more since a moment, and returns them as they are then."""
    table = key_encryption_keys.c
    used = sa.select(content_keys.c.key_id).where(
        content_keys.c.kek_id == table.kek_id, content_keys.c.revoke_time.is_(None)
    )
    statement = (
        sa.update(key_encryption_keys)
        .where(table.retire_time < retired_before, table.destroy_time.is_(None), ~used.exists())
        .values(wrapped=b"", destroy_time=now)
        .returning(*_KEK)
    )
    return [WrappedKek(**row._asdict()) for row in await tx.execute(statement)]


async def keys_of(tx: Tx, package_id: str) -> dict[bytes, SealedKey]:
    """All keys of a package that are in force by their ids, in the order of their labels."""
    query = sa.select(*_SEALED).where(content_keys.c.package_id == package_id, content_keys.c.revoke_time.is_(None))
    return {row.key_id: SealedKey(**row._asdict()) for row in await tx.execute(query.order_by(content_keys.c.label))}


async def revoke_keys(tx: Tx, package_id: str, now: datetime) -> Sequence[SealedKey]:
    """Destroys the content keys of a package, and returns what is left of them: their ids."""
    statement = (
        sa.update(content_keys)
        .where(content_keys.c.package_id == package_id, content_keys.c.revoke_time.is_(None))
        .values(sealed=b"", revoke_time=now)
        .returning(*_SEALED)
    )
    return sorted((SealedKey(**row._asdict()) for row in await tx.execute(statement)), key=lambda key: key.key_id)
