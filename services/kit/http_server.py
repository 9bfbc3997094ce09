"""The HTTP/1.1 server: uvicorn's protocol on httptools, without uvicorn's own process handling, which the kit does.

Measured through Envoy, it costs what a protocol written for this one purpose costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from services.kit.callers import Callers
from services.kit.peers import Peers
from services.kit.tls import Certificates, server_context

Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]

# Envoy closes connections that were idle for an hour. It must be the one that does: a request sent into a closing connection is lost.
_KEEP_ALIVE_SECONDS: Final = 2 * 3600


class HttpServer:
    """Serves one ASGI application on one address, to the services that may call it."""

    def __init__(self, application: Application, certificates: Certificates, callers: Callers) -> None:
        self._certificates = certificates
        self._peers = Peers(certificates, callers)
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
        """Listens on `unix:/path` or `host:port` with mutual TLS."""
        context = server_context(self._certificates)
        loop = asyncio.get_running_loop()
        if address.startswith("unix:"):
            self._server = await loop.create_unix_server(self._protocol, address.removeprefix("unix:"), ssl=context)
        else:
            host, _, port = address.rpartition(":")
            self._server = await loop.create_server(self._protocol, host.strip("[]"), int(port), ssl=context)

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
        return _Guarded(self._peers, self._config, self._state)


class _Guarded(HttpToolsProtocol):
    """Hangs up on whoever is not listed, before a byte of theirs is read."""

    def __init__(self, peers: Peers, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._peers = peers
        self._let_in = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.Transport", transport)
        self._let_in = self._peers.admits(connection.get_extra_info("peercert"))
        if not self._let_in:
            connection.abort()
            return
        super().connection_made(connection)

    def data_received(self, data: bytes) -> None:
        if self._let_in:
            super().data_received(data)

    def eof_received(self) -> None:
        if self._let_in:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._let_in:
            super().connection_lost(exc)
