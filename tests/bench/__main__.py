"""`python -m tests.bench [--only GROUP]`: measures, prints a table, and merges into `bench/results.json`."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import importlib
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench.harness import RESULTS, ROOT, SCRATCH, Measurement, machine, record

GROUPS: Final = {
    "upload": "tests.bench.uploads",
    "ladder": "tests.bench.ladder",
    "pipeline": "tests.bench.pipeline",
    "edge": "tests.bench.edge",
    "api": "tests.bench.api",
    "auth": "tests.bench.logins",
    "licence": "tests.bench.licence",
    "fairplay": "tests.bench.licence_fairplay",
    "keys": "tests.bench.keys",
    "ledger": "tests.bench.ledger",
    "webhooks": "tests.bench.webhooks",
    "audit": "tests.bench.audit",
    "consent": "tests.bench.consent",
    "player": "tests.bench.player",
    "mesh": "tests.bench.idle_mesh",
    "watermark": "tests.bench.watermark",
    "fingerprint": "tests.bench.fingerprints",
}


def main() -> int:
    """Runs the groups one after another; one that fails does not keep the others from running."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures us beside peers.")
    parser.add_argument("--only", choices=sorted(GROUPS), help="one group")
    only = parser.parse_args().only
    SCRATCH.mkdir(exist_ok=True)
    with (SCRATCH / "lock").open("w") as lock:
        # Two at a time would measure each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        failed = [group for group in ([only] if only else GROUPS) if not _measured(group)]
    print(f"Written to {RESULTS.relative_to(ROOT)}." + (f" Failed: {', '.join(failed)}." if failed else ""))
    return 1 if failed else 0


def _measured(group: str) -> bool:
    """Runs one group, shows and keeps what it found; False when it failed."""
    print(f"{group} …", flush=True)
    where = machine()
    try:
        asyncio.run(_kept(importlib.import_module(GROUPS[group]).measure(), where))
    except Exception:
        traceback.print_exc()
        return False
    return True


async def _kept(measure: Awaitable[list[Measurement]] | AsyncIterator[list[Measurement]], where: str) -> None:
    """Shows and keeps what a group finds; of one that takes long, part by part."""
    if isinstance(measure, AsyncIterator):
        async for measured in measure:
            _keep(measured, where)
    else:
        _keep(await measure, where)


def _keep(measured: list[Measurement], where: str) -> None:
    record(measured, where)
    Console().print(_table(measured))


def _table(measured: list[Measurement]) -> Table:
    table = Table("id", "value", "unit", "peer", "note")
    for one in measured:
        table.add_row(Text(one.id, no_wrap=True), f"{one.value:.3f}", one.unit, one.peer, one.note)
    return table


if __name__ == "__main__":
    sys.exit(main())
