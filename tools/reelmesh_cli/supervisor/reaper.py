"""Tells when a process has ended, and ends what an ended process left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.nursery import Nursery


class Reaper:
    """Waits for every child of this process.

    Because this process adopts orphans, a child that nobody watches is what a dead process left: an encoder
    of a killed worker, a backend of a killed Postgres. It is killed at once: whoever takes the work over must
    not meet it again.
    """

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._watched: dict[int, asyncio.Future[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._look)

    def watch(self, pid: int) -> asyncio.Future[int]:
        """A future of the wait status (`os.waitpid`) of a child."""
        ended: asyncio.Future[int] = self._loop.create_future()
        self._watched[pid] = ended
        self._look()
        return ended

    def _look(self) -> None:
        for pid in list(self._watched):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended == pid and not (future := self._watched.pop(pid)).done():
                    future.set_result(status)
        self._nursery.revive()
        self._end_orphans()

    def _end_orphans(self) -> None:
        if self._nursery.busy:
            self._loop.call_later(0.1, self._end_orphans)
            return
        for pid in linux.children_of(os.getpid()):
            if pid in self._watched or pid == self._nursery.pid:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)  # or at the SIGCHLD that is about to come


def described(status: int) -> str:
    """A wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
