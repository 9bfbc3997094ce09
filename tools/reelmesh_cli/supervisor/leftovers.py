"""Ends what an earlier supervisor of the same data directory could not end itself.

Normally there is nothing: everything dies with its supervisor. A process is only touched if it is proven to
be ours: by pid and start time as written in `state.json` in this same boot, by the mark in its environment,
or because it is a Postgres whose working directory is our cluster. Only called while this process holds the
lock of the data directory, so none of them belongs to a living supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.state import Identity, read_state

MARK = "REELMESH_SUPERVISED"
"""Environment variable of everything a supervisor starts: its data directory."""


def end_leftovers(layout: Layout, wait_seconds: float = 10.0) -> list[int]:
    """Kills leftovers and waits until they are gone; returns their pids."""
    ours = _recorded(layout) + _marked(layout)
    postgres = _postgres_in(layout.postgres)
    for one in {*ours, *postgres}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if one.alive():
                os.kill(one.pid, signal.SIGKILL)
    _wait_until_gone({*ours, *postgres}, wait_seconds)
    return sorted({one.pid for one in (*ours, *postgres)})


def end_postgres(layout: Layout, wait_seconds: float = 10.0) -> None:
    """Makes sure that no process of a dead Postgres still uses its cluster."""
    found = set(_postgres_in(layout.postgres))
    for one in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one.pid, signal.SIGKILL)
    _wait_until_gone(found, wait_seconds)


def _wait_until_gone(processes: set[Identity], wait_seconds: float) -> None:
    give_up = time.monotonic() + wait_seconds
    while any(one.alive() for one in processes) and time.monotonic() < give_up:
        time.sleep(0.02)


def _recorded(layout: Layout) -> list[Identity]:
    state = read_state(layout)
    if state is None or state.boot != linux.boot_id():
        return []
    return [one for one in state.identities() if one.alive() and one.pid not in (os.getpid(), os.getppid())]


def _marked(layout: Layout) -> list[Identity]:
    mark = f"{MARK}={layout.data}".encode()
    found: list[Identity] = []
    for entry in _processes():
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found += _identity(entry)
    return found


def _postgres_in(cluster: Path) -> list[Identity]:
    found: list[Identity] = []
    for entry in _processes():
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == cluster and (entry / "exe").readlink().name == "postgres":
                found += _identity(entry)
    return found


def _processes() -> list[Path]:
    own = {str(os.getpid()), str(os.getppid())}
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name not in own]


def _identity(entry: Path) -> list[Identity]:
    one = Identity.of(int(entry.name))
    return [] if one is None else [one]
