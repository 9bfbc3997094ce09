"""The smallest HTTP/1.1 server (RFC 9112): short requests of one service of the mesh, each answered in one piece.

For what is asked thousands of times a second. A gRPC call costs a Python server several times what its handler does, and its caller twice as
much as a request of HTTP/1.1; see DECISIONS.md. Everything else is served by gRPC, or behind uvicorn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import httptools
import structlog

from services.kit.tls import Certificates, server_context

log = structlog.stdlib.get_logger()

_PATIENCE: Final = 1.0
"""Seconds for which a request that was cancelled may still run."""
_BACKLOG: Final = 1024
"""Connections that may wait to be taken. A flood opens hundreds at once, and one more than may wait is a request refused."""
_NOBODY: Final = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


@dataclass(slots=True)
class Request:
    """A request.

    Attributes:
        target: path and query as they came, byte for byte as latin-1.
        headers: names in lower case. Values of one name are joined by commas (RFC 9110 §5.3).
        body: empty where there is none; None when it is larger than the server takes.
    """

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        headers: without the content's length.
        body: left out where the request's method is HEAD.
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def encoded(self, method: str) -> bytes:
        """As it is sent.

        Raises:
            ValueError: a header would end before it should.
        """
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"content-length: {len(self.body)}")
        head = "\r\n".join(lines)
        if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1 or "\0" in head:
            raise ValueError("a header holds a line break or U+0000")
        return head.encode("latin-1", "replace") + b"\r\n\r\n" + (b"" if method == "HEAD" else self.body)


Handler = Callable[[Request], Awaitable[Answer]]


class Door(Protocol):
    """Says who may connect; see `services.kit.peers.Peers`."""

    def admits(self, certificate: dict[str, Any] | None) -> bool:
        """Whether the holder of a certificate, as `SSLObject.getpeercert` describes it, may."""
        ...


class PlainHttpServer:
    """Serves one handler on one address, to services that may call it. Whatever the handler raises is answered by 500 without a word.

    Args:
        body_bytes: longest body of a request; with 0, whoever sends one is hung up on.
    """

    def __init__(self, handler: Handler, certificates: Certificates, peers: Door, *, body_bytes: int = 0) -> None:
        self._handler = handler
        self._body_bytes = body_bytes
        self._certificates = certificates
        self._peers = peers
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> None:
        """Listens on `unix:/path` or `host:port` with mutual TLS."""
        context, loop = server_context(self._certificates), asyncio.get_running_loop()
        if address.startswith("unix:"):
            self._server = await loop.create_unix_server(
                self._connection, address.removeprefix("unix:"), ssl=context, backlog=_BACKLOG
            )
        else:
            host, _, port = address.rpartition(":")
            self._server = await loop.create_server(
                self._connection, host.strip("[]"), int(port), ssl=context, backlog=_BACKLOG
            )

    async def drain(self, grace: float) -> None:
        """Takes no more connections, lets requests end for up to `grace` seconds, and closes."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.end()
        answering = [task for connection in self._connections if (task := connection.answering) is not None]
        if answering:
            _, late = await asyncio.wait(answering, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_PATIENCE)

    def _connection(self) -> _Connection:
        return _Connection(self._handler, self._peers, self._connections, self._body_bytes)


class _Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, handler: Handler, peers: Door, connections: set[_Connection], body_bytes: int) -> None:
        self._handler = handler
        self._body_bytes = body_bytes
        self._peers = peers
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._request = Request()
        self._ending = False
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.Transport", transport)
        if not self._peers.admits(connection.get_extra_info("peercert")):
            connection.abort()
            return
        self._transport = connection
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        self._transport = None
        self._connections.discard(self)
        if self.answering is not None:
            self.answering.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeDecodeError):
            self._hang_up()

    def on_message_begin(self) -> None:
        """The parser has the first byte of a request."""
        if self.answering is not None:  # nobody who may call sends a request before the last was answered
            self._hang_up()
        self._request = Request()

    def on_url(self, part: bytes) -> None:
        """The parser has a part of the target."""
        self._request.target += part.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has a header."""
        headers, key, text = self._request.headers, name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    def on_body(self, part: bytes) -> None:
        """The parser has a part of a body."""
        if not self._body_bytes:
            self._hang_up()
        elif self._request.body is not None:
            whole = self._request.body + part if self._request.body else part
            self._request.body = whole if len(whole) <= self._body_bytes else None

    def on_message_complete(self) -> None:
        """The parser has all of a request."""
        if self._transport is None:
            return
        self._request.method = self._parser.get_method().decode("latin-1")
        self.answering = asyncio.create_task(self._answer(self._request))

    async def _answer(self, request: Request) -> None:
        try:
            sent = (await self._handler(request)).encoded(request.method)
        except Exception:
            log.exception("defect", method=request.method)
            sent = _NOBODY
        finally:
            self.answering = None
        if self._transport is not None:
            self._transport.write(sent)
            if self._ending:
                self._transport.close()

    def end(self) -> None:
        """Closes the connection, after the request that is being answered."""
        self._ending = True
        if self.answering is None and self._transport is not None:
            self._transport.close()

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
