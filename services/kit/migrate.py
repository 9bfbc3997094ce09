"""`python -m services.kit.migrate`: makes the database, a role and a schema for each service, and brings each schema up to date.

A service is a folder `services/<name>/` with `migrations/` in it: nothing here knows their names. Each runs as its own role, which owns its
schema and can see no other. Safe to run at every start, and by several machines at once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from services.kit import telemetry
from services.kit.settings import ProcessSettings

log = structlog.stdlib.get_logger()

SERVICES = Path(__file__).resolve().parent.parent
_LOCK = 0x5265656C6D657368  # "Reelmesh": one migration at a time in one database


def services_with_schema() -> list[str]:
    """Names of the services that keep state."""
    return sorted(path.parent.name for path in SERVICES.glob("*/migrations") if path.parent.name != "kit")


def _up_to_date(connection: Connection, service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SERVICES / "kit/migrations"))
    config.set_main_option("version_locations", str(SERVICES / service / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _administer(settings: ProcessSettings, services: list[str]) -> None:
    """Makes what only the admin role can make: the database, roles and schemas."""
    target = {"host": settings.database_host, "port": settings.database_port, "user": settings.database_admin}
    admin = await asyncpg.connect(**target, database="postgres")
    try:
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", settings.database_name):
            await admin.execute(f'CREATE DATABASE "{settings.database_name}"')
            await admin.execute(f'REVOKE ALL ON DATABASE "{settings.database_name}" FROM PUBLIC')
    finally:
        await admin.close()
    owner = await asyncpg.connect(**target, database=settings.database_name)
    try:
        async with owner.transaction():
            await owner.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await owner.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for service in services:
                if not await owner.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", service):
                    await owner.execute(f'CREATE ROLE "{service}" LOGIN')
                await owner.execute(f'GRANT CONNECT ON DATABASE "{settings.database_name}" TO "{service}"')
                await owner.execute(f'CREATE SCHEMA IF NOT EXISTS "{service}" AUTHORIZATION "{service}"')
                await owner.execute(f'ALTER ROLE "{service}" SET search_path = "{service}"')
    finally:
        await owner.close()


async def migrate(settings: ProcessSettings) -> None:
    """Brings every service's schema up to date."""
    services = services_with_schema()
    await _administer(settings, services)
    for service in services:
        url = sa.URL.create("postgresql+asyncpg", username=service, database=settings.database_name)
        # A migration that waits for a lock would make every call wait behind it: better to fail and be tried again.
        timeouts = {"lock_timeout": "10s", "statement_timeout": "5min", "application_name": "reelmesh-migrate"}
        engine = create_async_engine(
            url,
            connect_args={"host": settings.database_host, "port": settings.database_port, "server_settings": timeouts},
        )
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await connection.run_sync(_up_to_date, service)
        await engine.dispose()
        log.info("schema is up to date", schema=service)


def main() -> None:
    """Migrates and ends."""
    settings = ProcessSettings()
    telemetry.set_up_logging("migrate", settings.log_level)
    asyncio.run(migrate(settings))


if __name__ == "__main__":
    main()
