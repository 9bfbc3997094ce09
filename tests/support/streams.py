"""Connections of which everything is read that arrived, however they end."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class WholeReader(asyncio.StreamReader):
    """Gives what arrived before a connection broke, too.

    asyncio's own gives nothing any more once a connection broke, such as under what is still written to a server that has
    answered and gone.
    """

    def set_exception(self, exc: Exception) -> None:
        """Takes a connection that broke for one that ended."""
        if isinstance(exc, ConnectionError):
            self.feed_eof()
        else:
            super().set_exception(exc)


async def tcp(address: str) -> Streams:
    """Connects to `host:port`.

    Raises:
        OSError: nobody is there.
    """
    host, _, port = address.rpartition(":")
    loop, reader = asyncio.get_running_loop(), WholeReader()
    transport, protocol = await loop.create_connection(lambda: asyncio.StreamReaderProtocol(reader), host, int(port))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def unix(socket: Path, context: ssl.SSLContext | None = None, server_name: str | None = None) -> Streams:
    """Connects to a socket, by TLS where a context is given.

    Raises:
        OSError: nobody is there, or the handshake failed.
    """
    loop, reader = asyncio.get_running_loop(), WholeReader()
    transport, protocol = await loop.create_unix_connection(
        lambda: asyncio.StreamReaderProtocol(reader), str(socket), ssl=context, server_hostname=server_name
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
