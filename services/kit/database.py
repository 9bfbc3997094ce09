"""PostgreSQL: one schema and one role per service, transactions, and the tables that the kit itself needs in each schema."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from services.kit.settings import ProcessSettings

Tx = AsyncConnection
"""One running transaction. Everything a handler does to state goes through it."""

ANNOUNCED: Final = "reelmesh.announced"
"""Mark on a connection whose running transaction has written to the outbox."""

_AFTER_COMMIT: Final = "reelmesh.after_commit"
_LAST_USED: Final = "reelmesh.last_used"
_SURE_FOR: Final = 1.0
"""Seconds after its last use for which a connection needs no sign of life, unless the other side was seen to close it."""

KIT_TABLES: Final = sa.MetaData()

outbox = sa.Table(
    "outbox",
    KIT_TABLES,
    sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("headers", JSONB, nullable=False),
)
"""Events and tasks that are committed but not yet in JetStream."""

inbox = sa.Table(
    "inbox",
    KIT_TABLES,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("handle_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)
"""Events that were handled, so that a second delivery does nothing."""

replies = sa.Table(
    "replies",
    KIT_TABLES,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("request_sha256", sa.LargeBinary, nullable=False),
    sa.Column("response", sa.LargeBinary, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
)
"""First answers, by `request_id`."""


def one_of(names: Iterable[str]) -> sa.ColumnElement[Any]:
    """What a text column is compared with to find any of many: one parameter, so that the statement is the same for any number of them."""
    return sa.func.any(sa.cast(list(names), ARRAY(sa.Text)))


def any_of(parameter: str) -> sa.ColumnElement[Any]:
    """The same for a statement that is put together once: the names, a list, are given by this parameter when it is executed."""
    return sa.func.any(sa.bindparam(parameter, type_=ARRAY(sa.Text)))


def after_commit(tx: Tx, act: Callable[[], None]) -> None:
    """Calls `act` once the transaction is committed, and never when it is undone. For what may be lost in a crash, such as waking a watcher."""
    tx.info.setdefault(_AFTER_COMMIT, []).append(act)


class Database:
    """The service's own schema."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._announced: Callable[[], None] = lambda: None

    def when_announced(self, wake: Callable[[], None]) -> None:
        """Calls `wake` after each commit that put something in the outbox."""
        self._announced = wake

    @classmethod
    def of(cls, service: str, settings: ProcessSettings) -> Database:
        """Connects as the role of `service`, whose search path is its own schema and nothing else. Lazily: nothing is sent yet."""
        return cls(engine_of(service, settings))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One transaction: committed when the block ends, undone when it raises."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.begin())
            except FileNotFoundError as error:  # a server that is being restarted has no socket for a moment
                raise ConnectionError("the database's socket is not there") from error
            connection.info.pop(ANNOUNCED, None)
            connection.info.pop(_AFTER_COMMIT, None)
            yield connection
            announced = connection.info.pop(ANNOUNCED, False)
            acts = connection.info.pop(_AFTER_COMMIT, ())
        if announced:
            self._announced()
        for act in acts:
            act()

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


def engine_of(service: str, settings: ProcessSettings) -> AsyncEngine:
    """Connections of the role of `service`; none is made before it is needed."""
    password = (
        settings.database_password_file.read_text(encoding="utf-8").strip() if settings.database_password_file else None
    )
    url = sa.URL.create("postgresql+asyncpg", username=service, password=password, database=settings.database_name)
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=settings.database_pool,
        pool_timeout=10,
        # The connection that was used last: few of a quiet process are used at all, and they need no sign of life.
        pool_use_lifo=True,
        # What is written may be personal or sealed; an error's text goes into the log, so it tells the statement without the values.
        hide_parameters=True,
        connect_args={
            "host": settings.database_host,
            "port": settings.database_port,
            "timeout": 5,
            "server_settings": {
                "application_name": f"reelmesh-{service}",
                "jit": "off",
                "idle_in_transaction_session_timeout": "60s",
            },
        },
    )
    _look_before_use(engine)
    return engine


def _look_before_use(engine: AsyncEngine) -> None:
    """Looks whether a connection is alive before it is used: a server that was killed and came back must cost a reconnect, not a failed call.

    SQLAlchemy's own `pool_pre_ping` asks the server each time, with three round trips. One that closes is heard of without asking, so only
    connections that were idle are asked: by then somebody between may have forgotten them without a word.
    """
    dialect = engine.dialect

    def used(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info[_LAST_USED] = time.monotonic()

    def look(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        last = record.info.get(_LAST_USED)
        if last is None:  # it was just made
            return
        driver = record.driver_connection
        if driver is None or driver.is_closed():
            raise InvalidatePoolError
        if time.monotonic() - last > _SURE_FOR:
            try:
                dialect.do_ping(connection)
            except Exception as error:  # whatever is wrong with it, a new one is made, or tells why not
                raise InvalidatePoolError from error

    sa.event.listen(engine.sync_engine, "checkin", used)
    sa.event.listen(engine.sync_engine, "checkout", look)
