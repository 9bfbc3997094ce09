"""A connection to a server of the mesh that speaks plain HTTP/1.1, as Envoy opens it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from services.kit.settings import ProcessSettings
from services.kit.tls import Certificates, client_context, host_name


class Line:
    """A connection as Envoy opens it, over which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def says(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """Sends bytes, and reads one answer.

        Raises:
            ConnectionError: there is none.
        """
        self._writer.write(raw)
        try:
            head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("hung up") from error
        status, *lines = head.strip().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        length = 0 if raw.startswith(b"HEAD ") else int(fields["content-length"])
        return int(status.split(" ")[1]), fields, await self._reader.readexactly(length)

    async def asks(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Sends a request."""
        fields = {"host": "films.example", "content-length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
        return await self.says("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


@contextlib.asynccontextmanager
async def a_line(settings: ProcessSettings, server: str, caller: str = "envoy") -> AsyncIterator[Line]:
    """A connection to a server, as `services/callers.toml` names it, that shows a service's certificate."""
    identity = Certificates(settings.tls_folder(caller)).current()
    reader, writer = await asyncio.open_unix_connection(
        settings.plain_address(server).removeprefix("unix:"),
        ssl=client_context(identity),
        server_hostname=host_name(identity.trust_domain, server.partition(".")[0]),
    )
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
