"""A database server that went away and came back costs a reconnect, never a failed call."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from services.kit.database import Database
from services.kit.settings import ProcessSettings

_MINE = sa.text("SELECT pg_backend_pid()")
_END = sa.text("SELECT pg_terminate_backend(:pid, 5000)")


async def mine(database: Database) -> int:
    """The process that serves a connection."""
    async with database.transaction() as tx:
        return int((await tx.execute(_MINE)).scalar_one())


async def test_a_connection_that_was_closed_a_moment_after_its_last_use_is_replaced(mesh: ProcessSettings) -> None:
    database, other = Database.of("upload", mesh), Database.of("upload", mesh)
    before = await mine(database)
    assert await mine(database) == before, "it is kept"
    async with other.transaction() as tx:
        await tx.execute(_END, {"pid": before})
    await asyncio.sleep(0.1)  # what the other side closed is heard of by then
    assert await mine(database) != before
    await database.close()
    await other.close()


async def test_a_connection_that_was_idle_is_asked_before_it_is_used(mesh: ProcessSettings) -> None:
    database, other = Database.of("upload", mesh), Database.of("upload", mesh)
    before = await mine(database)
    await asyncio.sleep(1.1)
    assert await mine(database) == before, "it is alive"
    await asyncio.sleep(1.1)
    async with other.transaction() as tx:
        await tx.execute(_END, {"pid": before})
    assert await mine(database) != before
    await database.close()
    await other.close()
