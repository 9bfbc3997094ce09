"""The supervisor's side of the zygote: asks it for processes, and starts it anew if it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tools.reelmesh_cli.supervisor.layout import REPOSITORY
from tools.reelmesh_cli.supervisor.zygote import PACKET_BYTES, SpawnRequest


class SpawnFailed(Exception):
    """A process could not be started at all: the program is missing, or the user may not be changed."""


class Nursery:
    """Starts processes as children of this one.

    `busy` is true while a child may exist whose pid is not known here yet: nobody may then take an
    unknown child for an orphan.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str], log: int) -> None:
        self._modules = tuple(modules)
        self._environment = dict(environment)
        self._log = log
        self._turn = asyncio.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self.busy = False

    @property
    def pid(self) -> int | None:
        """The zygote's pid, once started."""
        return self._zygote.pid if self._zygote is not None else None

    def start(self) -> None:
        """Starts the zygote; it begins to import at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            sys.executable,
            "-c",
            # Not `-m`: the module must be known under its own name, because requests and forks refer to it.
            "from tools.reelmesh_cli.supervisor import zygote; zygote.main()",
            str(theirs.fileno()),
            str(os.getpid()),
            ",".join(self._modules),
        ]
        self._zygote = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        ours.setblocking(False)
        self._connection = ours

    def revive(self) -> None:
        """Starts the zygote again if it has died, so that it is warm when it is needed."""
        if not self.busy and self._zygote is not None and self._zygote.poll() is not None:
            self.close()
            self.start()

    async def spawn(self, request: SpawnRequest, output: int) -> int:
        """Starts one process whose stdout and stderr are `output`; returns its pid.

        Raises:
            SpawnFailed: with what the system said.
        """
        async with self._turn:
            self.busy = True
            try:
                reply = await self._ask(request, output)
            finally:
                self.busy = False
        if reply.get("error"):
            raise SpawnFailed(f"{request.name} cannot be started: {reply['error']}")
        return int(reply["pid"])

    async def _ask(self, request: SpawnRequest, output: int) -> dict[str, str]:
        for _ in range(3):
            if self._connection is None:
                self.start()
            connection = self._connection
            assert connection is not None  # `start` has just set it
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [request.packed()], [output])
                answer = await asyncio.get_running_loop().sock_recv(connection, PACKET_BYTES)
                if answer:
                    reply: dict[str, str] = json.loads(answer)
                    return reply
            self.close()
        raise SpawnFailed(f"{request.name} cannot be started: the zygote keeps dying, see supervisor.log")

    def close(self) -> None:
        """Ends the zygote. Processes that it started live on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._zygote is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._zygote.pid, signal.SIGKILL)
            self._zygote.wait()
            self._zygote = None
