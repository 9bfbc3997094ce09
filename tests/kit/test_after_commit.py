"""What is to happen after a commit happens after it, and never without it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from services.kit.database import Database, after_commit
from services.kit.settings import ProcessSettings


async def test_acts_follow_the_commit_in_order_and_happen_once(mesh: ProcessSettings) -> None:
    database, acts = Database.of("upload", mesh), list[str]()
    async with database.transaction() as tx:
        await tx.execute(sa.text("SELECT 1"))
        after_commit(tx, lambda: acts.append("first"))
        after_commit(tx, lambda: acts.append("second"))
        assert not acts
    async with database.transaction() as tx:  # the same connection again
        await tx.execute(sa.text("SELECT 1"))
    assert acts == ["first", "second"]
    await database.close()


async def test_an_undone_transaction_is_followed_by_nothing(mesh: ProcessSettings) -> None:
    database, acts = Database.of("upload", mesh), list[str]()
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            after_commit(tx, lambda: acts.append("never"))
            raise RuntimeError
    async with database.transaction() as tx:
        await tx.execute(sa.text("SELECT 1"))
    assert not acts
    await database.close()
