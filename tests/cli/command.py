"""Runs the `reelmesh` command as a person would, on the small mesh, and looks at what is left in the process table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.reelmesh_cli.supervisor.layout import REPOSITORY, Layout
from tools.reelmesh_cli.supervisor.leftovers import MARK
from tools.reelmesh_cli.supervisor.state import ProcessRecord, read_state, running_state

SMALL_MESH = "tests.cli.small_mesh:PROCESSES"


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether the condition comes true in time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@dataclass(frozen=True, slots=True)
class Installation:
    """One data directory and one port. `prefix` is put before each command, to run it as someone else."""

    data: Path
    port: int
    prefix: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        return Layout.of(self.data)

    def command(self, *words: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "tools.reelmesh_cli", *words, "--data", str(self.data)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=240,
            cwd=REPOSITORY,
            env=_environment(),
            check=False,
        )

    def up(self, *more: str, processes: str = SMALL_MESH) -> subprocess.CompletedProcess[str]:
        return self.run("up", "--detach", "--port", str(self.port), "--processes", processes, *more)

    def up_in_foreground(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("up", "--port", str(self.port), "--processes", SMALL_MESH),
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=_environment(),
        )

    def process(self, name: str) -> ProcessRecord:
        state = read_state(self.layout)
        assert state is not None
        return next(one for one in state.processes if one.name == name)

    def pid(self, name: str) -> int:
        identity = self.process(name).identity
        assert identity is not None
        return identity.pid

    def ready(self) -> bool:
        """Whether it is up; what a supervisor wrote down that is gone says nothing."""
        state = running_state(self.layout)
        return state is not None and state.state == "ready"

    def said(self, name: str) -> list[str]:
        return [json.loads(line)["message"] for line in self.layout.log_of(name).read_text().splitlines()]

    def living(self) -> list[str]:
        """Command lines of every process that was started for this data directory and still runs."""
        mark, found = f"{MARK}={self.layout.data}".encode(), []
        for entry in Path("/proc").iterdir():
            try:
                ours = mark in (entry / "environ").read_bytes() or (entry / "cwd").readlink() == self.layout.postgres
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                command = (entry / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue
            if ours and state not in ("Z", "X"):
                found.append(command)
        return found


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("REELMESH_")} | {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen' / 'python'}"
    }


def parsed(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object that a command with --json printed."""
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
