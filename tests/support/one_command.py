"""Runs the `reelmesh` command as a person would, before one service that takes the place of the edge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from services.kit.settings import ProcessSettings
from services.kit.tls import Certificates, client_context, host_name
from tests.support import forked
from tests.support.stores import operator_key


class Ran(forked.Ran):
    """How a command ended, and what it told a program."""

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Command:
    """The command, and what it speaks to: a service itself in place of the edge."""

    settings: ProcessSettings
    url: str

    async def run(self, *words: str, key: str = "") -> Ran:
        environment = {
            "PATH": os.environ["PATH"],
            "REELMESH_URL": self.url,
            "REELMESH_API_KEY": key or operator_key(self.settings),
            "COLUMNS": "200",
        }
        ran = await asyncio.to_thread(forked.reelmesh, words, environment)
        assert "Traceback" not in ran.err, ran.err
        return Ran(ran.status, ran.out, ran.err)

    async def told(self, *words: str) -> dict[str, Any]:
        """What a program is told, when all is well."""
        ran = await self.run(*words, "--json")
        assert ran.status == 0, ran
        return ran.json


@contextlib.asynccontextmanager
async def edge_of(settings: ProcessSettings, service: str) -> AsyncIterator[int]:
    """What the edge is to the command: a port on which it speaks to a service without a certificate of its own. Bytes go on
    as they come, over a connection with Envoy's certificate."""
    envoy = Certificates(settings.tls_folder("envoy")).current()
    context = client_context(envoy)
    context.set_alpn_protocols(["h2"])
    tasks: set[asyncio.Task[None]] = set()

    async def pumped(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        # The command is gone, or the service is: nobody waits for what is still on its way.
        sink.transport.abort()
        with contextlib.suppress(OSError):
            await sink.wait_closed()

    async def joined(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, on = await asyncio.open_unix_connection(
            settings.peer(service).removeprefix("unix:"),
            ssl=context,
            server_hostname=host_name(envoy.trust_domain, service),
        )
        tasks.update({asyncio.create_task(pumped(near, on)), asyncio.create_task(pumped(far, back))})

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
