"""`state.json`: what runs, for `reelmesh status`, `down`, the other commands and the next start."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.layout import Layout

ProcessState = Literal["waiting", "starting", "ready", "restarting", "done", "stopping", "stopped", "failed"]
MeshState = Literal["starting", "ready", "repairing", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One process of one boot: a pid and when it started."""

    pid: int
    ticks: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The living process with this pid, or None."""
        ticks = linux.start_ticks(pid)
        return None if ticks is None else cls(pid, ticks)

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return linux.start_ticks(self.pid) == self.ticks


@dataclass(slots=True)
class ProcessRecord:
    """One line of `reelmesh status`. Times are Unix seconds; `ready_seconds` is how long the last start took."""

    name: str
    kind: str
    state: ProcessState = "waiting"
    identity: Identity | None = None
    since: float = 0.0
    ready_seconds: float = 0.0
    restarts: int = 0
    last_exit: str = ""


@dataclass(slots=True)
class MeshRecord:
    """The whole file."""

    data_dir: str
    url: str = ""
    port: int = 0
    run_dir: str = ""
    state: MeshState = "starting"
    detail: str = ""
    boot: str = ""
    supervisor: Identity | None = None
    guardian: Identity | None = None
    zygote: Identity | None = None
    started: float = 0.0
    ready_seconds: float = 0.0
    processes: list[ProcessRecord] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Replaces the file in one step, so that a reader never sees half of it."""
        partial = path.with_suffix(".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=1)
        partial.replace(path)

    def identities(self) -> list[Identity]:
        """Everything that was started."""
        own = [self.guardian, self.supervisor, self.zygote]
        return [one for one in own + [process.identity for process in self.processes] if one is not None]


def read_state(layout: Layout) -> MeshRecord | None:
    """The record of the last start; None if there was none or it cannot be read."""
    try:
        raw: dict[str, Any] = json.loads(layout.state_file.read_text())
        processes = [
            ProcessRecord(**{**process, "identity": _identity(process["identity"])}) for process in raw.pop("processes")
        ]
        for name in ("supervisor", "guardian", "zygote"):
            raw[name] = _identity(raw[name])
        return MeshRecord(**raw, processes=processes)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _identity(raw: dict[str, int] | None) -> Identity | None:
    return None if raw is None else Identity(**raw)


def running_state(layout: Layout) -> MeshRecord | None:
    """The record of the mesh that runs from this data directory right now; None if none does."""
    state = read_state(layout)
    if state is None or state.boot != linux.boot_id() or state.supervisor is None or not state.supervisor.alive():
        return None
    return state


def lock(layout: Layout, wait_seconds: float = 0.0) -> int | None:
    """Takes this data directory for the life of the returned descriptor (and its copies in forks).

    Returns None if someone else holds it for longer than `wait_seconds`.
    """
    descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                os.close(descriptor)
                return None
            time.sleep(0.05)
        else:
            return descriptor
