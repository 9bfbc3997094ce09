"""The HTTP/1.1 server: uvicorn's protocol on httptools, without uvicorn's own process handling, which the kit does.

Measured through Envoy, it costs what a protocol written for this one purpose costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]

# Envoy closes connections that were idle for an hour. It must be the one that does: a request sent into a closing connection is lost.
_KEEP_ALIVE_SECONDS: Final = 2 * 3600


class HttpServer:
    """Serves one ASGI application on one address."""

    def __init__(self, application: Application) -> None:
        self._config = uvicorn.Config(
            application,
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        # Whatever it has to say in normal running, Envoy's access log and ours say better.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> None:
        """Listens on `unix:/path` or `host:port`."""
        loop = asyncio.get_running_loop()
        if address.startswith("unix:"):
            self._server = await loop.create_unix_server(self._protocol, address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            self._server = await loop.create_server(self._protocol, host.strip("[]"), int(port))

    async def drain(self, grace: float) -> None:
        """Takes no more connections, lets requests end for up to `grace` seconds, and closes."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)

    def _protocol(self) -> asyncio.Protocol:
        return HttpToolsProtocol(self._config, self._state, {})
