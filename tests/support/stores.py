"""A real Postgres and a real NATS for one test session, with the secrets and settings that processes need to use them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from services.kit import events, migrate
from services.kit.settings import ProcessSettings
from tests.support import certificates
from tools.reelmesh_cli.supervisor import environment, install_secrets, nats_server, postgres
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest


def _start(request: SpawnRequest, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            request.command,
            env=request.environment,
            cwd=request.directory,
            stdout=out,
            stderr=out,
            user=request.uid,
            group=request.gid,
            extra_groups=[] if request.uid is not None else None,
        )


async def _answers(settings: ProcessSettings) -> None:
    give_up = time.monotonic() + 20
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


@contextmanager
def running_stores() -> Iterator[ProcessSettings]:
    """Starts Postgres and NATS, migrates every schema, and yields the settings that lead there."""
    data = Path(tempfile.mkdtemp(prefix="reelmesh-test-", dir="/tmp"))
    layout = Layout.of(data)
    layout.prepare()
    install_secrets.ensure(layout.secrets)
    certificates.made_in(layout.secrets)
    programs = environment.of_programs(layout)
    owner = postgres.owner_of(layout)
    postgres.prepare(layout, owner)
    started: list[subprocess.Popen[bytes]] = []
    try:
        if _start(postgres.initdb_request(layout, owner, programs), layout.log_of("postgres")).wait() != 0:
            raise RuntimeError(layout.log_of("postgres").read_text())
        postgres.finish_initdb(layout)
        started.append(_start(postgres.server_request(layout, owner, programs), layout.log_of("postgres")))
        port = nats_server.choose_port(layout)
        started.append(_start(nats_server.server_request(layout, port, programs), layout.log_of("nats")))
        settings = ProcessSettings(
            data_dir=layout.data,
            run_dir=layout.sockets,
            secrets_dir=layout.secrets,
            database_host=str(layout.postgres_socket),
            nats_url=f"nats://{nats_server.HOST}:{port}",
            nats_token_file=nats_server.token_file(layout),
            public_url="http://127.0.0.1:8080",
        )
        asyncio.run(_answers(settings))
        asyncio.run(migrate.migrate(settings))
        yield settings
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGINT)  # Postgres: fast shutdown
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(data, ignore_errors=True)


async def emptied(settings: ProcessSettings) -> None:
    """Removes every row, message and object, leaving tables, roles, streams and consumers as they are."""
    for folder in (settings.data_dir / "objects").glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
    bus = await events.connect(settings, "test")
    for stream in await bus.jetstream().streams_info():
        await bus.jetstream().purge_stream(stream.config.name or "")
    await bus.close()
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    try:
        services = migrate.services_with_schema()
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = ANY($1) AND tablename <> 'schema_version'",
            services,
        )
        # DELETE beats TRUNCATE by far on small tables: no new files.
        await connection.execute(
            "SET session_replication_role = replica;" + "".join(f"DELETE FROM {row['name']};" for row in tables)
        )
    finally:
        await connection.close()


def operator_key(settings: ProcessSettings) -> str:
    """The API key that may do everything."""
    return (settings.secrets_dir / "operator_api_key").read_text(encoding="utf-8").strip()


def without_environment() -> None:
    """Takes away settings of the person who runs the tests: they must not lead anywhere but to the test's own stores."""
    for name in [name for name in os.environ if name.startswith("REELMESH_")]:
        del os.environ[name]
