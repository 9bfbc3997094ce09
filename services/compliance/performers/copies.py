"""Copies of papers: encrypted before they leave the process, each under a key of its own, which the service's own key seals (envelope encryption).

The object store holds ciphertext only. A copy is written in three steps, so that a process that dies between any two leaves nothing behind that is not found:
a row that says where it will lie, the object, and the record that names it. What no record names after an hour is swept away.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from services.compliance.performers import refusals
from services.kit.database import Database, Tx
from services.kit.sealing import Seal, Unreadable
from services.kit.storage import ObjectStore

UNNAMED_FOR: Final = timedelta(hours=1)
"""How long a copy may lie there without a record that names it."""
_OWNER: Final = "compliance record"
_KINDS: Final = ((b"%PDF-", "application/pdf"), (b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
copies: Final = sa.Table(
    "record_copies",
    sa.MetaData(),
    sa.Column("record_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("sealed_key", sa.LargeBinary),
    sa.Column("sha256", sa.Text),
    sa.Column("media_type", sa.Text),
    sa.Column("named", sa.Boolean),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Copy:
    """What is known of a copy."""

    record_id: str
    sha256: str
    media_type: str


def media_type_of(content: bytes) -> str:
    """What kind of file a copy is, by how it begins.

    Raises:
        Refusal: COPY_UNREADABLE.
    """
    for beginning, media_type in _KINDS:
        if content.startswith(beginning):
            return media_type
    raise refusals.copy_unreadable()


class Copies:
    """Keeps copies.

    Args:
        install: the service's own seal.
    """

    def __init__(self, database: Database, store: ObjectStore, install: Seal) -> None:
        self._database = database
        self._store = store
        self._install = install

    async def put(self, record_id: str, organisation_id: str, content: bytes, now: datetime) -> Copy:
        """Encrypts and keeps a copy, in transactions of its own. `name` has to follow in that of its record.

        Raises:
            Refusal: COPY_UNREADABLE.
        """
        copy = Copy(record_id, hashlib.sha256(content).hexdigest(), media_type_of(content))
        key = secrets.token_bytes(32)
        async with self._database.transaction() as tx:
            await tx.execute(
                sa.insert(copies).values(
                    record_id=record_id,
                    organisation_id=organisation_id,
                    sealed_key=self._install.seal(key, record_id),
                    sha256=copy.sha256,
                    media_type=copy.media_type,
                    named=False,
                    create_time=now,
                )
            )
        sealed = await asyncio.to_thread(Seal(key, _OWNER).seal, content, record_id)
        with tempfile.TemporaryDirectory(prefix="reelmesh-") as folder:
            file = Path(folder) / record_id
            await asyncio.to_thread(file.write_bytes, sealed)
            await self._store.put_file(file, key_of(organisation_id, record_id))
        return copy

    async def open(self, tx: Tx, record_id: str) -> bytes:
        """Decrypts a copy.

        Raises:
            Refusal: COPY_LOST.
        """
        row = (await tx.execute(sa.select(copies).where(copies.c.record_id == record_id))).one_or_none()
        if row is None:
            raise refusals.copy_lost(record_id)
        try:
            key = self._install.open(row.sealed_key, record_id)
            async with self._store.local_copy(key_of(row.organisation_id, record_id)) as file:
                sealed = await asyncio.to_thread(file.read_bytes)
            return await asyncio.to_thread(Seal(key, _OWNER).open, sealed, record_id)
        except (Unreadable, FileNotFoundError) as error:
            raise refusals.copy_lost(record_id) from error

    async def sweep(self, now: datetime) -> int:
        """Removes what no record names. Returns how many copies that were."""
        query = sa.select(copies.c.organisation_id, copies.c.record_id).where(
            copies.c.named.is_(False), copies.c.create_time <= now - UNNAMED_FOR
        )
        async with self._database.transaction() as tx:
            found = (await tx.execute(query.limit(100))).all()
        for row in found:
            await self._store.delete(key_of(row.organisation_id, row.record_id))
            async with self._database.transaction() as tx:
                await tx.execute(
                    sa.delete(copies).where(copies.c.record_id == row.record_id, copies.c.named.is_(False))
                )
        return len(found)


async def name(tx: Tx, record_id: str) -> None:
    """Notes that a record names a copy.

    Raises:
        Refusal: COPY_LOST when it was swept away meanwhile: whoever brought it took more than an hour.
    """
    statement = sa.update(copies).where(copies.c.record_id == record_id).values(named=True)
    if not (await tx.execute(statement)).rowcount:
        raise refusals.copy_lost(record_id)


async def destroy(tx: Tx, record_id: str) -> None:
    """Destroys the key of a copy, so that nobody can read it any more. The object itself is swept away afterwards."""
    await tx.execute(sa.update(copies).where(copies.c.record_id == record_id).values(named=False, sealed_key=b""))


async def of_records(tx: Tx, record_ids: list[str]) -> dict[str, Copy]:
    """What is known of the copies of some records."""
    query = sa.select(copies.c.record_id, copies.c.sha256, copies.c.media_type).where(
        copies.c.record_id == sa.func.any(sa.cast(record_ids, sa.ARRAY(sa.Text)))
    )
    return {row.record_id: Copy(*row) for row in await tx.execute(query)}


def key_of(organisation_id: str, record_id: str) -> str:
    """Where a copy lies in the object store."""
    return f"records/{organisation_id}/{record_id}"
