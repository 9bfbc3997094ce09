"""Kills the process that keeps the log at random moments while events come, and looks that each is there once.

    python -m tests.compliance.killing [--events 10000] [--kills 12] [--seed 1]

is the long run, on stores of its own; `test_kill.py` is a short one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from reelmesh.policy.v1 import events_pb2 as policy

from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.scene import logging_all, long_announced
from tests.support import service_forks
from tests.support.bus import Bus, on_the_bus
from tests.support.stores import mortal_stores
from tools.audit_verifier.verifying import verified
from tools.reelmesh_cli.supervisor.layout import REPOSITORY

_AT_A_TIME = 50


@contextlib.contextmanager
def a_process(settings: ProcessSettings, **changes: str) -> Iterator[service_forks.Forked]:
    """The compliance service in a process of its own; killed at the end of the block. `changes` are settings."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}",
        "REELMESH_DATA_DIR": str(settings.data_dir),
        "REELMESH_RUN_DIR": str(settings.run_dir),
        "REELMESH_SECRETS_DIR": str(settings.secrets_dir),
        "REELMESH_DATABASE_HOST": settings.database_host,
        "REELMESH_NATS_URL": settings.nats_url,
        "REELMESH_NATS_TOKEN_FILE": str(settings.nats_token_file),
        "REELMESH_COMPLIANCE_AUDIT_ORIGIN": "log.example/audit",
        "REELMESH_COMPLIANCE_AUDIT_PUBLISH_SECONDS": "0.1",
        **{f"REELMESH_{name.upper()}": value for name, value in changes.items()},
    }
    log = (settings.data_dir / "logs/test-compliance.log").open("ab")
    process = service_forks.started("compliance", environment=environment, output=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


async def _told(bus: Bus, count: int, told: list[str]) -> None:
    """Announces so many events, some at a time; `told` grows with their ids."""
    while len(told) < count:
        events = [
            policy.PlaybackCreated(session_id=new_id("pbs"), organisation_id=new_id("org"), viewer_id=new_id("usr"))
            for _ in range(min(_AT_A_TIME, count - len(told)))
        ]
        told += await asyncio.gather(*(bus.publish(event) for event in events))


async def logged(database: Database) -> int:
    """How many leaves there are."""
    async with database.transaction() as tx:
        return int((await tx.execute(sa.text("SELECT count(*) FROM log_leaves"))).scalar_one())


async def survived(settings: ProcessSettings, events: int, kills: int, seed: int) -> None:
    """Kills so often while so many events come; afterwards each of them is in the log once, and the log is good."""
    chance, told = random.Random(seed), list[str]()
    database = Database.of("compliance", settings)
    await long_announced(database)
    async with on_the_bus(settings) as bus:
        telling = asyncio.create_task(_told(bus, events, told))
        for number in range(kills):
            # Somewhere on the way to the next part of the events, which the process may be reading, writing or publishing by then.
            least = (number + 1) * events // (kills + 1)
            with a_process(settings) as process:
                while await logged(database) < least - chance.randrange(events // (kills + 1)):
                    assert process.poll() is None, "it ended by itself"
                    await asyncio.sleep(0.005)
                await asyncio.sleep(chance.random() * 0.1)
        await telling
    async with logging_all(settings) as here:
        await here.has(told)
        assert await here.size() == events, "each once"
        with tempfile.TemporaryDirectory(prefix="reelmesh-audit-") as folder:
            verdict = verified(await here.export(Path(folder) / "export", every_record=True), key=await here.key())
        assert verdict.good, verdict.faults[:3]
        assert verdict.records == events
    await database.close()


def main() -> None:
    """The long run."""
    parser = argparse.ArgumentParser(prog="killing", description="Kills the keeper of the log again and again.")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with mortal_stores() as stores:
        asyncio.run(survived(stores.settings, asked.events, asked.kills, asked.seed))
    print(f"{asked.events} events, {asked.kills} deaths: each event is in the log once, and the log verifies")


if __name__ == "__main__":
    main()
