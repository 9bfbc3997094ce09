"""The buckets that all replicas share: one row each in an unlogged table, counted by one statement for many calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from services.kit.settings import ProcessSettings
from services.limits.domain import Ask, Taken

# In the order of their keys, so that two replicas never wait for each other in a ring. It is `domain.taken`, in SQL: `granted` carries in
# what is wanted, and out what the bucket gave.
_TAKE: Final = """
INSERT INTO buckets AS bucket (bucket_key, full_at, refill, span, granted)
SELECT bucket_key, $5 + refill * least(wanted, span / refill), refill, span, least(wanted, span / refill)
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS asked (bucket_key, refill, span, wanted)
ORDER BY bucket_key
ON CONFLICT (bucket_key) DO UPDATE SET (full_at, refill, span, granted) = (
  SELECT begins + excluded.refill * given, excluded.refill, excluded.span, given
  FROM (SELECT begins, least(excluded.granted, ($5 + excluded.span - begins) / excluded.refill) AS given
        FROM (SELECT least(greatest(bucket.full_at, $5), $5 + excluded.span) AS begins) AS start) AS counted
)
RETURNING bucket_key, granted, full_at
"""
# Those that claim to be emptier than empty were left by a clock that was set back since.
_FORGET: Final = "DELETE FROM buckets WHERE full_at < $1 OR full_at > $1 + span"


class PostgresBuckets:
    """Buckets in Postgres.

    It speaks to the driver without SQLAlchemy: one prepared statement, committed by itself, is one round trip instead of four, and every call
    through the edge waits for it.

    Args:
        service: the role.
        settings: where the database is.
        patience: seconds that a statement may take, connecting included.
    """

    def __init__(self, service: str, settings: ProcessSettings, patience: float) -> None:
        self._patience = patience
        file = settings.database_password_file
        self._target: dict[str, Any] = {
            "host": settings.database_host,
            "port": settings.database_port,
            "user": service,
            "password": file.read_text(encoding="utf-8").strip() if file else None,
            "database": settings.database_name,
            "server_settings": {"application_name": f"reelmesh-{service}", "jit": "off"},
        }
        self._connection: Any = None
        self._one_at_a_time = asyncio.Lock()

    async def take(self, asks: Sequence[Ask], now: int) -> dict[bytes, Taken]:
        """Takes calls out of several different buckets at once.

        Raises:
            TimeoutError: the database is too slow.
            Exception: it is away; the driver has many words for that.
        """
        rows = await self._ran(
            "fetch",
            _TAKE,
            [ask.key for ask in asks],
            [ask.limit.interval for ask in asks],
            [ask.limit.window for ask in asks],
            [ask.wanted for ask in asks],
            now,
        )
        return {row["bucket_key"]: Taken(row["granted"], row["full_at"]) for row in rows}

    async def forget(self, now: int) -> None:
        """Removes buckets that are full, which is what an unknown one is."""
        await self._ran("execute", _FORGET, now)

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.terminate()
            self._connection = None

    async def _ran(self, how: str, statement: str, *values: object) -> Any:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._patience):
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await asyncpg.connect(**self._target)
                    return await getattr(self._connection, how)(statement, *values)
            except BaseException:
                # What became of the statement is not known; a new connection starts clean.
                await self.close()
                raise
