"""Sessions that tokens name, and the tokens that were used and may be used once only."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Database, Tx
from services.policy import store
from services.policy.domain import CLOCKS_APART, Session

_METADATA: Final = sa.MetaData()

uses: Final = sa.Table(
    "access_token_uses",
    _METADATA,
    sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)


class Sessions:
    """Sessions by id, for whoever holds a token that names one. What may change of a session, its revocation, is judged elsewhere.

    Args:
        remembered: how many sessions are kept in memory.
    """

    def __init__(self, database: Database, remembered: int) -> None:
        self._database = database
        self._remembered = remembered
        self._found: OrderedDict[str, Session] = OrderedDict()

    async def find(self, session_id: str) -> Session | None:
        """A session of whichever organisation; None when there is none."""
        known = self._found.get(session_id)
        if known is not None:
            self._found.move_to_end(session_id)
            return known
        async with self._database.transaction() as tx:
            session = await store.find(tx, session_id)
        if session is not None:
            self._found[session_id] = session
            if len(self._found) > self._remembered:
                self._found.popitem(last=False)
        return session


class Uses:
    """First uses, of all replicas together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def first(self, key_id: str, token_id: bytes, expires: float) -> bool:
        """Whether this is the first use of a token, which is thereby used."""
        named = hashlib.sha256(len(key_id).to_bytes(2, "big") + key_id.encode() + token_id).digest()
        expire_time = datetime.fromtimestamp(expires, UTC)
        statement = insert(uses).values(token_sha256=named, expire_time=expire_time).on_conflict_do_nothing()
        async with self._database.transaction() as tx:
            found = await tx.execute(statement.returning(uses.c.token_sha256))
        return found.scalar_one_or_none() is not None


async def forget_uses(tx: Tx, now: datetime) -> None:
    """Removes uses of tokens that are over by every clock."""
    await tx.execute(sa.delete(uses).where(uses.c.expire_time < now - CLOCKS_APART))
