"""Tables of keys. Nothing in them opens without the root key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
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
)

content_keys: Final = sa.Table(
    "content_keys",
    _METADATA,
    sa.Column("key_id", sa.LargeBinary, primary_key=True),
    sa.Column("package_id", sa.Text),
    sa.Column("label", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kek_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("sealed", sa.LargeBinary),
)


@dataclass(frozen=True, slots=True)
class WrappedKek:
    """A key-encryption key as stored.

    Attributes:
        generation: counts an organisation's key-encryption keys from 1; the newest seals, older ones only open.
    """

    kek_id: str
    organisation_id: str
    generation: int
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A content key as stored.

    Attributes:
        version: counts how often the key of this id was sealed, from 1.
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
    """The key-encryption key that seals an organisation's new keys; None when it has none yet."""
    query = sa.select(*_KEK).where(key_encryption_keys.c.organisation_id == organisation_id)
    row = (await tx.execute(query.order_by(key_encryption_keys.c.generation.desc()).limit(1))).one_or_none()
    return None if row is None else WrappedKek(**row._asdict())


async def kek(tx: Tx, kek_id: str) -> WrappedKek:
    """One key-encryption key."""
    return WrappedKek(
        **(await tx.execute(sa.select(*_KEK).where(key_encryption_keys.c.kek_id == kek_id))).one()._asdict()
    )


async def add_kek(tx: Tx, new: WrappedKek) -> None:
    """Keeps a key-encryption key, unless the organisation has one of this generation."""
    await tx.execute(insert(key_encryption_keys).values(**asdict(new)).on_conflict_do_nothing())


async def add_keys(tx: Tx, new: Sequence[SealedKey]) -> None:
    """Keeps content keys; where a package has one of this label, that one stays."""
    # Always in one order: two callers at the same time then wait for each other and do not lock each other out.
    rows = [asdict(key) for key in sorted(new, key=lambda key: key.label)]
    await tx.execute(
        insert(content_keys)
        .values(rows)
        .on_conflict_do_nothing(index_elements=[content_keys.c.package_id, content_keys.c.label])
    )


async def keys_by_label(tx: Tx, package_id: str, labels: Sequence[str]) -> dict[str, SealedKey]:
    """Keys of a package by their labels."""
    query = sa.select(*_SEALED).where(content_keys.c.package_id == package_id, content_keys.c.label.in_(labels))
    return {row.label: SealedKey(**row._asdict()) for row in await tx.execute(query)}


async def keys_by_id(tx: Tx, package_id: str, key_ids: Sequence[bytes]) -> dict[bytes, SealedKey]:
    """Keys of a package by their ids."""
    query = sa.select(*_SEALED).where(content_keys.c.key_id.in_(key_ids), content_keys.c.package_id == package_id)
    return {row.key_id: SealedKey(**row._asdict()) for row in await tx.execute(query)}


async def keys_of(tx: Tx, package_id: str) -> dict[bytes, SealedKey]:
    """All keys of a package by their ids, in the order of their labels."""
    query = sa.select(*_SEALED).where(content_keys.c.package_id == package_id).order_by(content_keys.c.label)
    return {row.key_id: SealedKey(**row._asdict()) for row in await tx.execute(query)}
