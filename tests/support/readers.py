"""Connections to servers that may hang up at once."""

from __future__ import annotations

import asyncio
import ssl


class Reader(asyncio.StreamReader):
    """Gives what arrived before a connection broke, too: a server that closes at once may leave nobody for the last word of TLS, nor for the rest of
    what it is told."""

    def set_exception(self, exc: Exception) -> None:
        if isinstance(exc, OSError):  # those of TLS are some, too
            self.feed_eof()
        else:
            super().set_exception(exc)


async def connected_to(
    path: str, context: ssl.SSLContext, server_name: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a server's socket, with what shows who connects."""
    loop, reader = asyncio.get_running_loop(), Reader()
    transport, protocol = await loop.create_unix_connection(
        lambda: asyncio.StreamReaderProtocol(reader), path, ssl=context, server_hostname=server_name
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
