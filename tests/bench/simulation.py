"""The second half of `make soak`: ten thousand viewers before two real edges, a real policy service and real stores, thinned in time.

    python -m tests.bench.simulation [--viewers 10000] [--seconds 2400] [--seed 2026]

Viewers and the policy service share one process. With more than about eight viewers joining a second it has too much to do, edges wait for it in
vain, and answer DEPENDENCY_UNAVAILABLE: that is refused, and complained about, too.

Ends with a table of what happened, and with status 1 when somebody who was entitled was refused, or somebody who was not was served.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys

import structlog
from rich.console import Console
from rich.table import Table

from tests.simulation.oracle import Oracle
from tests.simulation.run import Script, played
from tests.support import stores

_TITLES = 20
_SHOWN = 20


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="make soak", description="Plays viewers against an oracle.")
    parser.add_argument("--viewers", type=int, default=10_000, help="how many, 10,000 by default")
    parser.add_argument("--seconds", type=float, default=2400, help="for how long, 2400 by default")
    parser.add_argument("--seed", type=int, default=2026, help="everybody's choices follow from it")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stores.without_environment()
    with stores.running_stores() as settings:
        script = Script(asked.viewers, asked.seconds, titles=_TITLES, seed=asked.seed)
        oracle = asyncio.run(played(settings, script))
    _report(oracle)
    print(json.dumps({"viewers": asked.viewers, "seed": asked.seed, "complaints": len(oracle.complaints)}))
    return 1 if oracle.complaints else 0


def _report(oracle: Oracle) -> None:
    table = Table("what", "outcome", "times")
    for what, times in sorted(oracle.outcomes.items()):
        table.add_row(*what.split(" ", 1), str(times))
    Console().print(table)
    for complaint in oracle.complaints[:_SHOWN]:
        print(complaint)


if __name__ == "__main__":
    sys.exit(main())
