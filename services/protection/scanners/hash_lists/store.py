"""The tables of hash lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()

lists: Final = sa.Table(
    "hash_lists",
    _METADATA,
    sa.Column("list_name", sa.Text, primary_key=True),
    sa.Column("entry_count", sa.BigInteger),
    sa.Column("version", sa.BigInteger),
    sa.Column("update_time", sa.DateTime(timezone=True)),
)

entries: Final = sa.Table(
    "hash_entries",
    _METADATA,
    sa.Column("list_name", sa.Text, primary_key=True),
    sa.Column("pdq", sa.LargeBinary, primary_key=True),
    sa.Column("note", sa.Text),
)
_NEXT_VERSION: Final = sa.text("nextval('hash_list_versions')")


@dataclass(frozen=True, slots=True)
class HashList:
    """A list."""

    list_name: str
    entry_count: int
    update_time: datetime


async def add_entries(tx: Tx, list_name: str, added: dict[bytes, str], now: datetime) -> HashList:
    """Adds hashes with their notes to a list, which is made if need be."""
    await _lock(tx)
    statement = insert(entries).values(
        [{"list_name": list_name, "pdq": pdq, "note": note} for pdq, note in added.items()]
    )
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["list_name", "pdq"], set_={"note": statement.excluded.note})
    )
    count = sa.select(sa.func.count()).where(entries.c.list_name == list_name)
    values: dict[str, Any] = {
        "entry_count": (await tx.execute(count)).scalar_one(),
        "version": _NEXT_VERSION,
        "update_time": now,
    }
    kept = insert(lists).values(list_name=list_name, **values)
    await tx.execute(kept.on_conflict_do_update(index_elements=["list_name"], set_=values))
    return HashList(list_name, values["entry_count"], now)


async def delete_list(tx: Tx, list_name: str) -> bool:
    """Deletes a list with its hashes. False when there is none."""
    await _lock(tx)
    await tx.execute(sa.delete(entries).where(entries.c.list_name == list_name))
    return bool((await tx.execute(sa.delete(lists).where(lists.c.list_name == list_name))).rowcount)


async def count_all(tx: Tx) -> int:
    """Hashes of all lists."""
    return int((await tx.execute(sa.select(sa.func.coalesce(sa.func.sum(lists.c.entry_count), 0)))).scalar_one())


async def page(tx: Tx, part: Page) -> Sequence[HashList]:
    """One page of lists, and one more to tell whether there is another page."""
    query = sa.select(lists).where(lists.c.list_name > part.after).order_by(lists.c.list_name).limit(part.size + 1)
    return [HashList(row.list_name, row.entry_count, row.update_time) for row in await tx.execute(query)]


async def versions(tx: Tx) -> dict[str, int]:
    """Version of each list: what is in memory is up to date when these are the same."""
    rows = await tx.execute(sa.select(lists.c.list_name, lists.c.version).where(lists.c.entry_count > 0))
    return {row.list_name: row.version for row in rows}


async def hashes(tx: Tx, list_name: str) -> bytes:
    """All hashes of a list, one behind the other, in order."""
    ordered = sa.select(entries.c.pdq).where(entries.c.list_name == list_name).order_by(entries.c.pdq)
    return b"".join((await tx.execute(ordered)).scalars())


async def note_of(tx: Tx, list_name: str, pdq: bytes) -> str:
    """What a list says of a hash; empty when nothing."""
    query = sa.select(entries.c.note).where(entries.c.list_name == list_name, entries.c.pdq == pdq)
    return (await tx.execute(query)).scalar_one_or_none() or ""


async def _lock(tx: Tx) -> None:
    """One change at a time, so that counts are right."""
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.hash_lists', 0))"))
