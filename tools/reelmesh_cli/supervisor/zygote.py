"""The zygote: one single-threaded process that starts every other process of the mesh.

It imports the heavy libraries once; a Python process of the mesh is then a fork, which costs milliseconds
and shares most of the memory. Programs (Postgres, NATS, Envoy) are forked and executed from here too,
because between fork and exec some work has to be done (change of user, parent-death signal), and that is
only safe in a process without threads.

Every process is forked twice: its first parent exits at once, so that it becomes a child of the
supervisor (which adopts orphans), who can then wait for it; the zygote's own death takes nothing along.

Wire: one JSON object per packet on a SEQPACKET socket: a `SpawnRequest`, with the descriptor for stdout and
stderr attached; the answer is {"pid": n}, with an "error" if that process could not become what was asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tools.reelmesh_cli.supervisor import linux

PACKET_BYTES = 1 << 18
"""Largest request: an environment and a command line."""


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """What to start.

    Attributes:
        name: what `ps` shows.
        module: a Python module with `main()`, run in the fork; or empty, and `command` is executed.
        command: absolute program path and arguments.
        environment: the whole environment of the process.
        directory: working directory.
        death_signal: what the process receives if the supervisor dies.
        uid: user to become; None stays. `gid` goes with it.
        must_reach: paths that user has to be able to enter.
    """

    name: str
    environment: dict[str, str]
    directory: str
    module: str = ""
    command: tuple[str, ...] = ()
    death_signal: int = signal.SIGKILL
    uid: int | None = None
    gid: int | None = None
    must_reach: tuple[str, ...] = ()
    supervisor: int = field(default_factory=os.getpid)

    def packed(self) -> bytes:
        """The request as one packet."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, packet: bytes) -> SpawnRequest:
        """The request in a packet."""
        raw = json.loads(packet)
        return cls(**{**raw, "command": tuple(raw["command"]), "must_reach": tuple(raw["must_reach"])})


def main() -> None:
    """Serves requests on the socket whose descriptor is the first argument, until the other side closes."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    linux.die_with_parent(signal.SIGKILL, int(sys.argv[2]))
    linux.set_command_name("reelmesh-zygote")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    library = _Library(list(sys.argv[3].split(",")))
    while True:
        while library.waiting and not select.select([connection], [], [], 0)[0]:
            library.load_next()
        packet, descriptors, _, _ = socket.recv_fds(connection, PACKET_BYTES, 1)
        if not packet:
            return
        request = SpawnRequest.unpacked(packet)
        if request.module:
            library.load_all()
        reply = _spawn(request, descriptors[0], connection)
        os.close(descriptors[0])
        connection.send(json.dumps(reply).encode())


class _Library:
    """The modules to import ahead, one at a time, so that a program asked for meanwhile need not wait for all."""

    def __init__(self, modules: list[str]) -> None:
        self.waiting = modules

    def load_next(self) -> None:
        with contextlib.suppress(ImportError):  # the process that needs it will say so better
            importlib.import_module(self.waiting.pop(0))
        if not self.waiting:
            gc.collect()
            gc.freeze()  # a collection in a child then leaves these objects, and so the shared pages, alone
            threads = len(list(Path("/proc/self/task").iterdir()))
            if threads != 1:
                sys.exit(f"an imported library started {threads - 1} threads: forking would not be safe")

    def load_all(self) -> None:
        while self.waiting:
            self.load_next()


def _spawn(request: SpawnRequest, output: int, connection: socket.socket) -> dict[str, Any]:
    """Forks twice and answers with the pid of the grandchild, or with why it could not become the program."""
    report_read, report_write = os.pipe()
    first = os.fork()
    if first == 0:
        between = os.getpid()
        second = os.fork()
        if second != 0:
            os.write(report_write, f"{second}\n".encode())
            os._exit(0)
        os.close(report_read)
        connection.close()
        _become(request, output, report_write, between)
    os.close(report_write)
    os.waitpid(first, 0)
    report = b""
    while chunk := os.read(report_read, 4096):
        report += chunk
    os.close(report_read)
    words = report.decode(errors="replace").splitlines()
    pid = next((int(word) for word in words if word.isdigit()), 0)
    failure = next((word for word in words if not word.isdigit()), "" if pid else "the fork failed")
    return {"pid": pid, "error": failure} if failure else {"pid": pid}


def _become(request: SpawnRequest, output: int, report: int, between: int) -> NoReturn:
    """In the new process: settles down and turns into what was asked for."""
    try:
        _settle(request, output, between)
        if request.command:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and ignoring is inherited
            # `report` closes on exec: that is how the zygote learns that all went well.
            os.execve(  # noqa: S606
                request.command[0], list(request.command), request.environment
            )
        os.close(report)
    except BaseException as error:
        os.write(report, f"{type(error).__name__}: {error}\n".encode())
        os._exit(126)
    _run_module(request)


def _settle(request: SpawnRequest, output: int, between: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request.directory)
    if request.uid is not None and request.gid is not None:
        linux.become_user(request.uid, request.gid, request.must_reach)
    while os.getppid() == between:
        time.sleep(0.0005)  # until the first fork is gone and the supervisor has adopted us
    linux.die_with_parent(request.death_signal, request.supervisor)


def _run_module(request: SpawnRequest) -> NoReturn:
    """Does what `python -m` would, and leaves with the same status."""
    status = 0
    try:
        linux.set_command_name(request.name)
        os.environ.clear()
        os.environ.update(request.environment)
        sys.argv = [request.module]
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        _main_of(request.module).main()
    except SystemExit as error:
        if isinstance(error.code, int):
            status = error.code
        elif error.code is not None:
            print(error.code, file=sys.stderr)
            status = 1
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        atexit._run_exitfuncs()  # noqa: SLF001 (what the interpreter does before it ends; os._exit does not)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _main_of(name: str) -> ModuleType:
    found = importlib.util.find_spec(name)
    package = found is not None and found.submodule_search_locations is not None
    return importlib.import_module(f"{name}.__main__" if package else name)


if __name__ == "__main__":
    main()
