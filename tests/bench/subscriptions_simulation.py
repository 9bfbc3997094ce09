"""A third of `make soak`: a hundred thousand subscribers over two years in accelerated time, before the real scheduler and the real Postgres.

    python -m tests.bench.subscriptions_simulation [--people 100000] [--days 730] [--seed 2026] [--tick 12] [--monthly 25] [--quarterly 35] [--yearly 40]

Banks decline, lose questions and answers, are away, renew by themselves and tell of it late, twice and in another order; the scheduler dies between
charge and answer; its clock is wrong by hours. An oracle that shares nothing with the code says afterwards whether everybody was charged once, had
what they paid for and nothing more, and whether the books hold what the banks took, to the cent.

Ends with a table of what happened, and with status 1 when the oracle complains.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from datetime import datetime, timedelta

import structlog
from rich.console import Console
from rich.table import Table

from tests.payments.simulation.world import BEGIN, Script, World, played, usual_rates
from tests.support import stores

_SHOWN = 20


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="make soak", description="Plays subscribers against an oracle.")
    parser.add_argument("--people", type=int, default=100_000, help="how many, 100,000 by default")
    parser.add_argument("--days", type=int, default=730, help="for how long, two years by default")
    parser.add_argument("--seed", type=int, default=2026, help="everybody's choices follow from it")
    parser.add_argument("--tick", type=int, default=12, help="hours between two turns of the world, 12 by default")
    for interval, share in (("monthly", 25), ("quarterly", 35), ("yearly", 40)):
        parser.add_argument(f"--{interval}", type=int, default=share, help=f"of a hundred; {share} by default")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    stores.without_environment()
    rates = usual_rates(monthly=asked.monthly, quarterly=asked.quarterly, yearly=asked.yearly)
    script = Script(asked.people, asked.days, asked.seed, rates=rates, tick=timedelta(hours=asked.tick))
    progress = _Progress()
    with stores.running_stores() as settings:
        world = asyncio.run(played(settings, script, progress))
    progress(world.clock.true, world)  # what was found when all was over
    _report(world)
    print(json.dumps({"people": asked.people, "days": asked.days, "seed": asked.seed, **_figures(world)}))
    return 1 if world.oracle.complaints else 0


class _Progress:
    """Says every ten seconds or so how far it is, and what the oracle complains of as soon as it does."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._complaints = 0

    def __call__(self, now: datetime, world: World) -> None:
        for complaint in world.oracle.complaints[self._complaints : _SHOWN]:
            print(complaint, flush=True)
        self._complaints = len(world.oracle.complaints)
        if time.monotonic() - self._said < 10:
            return
        self._said = time.monotonic()
        paid, complaints = world.oracle.tally["payments"], len(world.oracle.complaints)
        rate = paid / (self._said - self._began)
        print(f"day {(now - BEGIN).days}: {paid} payments, {rate:.0f}/s, {complaints} complaints", flush=True)


def _figures(world: World) -> dict[str, int]:
    return dict(sorted(world.oracle.tally.items())) | {
        "declines": world.bank.declines,
        "calls to the bank": world.bank.calls,
        "answers and questions lost": world.bank.lost,
        "deaths of the scheduler": world.restarts,
        "complaints": len(world.oracle.complaints),
    }


def _report(world: World) -> None:
    table = Table("what", "times")
    for what, times in _figures(world).items():
        table.add_row(what, f"{times:,}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
