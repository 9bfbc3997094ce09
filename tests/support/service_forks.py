"""Starts services as forks of a process that has imported what they need: an interpreter of its own that imports everything anew takes more of the
machine than most of them do afterwards. So does the mesh; see tools/reelmesh_cli/supervisor/zygote.py.

A forked service is a process like any other, with an environment and output of its own, and it can be killed.

Wire: a request is one packet of JSON with two descriptors, one for output, and one on which the process's id and, once it has ended, its status are
told.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.layout import REPOSITORY

_PACKET_BYTES: Final = 1 << 18
_DESCRIPTORS: Final = 2


class Forked:
    """A program that was started."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self._waiting = threading.Lock()
        self.pid = self._number()
        self.returncode: int | None = None

    def _number(self) -> int:
        number = self._told.recv(64)
        assert number, "whoever forks is gone"
        return int(number)

    def wait(self) -> int:
        """Waits for its end. Returns its status; of one that was killed, the signal's number, negative."""
        with self._waiting:
            if self.returncode is None:
                self.returncode = self._number()
                self._told.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its status if it has ended."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Tells it to end."""
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True, slots=True)
class _Forks:
    """Whoever forks, for the tests of one process. It ends with that."""

    connection: socket.socket
    process: subprocess.Popen[bytes]

    @classmethod
    def started(cls) -> _Forks:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.service_forks", str(theirs.fileno()), str(os.getpid())],
                cwd=REPOSITORY,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        return cls(ours, process)

    def end(self) -> None:
        """Ends it; what it started goes on."""
        self.connection.close()
        self.process.wait()


_STARTING: Final = threading.Lock()
_forks: list[_Forks] = []


def _forking() -> _Forks:
    with _STARTING:
        if not _forks:
            _forks.append(_Forks.started())
        return _forks[0]


def end() -> None:
    """Ends whoever forks, if anything was forked."""
    while _forks:
        _forks.pop().end()


def started(service: str, *, environment: Mapping[str, str], output: IO[bytes]) -> Forked:
    """Starts `python -m services.<service>` with this environment and no other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        request = {"module": f"services.{service}", "environment": dict(environment)}
        socket.send_fds(_forking().connection, [json.dumps(request).encode()], [output.fileno(), theirs.fileno()])
    return Forked(ours)


# --- the process that forks ------------------------------------------------------------------------------------------


def main() -> None:
    """Forks as asked on the socket whose descriptor is the first argument, until the other side closes."""
    linux.die_with_parent(signal.SIGKILL, int(sys.argv[2]))
    asked = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(asked.fileno(), False)
    running: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor != asked.fileno():
                poll.unregister(descriptor)
                _tell_the_end(descriptor, *running.pop(descriptor))
                continue
            packet, descriptors, _, _ = socket.recv_fds(asked, _PACKET_BYTES, _DESCRIPTORS)
            if not packet:
                return
            request = json.loads(packet)
            _ready_for(request["module"])
            pid = os.fork()
            if pid == 0:
                _settle(request, descriptors)
                asked.close()
                for ends, (_, told) in running.items():
                    os.close(ends)
                    told.close()
                _run(request["module"])
            os.close(descriptors[0])
            told = socket.socket(fileno=descriptors[1])
            told.send(str(pid).encode())
            ends = os.pidfd_open(pid)
            running[ends] = pid, told
            poll.register(ends, select.POLLIN)


def _tell_the_end(descriptor: int, pid: int, told: socket.socket) -> None:
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    with told, contextlib.suppress(OSError):  # nobody wants to know
        told.send(str(os.waitstatus_to_exitcode(status)).encode())


@functools.cache
def _ready_for(module: str) -> None:
    """Imports what a program needs. The program itself is not kept: it is made anew each time, as `python -m` does."""
    importlib.import_module(f"{module}.__main__")
    del sys.modules[f"{module}.__main__"]
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"an imported library started {threads - 1} threads: forking would not be safe"
    gc.collect()
    gc.freeze()  # a collection in a fork then leaves these objects, and so the shared pages, alone


def _settle(request: dict[str, Any], descriptors: list[int]) -> None:
    for standard in (1, 2):
        os.dup2(descriptors[0], standard)
    for descriptor in descriptors:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"]]


def _run(module: str) -> None:
    """Does what `python -m` would, and ends this process as the interpreter does."""
    # It is not the interpreter's end that would come after it, but that of whoever forks: the rest of this stack is left as well.
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
