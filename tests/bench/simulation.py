"""The second half of `make soak`: ten thousand viewers before two real edges, a real policy service and real stores, thinned in time.

    python -m tests.bench.simulation [--viewers 10000] [--seconds 900] [--seed 2026] [--record]

A title's length passes in half a minute: each viewer asks for 4 to 24 segments, one after another, from anywhere in it. What is thinned is how many
they are and how long they take; all viewers, what they do, and what is ordered are there.

A request is judged by when it was sent and when it was answered, and an order by when each edge was seen to go by it, so that a busy machine makes
nobody wrong. How long orders took is told.

Ends with a table of what happened, a line of JSON, and status 1 when somebody who was entitled was refused, or somebody who was not was served, or
anything else was wrong.
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

from tests.bench.harness import Measurement, machine, percentile, record
from tests.simulation.oracle import Oracle, Wrong
from tests.simulation.run import Script, played
from tests.support import stores

_TITLES = 20
_SHOWN = 20
_POLLED = "asked each every 40 ms one after the other, with everything on one machine"


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="make soak", description="Plays viewers against an oracle.")
    parser.add_argument("--viewers", type=int, default=10_000, help="how many, 10,000 by default")
    parser.add_argument("--seconds", type=float, default=900, help="for how long, 900 by default")
    parser.add_argument("--seed", type=int, default=2026, help="everybody's choices follow from it")
    parser.add_argument("--record", action="store_true", help="writes what came of it into bench/results.json")
    asked = parser.parse_args()
    where = machine()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stores.without_environment()
    with stores.running_stores() as settings:
        script = Script(asked.viewers, asked.seconds, titles=_TITLES, seed=asked.seed)
        oracle = asyncio.run(played(settings, script))
    _report(oracle)
    found = _measurements(oracle, script)
    if asked.record:
        record(found, where)
    print(json.dumps({"viewers": asked.viewers, "seed": asked.seed, **{one.id: round(one.value, 4) for one in found}}))
    return 1 if oracle.complaints else 0


def _measurements(oracle: Oracle, script: Script) -> list[Measurement]:
    judged = sum(oracle.outcomes.values())
    served = sum(times for what, times in oracle.outcomes.items() if what.endswith(" served"))
    how = (
        f"{script.viewers} viewers of {script.titles} titles within {script.seconds:g} s, seed {script.seed}; {judged} answers, {served} of them served, of "
        "two real edges (one with the warm lane, one that asks about everything), a real policy service and real stores, judged by an oracle that knows "
        f"what was ordered and when; {len(oracle.in_force_after)} orders watched until both edges went by them"
    )
    found = [Measurement(f"edge.simulation.{wrong.value}", oracle.wrongs[wrong], "answers", "", how) for wrong in Wrong]
    if oracle.in_force_after:
        after = percentile([1000 * seconds for seconds in oracle.in_force_after], 99)
        found.append(Measurement("edge.simulation.in_force_p99_ms", after, "ms", "", f"{how}, {_POLLED}"))
    return found


def _report(oracle: Oracle) -> None:
    table = Table("what", "outcome", "times")
    for what, times in sorted(oracle.outcomes.items()):
        table.add_row(*what.split(" ", 1), str(times))
    Console().print(table)
    for complaint in oracle.complaints[:_SHOWN]:
        print(complaint)


if __name__ == "__main__":
    sys.exit(main())
