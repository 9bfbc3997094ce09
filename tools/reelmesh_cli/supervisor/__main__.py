"""`python -m tools.reelmesh_cli.supervisor`: what `reelmesh up` starts.

The process itself stays behind as the *guardian*: it holds the lock, waits for the supervisor, and ends
whatever that leaves behind, so that nothing outlives a supervisor that was killed. It reports one JSON object
a line on standard output. Exit status: 0 stopped as asked, 1 could not start, 3 another one runs here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.state import lock

EXIT_FAILED = 1
EXIT_TAKEN = 3
DEFAULT_PROCESSES = "tools.reelmesh_cli.processes:PROCESSES"


def main() -> None:
    """Takes the lock, forks the supervisor, guards it."""
    arguments = _arguments()
    layout = Layout.of(arguments.data)
    layout.prepare()
    # A guardian that is still ending leftovers of a killed supervisor needs a moment.
    if lock(layout, wait_seconds=3.0) is None:
        _report({"event": "failed", "message": f"Reelmesh already runs from {layout.data}."})
        sys.exit(EXIT_TAKEN)
    if arguments.owner:
        linux.die_with_parent(signal.SIGTERM, arguments.owner)
    linux.adopt_orphans()
    guardian = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        linux.die_with_parent(signal.SIGKILL, guardian)
        linux.adopt_orphans()
        linux.set_command_name("reelmesh-supervisor")
        os._exit(_supervise(layout, arguments))
    linux.set_command_name("reelmesh-guardian")
    sys.exit(_guard(supervisor))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reelmesh-supervisor")
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--port", type=int, required=True, help="port of the edge on 127.0.0.1")
    parser.add_argument("--owner", type=int, default=0, help="stop when this process, our parent, dies")
    parser.add_argument(
        "--processes",
        default=DEFAULT_PROCESSES,
        help="module:name of the process list; the module also has PRELOADED_MODULES",
    )
    return parser.parse_args()


def _supervise(layout: Layout, arguments: argparse.Namespace) -> int:
    import asyncio

    from tools.reelmesh_cli.supervisor.mesh import Mesh

    module, _, name = arguments.processes.partition(":")
    listed = importlib.import_module(module)
    specs = (*getattr(listed, name), *getattr(listed, "besides", tuple)())

    async def run() -> bool:
        return await Mesh(layout, arguments.port, specs, listed.PRELOADED_MODULES, _report).run()

    return 0 if asyncio.run(run()) else EXIT_FAILED


def _report(event: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody listens any more: `up --detach` has gone home
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def _guard(supervisor: int) -> int:
    """Passes signals on, waits for the supervisor's end, then ends every process it left; returns its status."""

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == supervisor:
            break
    while left := linux.children_of(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, ChildProcessError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
