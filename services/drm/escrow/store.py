"""Tables of the escrow: its public key, its private key under the secret that the shares hold, and what is encrypted to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.drm.store import WrappedKek, key_encryption_keys
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()


@dataclass(frozen=True, slots=True)
class Escrow:
    """One escrow.

    Attributes:
        public_key: RSA, DER of SubjectPublicKeyInfo.
        sealed_private_key: DER of PKCS #8, sealed under the secret that the shares hold.
        threshold: how many shares open it.
        share_count: how many there are.
    """

    escrow_id: str
    public_key: bytes
    sealed_private_key: bytes
    threshold: int
    share_count: int
    actor: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Escrowed:
    """A key-encryption key, encrypted to the escrow."""

    kek_id: str
    organisation_id: str
    encrypted: bytes
    check_value: bytes


key_escrows: Final = sa.Table(
    "key_escrows",
    _METADATA,
    sa.Column("escrow_id", sa.Text, primary_key=True),
    sa.Column("public_key", sa.LargeBinary),
    sa.Column("sealed_private_key", sa.LargeBinary),
    sa.Column("threshold", sa.SmallInteger),
    sa.Column("share_count", sa.SmallInteger),
    sa.Column("actor", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)

escrowed_keys: Final = sa.Table(
    "escrowed_keys",
    _METADATA,
    sa.Column("escrow_id", sa.Text, primary_key=True),
    sa.Column("kek_id", sa.Text, primary_key=True),
    sa.Column("encrypted", sa.LargeBinary),
)
_ESCROW: Final = [key_escrows.c[field.name] for field in fields(Escrow)]


async def current(tx: Tx) -> Escrow | None:
    """The escrow in force. It stays so until this transaction ends, so that no new key is missed by a successor."""
    query = sa.select(*_ESCROW).order_by(key_escrows.c.escrow_id.desc()).limit(1).with_for_update(read=True)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Escrow(**row._asdict())


async def take_up(tx: Tx, escrow: Escrow) -> None:
    """Keeps an escrow in place of any other: what is encrypted to those goes, so that their shares open nothing here any more."""
    await tx.execute(sa.delete(key_escrows))
    await tx.execute(sa.insert(key_escrows).values(**asdict(escrow)))


async def keep(tx: Tx, escrow_id: str, encrypted: Mapping[str, bytes]) -> None:
    """Keeps keys, by id, that are encrypted to an escrow."""
    rows = [{"escrow_id": escrow_id, "kek_id": kek_id, "encrypted": value} for kek_id, value in encrypted.items()]
    if rows:
        await tx.execute(insert(escrowed_keys).values(rows).on_conflict_do_nothing())


async def forget(tx: Tx, kek_ids: Sequence[str]) -> None:
    """Removes keys that were destroyed."""
    await tx.execute(sa.delete(escrowed_keys).where(escrowed_keys.c.kek_id.in_(kek_ids)))


async def missing(tx: Tx, escrow_id: str) -> Sequence[WrappedKek]:
    """Key-encryption keys that are not encrypted to the escrow yet."""
    there = sa.select(escrowed_keys.c.kek_id).where(
        escrowed_keys.c.escrow_id == escrow_id, escrowed_keys.c.kek_id == key_encryption_keys.c.kek_id
    )
    columns = [key_encryption_keys.c[field.name] for field in fields(WrappedKek)]
    query = sa.select(*columns).where(key_encryption_keys.c.destroy_time.is_(None), ~there.exists())
    return [WrappedKek(**row._asdict()) for row in await tx.execute(query.order_by(key_encryption_keys.c.kek_id))]


async def page(tx: Tx, escrow_id: str, part: Page) -> Sequence[Escrowed]:
    """One page of what is encrypted to an escrow, in order of ids, and one more to tell whether there is another page."""
    query = (
        sa.select(
            escrowed_keys.c.kek_id,
            key_encryption_keys.c.organisation_id,
            escrowed_keys.c.encrypted,
            key_encryption_keys.c.check_value,
        )
        .join(key_encryption_keys, key_encryption_keys.c.kek_id == escrowed_keys.c.kek_id)
        .where(escrowed_keys.c.escrow_id == escrow_id, escrowed_keys.c.kek_id > part.after)
        .order_by(escrowed_keys.c.kek_id)
        .limit(part.size + 1)
    )
    return [Escrowed(**row._asdict()) for row in await tx.execute(query)]


async def ids(tx: Tx, escrow_id: str, kek_ids: Sequence[str]) -> frozenset[str]:
    """Which of some keys are encrypted to an escrow."""
    query = sa.select(escrowed_keys.c.kek_id).where(
        escrowed_keys.c.escrow_id == escrow_id, escrowed_keys.c.kek_id.in_(kek_ids)
    )
    return frozenset((await tx.execute(query)).scalars())
