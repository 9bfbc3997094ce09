"""A real Postgres and a real NATS for one test session, with the secrets and settings that processes need to use them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import psutil
from asyncpg.prepared_stmt import PreparedStatement
from nats.aio.client import Client

from services.kit import events, migrate
from services.kit.settings import ProcessSettings
from tests.support import certificates, shared
from tools.reelmesh_cli.supervisor import environment, install_secrets, nats_server, postgres
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest

# A child of a process in which gRPC runs may run nothing before its program, not even to become somebody else: so its program does.
_AS_SOMEBODY = "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[2])); os.execvp(sys.argv[3], sys.argv[3:])"


def _start(request: SpawnRequest, log: Path) -> subprocess.Popen[bytes]:
    command = list(request.command)
    if request.uid is not None:
        command = [sys.executable, "-I", "-c", _AS_SOMEBODY, str(request.gid), str(request.uid), *command]
    with log.open("ab") as out:
        return subprocess.Popen(command, env=request.environment, cwd=request.directory, stdout=out, stderr=out)


async def _answers(settings: ProcessSettings) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            connection = await asyncpg.connect(
                host=settings.database_host, user=settings.database_admin, database="postgres"
            )
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(0.05)
        else:
            await connection.close()
            return


class Stores:
    """Postgres and NATS in a folder of their own. Each can be killed and started again."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._programs = environment.of_programs(layout)
        self._owner = postgres.owner_of(layout)
        self._port = nats_server.choose_port(layout)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.settings = ProcessSettings(
            data_dir=layout.data,
            run_dir=layout.sockets,
            secrets_dir=layout.secrets,
            database_host=str(layout.postgres_socket),
            nats_url=f"nats://{nats_server.HOST}:{self._port}",
            nats_token_file=nats_server.token_file(layout),
            public_url="http://127.0.0.1:8080",
        )

    def initialise(self) -> None:
        """Makes Postgres's files."""
        layout = self._layout
        postgres.prepare(layout, self._owner)
        initdb = postgres.initdb_request(layout, self._owner, self._programs)
        if _start(initdb, layout.log_of("postgres")).wait() != 0:
            raise RuntimeError(layout.log_of("postgres").read_text())
        postgres.finish_initdb(layout)

    def start(self, name: str) -> None:
        """Starts `postgres` or `nats`; neither is waited for."""
        if name == "postgres":
            postgres.clear_stale_pid(self._layout)
            request = postgres.server_request(self._layout, self._owner, self._programs)
        else:
            request = nats_server.server_request(self._layout, self._port, self._programs)
        self._running[name] = _start(request, self._layout.log_of(name))

    def kill(self, name: str) -> None:
        """Kills one of them without warning, and waits until nothing of it is left."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGSTOP)  # it has no more children from here on
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        psutil.wait_procs(children, timeout=20)

    def stop(self) -> None:
        """Stops whatever runs."""
        for process in reversed(self._running.values()):
            process.send_signal(signal.SIGINT)  # Postgres: fast shutdown
        for process in self._running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def mortal_stores() -> Iterator[Stores]:
    """Starts Postgres and NATS with every schema as it is after all migrations, for tests that kill them."""
    beginning = shared.made_once("stores", _beginning)
    with _prepared() as layout:
        # With owners, modes and links.
        subprocess.run(["cp", "-a", *(str(beginning / name) for name in _KEPT), str(layout.data)], check=True)
        stores = Stores(layout)
        postgres.prepare(layout, postgres.owner_of(layout))
        with _started(stores, "postgres", "nats"):
            yield stores


_KEPT: Final = ("postgres", "secrets")


def _beginning(folder: Path) -> None:
    """Makes what all stores of a test run begin with: the secrets of an install, and Postgres's files with every schema migrated."""
    with _prepared() as layout:
        install_secrets.ensure(layout.secrets)
        certificates.made_in(layout.secrets)
        stores = Stores(layout)
        stores.initialise()
        with _started(stores, "postgres"):
            asyncio.run(migrate.migrate(stores.settings))
        folder.mkdir()
        for name in _KEPT:
            (layout.data / name).rename(folder / name)


@contextmanager
def _prepared() -> Iterator[Layout]:
    """A data directory for stores, which is removed at the end."""
    data = Path(tempfile.mkdtemp(prefix="reelmesh-test-", dir="/tmp"))
    layout = Layout.of(data)
    try:
        layout.prepare()
        yield layout
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def _started(stores: Stores, *names: str) -> Iterator[None]:
    """Runs some of the stores."""
    try:
        for name in names:
            stores.start(name)
        asyncio.run(_answers(stores.settings))
        yield
    finally:
        stores.stop()


@contextmanager
def running_stores() -> Iterator[ProcessSettings]:
    """Starts Postgres and NATS, with every schema, and yields the settings that lead there."""
    with mortal_stores() as stores:
        yield stores.settings


class Emptying:
    """Empties stores, again and again, over connections that stay. Only what holds something is touched: mostly that is little."""

    def __init__(self, settings: ProcessSettings, connection: asyncpg.Connection, bus: Client) -> None:
        self._objects = settings.data_dir / "objects"
        self._connection = connection
        self._bus = bus
        self._filled: PreparedStatement[asyncpg.Record] | None = None

    async def __call__(self) -> None:
        """Removes every row, message and object, leaving tables, roles, streams and consumers as they are."""
        for folder in self._objects.glob("*"):
            shutil.rmtree(folder, ignore_errors=True)
        for stream in await self._bus.jetstream().streams_info():
            if stream.state.messages:
                await self._bus.jetstream().purge_stream(stream.config.name or "")
        # DELETE beats TRUNCATE by far on small tables: no new files.
        self._filled = self._filled or await self._question()
        filled = [row["name"] for row in await self._filled.fetch()]
        if filled:
            await self._connection.execute("".join(f"DELETE FROM {name};" for name in filled))

    async def _question(self) -> PreparedStatement[asyncpg.Record]:
        """The question which tables hold rows. Tables come by migration only, so it is put together once."""
        tables = await self._connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = ANY($1) AND tablename <> 'schema_version'",
            migrate.services_with_schema(),
        )
        each = (f"SELECT '{row['name']}' AS name WHERE EXISTS (SELECT FROM {row['name']})" for row in tables)
        return await self._connection.prepare(" UNION ALL ".join(each))


@asynccontextmanager
async def emptying(settings: ProcessSettings) -> AsyncIterator[Emptying]:
    """Connects whoever empties."""
    bus = await events.connect(settings, "test")
    connection = await asyncpg.connect(
        host=settings.database_host,
        user=settings.database_admin,
        database=settings.database_name,
        # Past triggers and foreign keys.
        server_settings={"session_replication_role": "replica", "jit": "off"},
    )
    try:
        yield Emptying(settings, connection, bus)
    finally:
        await connection.close()
        await bus.close()


def operator_key(settings: ProcessSettings) -> str:
    """The API key that may do everything."""
    return (settings.secrets_dir / "operator_api_key").read_text(encoding="utf-8").strip()


def without_environment() -> None:
    """Takes away settings of the person who runs the tests: they must not lead anywhere but to the test's own stores."""
    for name in [name for name in os.environ if name.startswith("REELMESH_")]:
        del os.environ[name]
