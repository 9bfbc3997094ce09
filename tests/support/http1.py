"""A small HTTP/1.1 client for many requests a second: connections stay open, and each carries one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, cast

_END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        fields: header fields by lower-case name; the last of several of one name.
    """

    status: int
    fields: Mapping[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
    """One connection. It knows answers with a content length, which all of Envoy's own have, and those without a body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._without_body = False
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not tested with isinstance: uvloop's have all of its methods and do not inherit from it.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed before the answer was complete"))

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes, *, without_body: bool) -> Answer:
        assert self._transport is not None
        self._received.clear()
        self._without_body = without_body
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            self.close()  # its answer would be taken for that of the next request
            raise

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        status, *lines = self._received[:end].decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if self._without_body else int(fields.get("content-length", "0"))
        body = self._received[end + len(_END_OF_HEAD) :]
        if len(body) >= length:
            if fields.get("connection") == "close":
                self.close()
            self._waiting.set_result(Answer(int(status.split(" ")[1]), fields, bytes(body)))


class Connections:
    """Up to so many connections to one server. Whoever asks while all are busy waits for the next that is free."""

    def __init__(self, address: str, most: int) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._address = address
        self._free: list[_Connection] = []
        self._places = asyncio.Semaphore(most)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._free:
            connection.close()
        await asyncio.sleep(0)

    async def ask(self, method: str, path: str, body: bytes = b"", **fields: str) -> Answer:
        """Sends one request and returns its answer. Underscores in names of fields stand for hyphens.

        Raises:
            OSError: there is nobody, or the connection broke.
        """
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._address}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        async with self._places:
            connection = await self._connection()
            answer = await connection.ask(request, without_body=method == "HEAD")
            if connection.open:
                self._free.append(connection)
            return answer

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, int(self._port))
        return connection
