"""Runs the `reelmesh` command in a process of its own that imported everything before: most of what a command takes is imports.

One process for each that runs tests imports what commands import, and forks for each, as the supervisor's zygote does for services. Starting the
command from nothing is what the tests of the supervisor do, and those of the whole mesh with `installation.run`.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]
_LONGEST = 1 << 18


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


def reelmesh(words: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Runs the command with these words in this environment, to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.connect(_server())
            asked = json.dumps({"words": list(words), "environment": dict(environment)}).encode()
            socket.send_fds(line, [asked], [out.fileno(), err.fileno()])
            status = int(line.recv(16))
        return Ran(status, *(_read(file.fileno()) for file in (out, err)))


def _read(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read().decode()


@functools.cache
def _server() -> str:
    """Address of the process that forks, started when it is first asked for."""
    address = str(Path(tempfile.mkdtemp(prefix="reelmesh-command-")) / "line")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,  # it ends when this process does, and with it the pipe
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}"},
        )

    def end() -> None:
        process.kill()
        process.wait()
        Path(address).unlink()
        Path(address).parent.rmdir()

    atexit.register(end)
    return address


def _serve(listener: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(line)
        line.close()
    sys.exit()


def _answer(line: socket.socket) -> NoReturn:
    """Lets a process of its own become the command, and says how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    packet, descriptors, _, _ = socket.recv_fds(line, _LONGEST, 2)
    asked = json.loads(packet)
    child = os.fork()
    if child == 0:
        line.close()
        _become(asked["words"], asked["environment"], descriptors)
    _, status = os.waitpid(child, 0)
    line.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(words: list[str], environment: dict[str, str], descriptors: list[int]) -> NoReturn:
    from tools.reelmesh_cli.app import main

    for target, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *descriptors)):
        os.dup2(descriptor, target)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["reelmesh", *words]
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Imports, and forks for whoever asks."""
    for module in ("grpc.aio", "tools.reelmesh_cli.app", "tools.reelmesh_cli.people", "tools.reelmesh_sdk"):
        importlib.import_module(module)
    _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
