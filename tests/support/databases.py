"""Connections to the session's Postgres that outlive the services of one test. Making them, and having each statement compiled and planned anew, takes
more of the machine than most tests do with them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine

from services.kit.database import Database, engine_of
from services.kit.settings import ProcessSettings

_AT_MOST: Final = 6
"""Engines that wait to be lent again; each keeps up to `database_pool` connections, of which Postgres has 80."""

_Key = tuple[str, ...]


class _Lent(Database):
    """A database whose connections stay when it is closed."""

    def __init__(self, keeping: _Keeping, key: _Key, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._keeping = keeping
        self._key = key
        self._lent: AsyncEngine | None = engine

    async def close(self) -> None:
        """Gives the connections back, once."""
        engine, self._lent = self._lent, None
        if engine is not None:
            await self._keeping.take_back(self._key, engine)


class _Keeping:
    """Who has them meanwhile. What is lent is nobody else's."""

    def __init__(self) -> None:
        self._waiting: list[tuple[_Key, AsyncEngine]] = []

    def lent(self, service: str, settings: ProcessSettings) -> Database:
        """Connections as a service has them."""
        key = (
            service,
            *(str(getattr(settings, name)) for name in sorted(ProcessSettings.model_fields) if "database" in name),
        )
        for place in reversed(range(len(self._waiting))):
            if self._waiting[place][0] == key:
                return _Lent(self, *self._waiting.pop(place))
        return _Lent(self, key, engine_of(service, settings))

    async def take_back(self, key: _Key, engine: AsyncEngine) -> None:
        """Keeps connections; those that were not used for longest are closed."""
        pool = engine.sync_engine.pool
        if not isinstance(pool, QueuePool) or pool.checkedout():  # somebody still holds one
            await engine.dispose()
            return
        self._waiting.append((key, engine))
        while len(self._waiting) > _AT_MOST:
            _, oldest = self._waiting.pop(0)
            await oldest.dispose()

    async def close(self) -> None:
        """Closes all connections that are not lent."""
        while self._waiting:
            _, engine = self._waiting.pop()
            await engine.dispose()


_KEPT: dict[str, _Keeping] = {}


@contextlib.asynccontextmanager
async def kept(settings: ProcessSettings) -> AsyncIterator[None]:
    """Keeps connections to these stores for the length of the block, in which the stores must stay."""
    keeping = _KEPT[settings.database_host] = _Keeping()
    try:
        yield
    finally:
        del _KEPT[settings.database_host]
        await keeping.close()


def lent(service: str, settings: ProcessSettings) -> Database:
    """The database of a service; with connections of its own where none are kept."""
    keeping = _KEPT.get(settings.database_host)
    return keeping.lent(service, settings) if keeping else Database.of(service, settings)
