"""ClamAV: masters are streamed to clamd (INSTREAM, https://docs.clamav.net/manual/Usage/Scanning.html#clamd), which sees nothing of our files but their bytes.

clamd looks at no more than 2 GiB of a stream, and at no more than its own `StreamMaxLength`. So larger masters go in parts that overlap. What
clamd says it could not look at, because one of its limits was reached (`AlertExceedsMax yes`), is not clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from services.protection.gate import Finding, Ground, Master, Unreachable

NAME: Final = "clamav"
OVERLAP: Final = 1 << 20
"""Bytes that one part shares with the next, so that what lies across their border is found."""
_CHUNK: Final = 16 << 20
_CONNECT_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 900.0
_LIMITS: Final = "Heuristics.Limits.Exceeded"


@dataclass(frozen=True, slots=True)
class Address:
    """Where clamd listens: a unix socket, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def of(cls, text: str) -> Address:
        """Reads `unix:/path` or `host:port`.

        Raises:
            ValueError: it is neither.
        """
        if text.startswith("unix:/"):
            return cls(path=text.removeprefix("unix:"))
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise ValueError(f"clamd is at unix:/path or at host:port, not at {text!r}")
        return cls(host=host.strip("[]"), port=int(port))

    def __str__(self) -> str:
        """As it is written in settings."""
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


class ClamAv:
    """The check.

    Args:
        part_bytes: largest part that is streamed at once; clamd's `StreamMaxLength` must not be smaller.
    """

    name = NAME

    def __init__(self, address: Address, part_bytes: int) -> None:
        if part_bytes <= OVERLAP:
            raise ValueError(f"parts must have more than {OVERLAP} bytes")
        self._address = address
        self._part_bytes = part_bytes

    async def reach(self) -> None:
        """Asks whether clamd is there.

        Raises:
            Unreachable: it is not, or it says something else than PONG.
        """
        answer = await self._asked(b"zPING\0")
        if answer != "PONG":
            raise Unreachable(f"clamd answered {answer[:100]!r} to a ping")

    async def version(self) -> str:
        """What clamd and its signatures call themselves.

        Raises:
            Unreachable: see there.
        """
        return await self._asked(b"zVERSION\0")

    async def look(self, master: Master) -> Finding | None:
        """Streams a master to clamd, in parts if need be.

        Raises:
            Unreachable: clamd went away, or cannot work.
        """
        size, start = master.size_bytes, 0
        while True:
            length = min(self._part_bytes, size - start)
            found = await self._part(master.file, start, length)
            if found is not None:
                whole = size <= self._part_bytes
                where = "" if whole else f"between byte {start} and byte {start + length}"
                ground = Ground.UNCHECKABLE if found.startswith(_LIMITS) else Ground.MALWARE
                return Finding(NAME, ground, "clamd", found, detail=where)
            start += length
            if start >= size:
                return None
            start -= OVERLAP

    async def _part(self, file: Path, start: int, length: int) -> str | None:
        """Name of what clamd finds in a part; None when nothing."""
        answer = await self._streamed(file, start, length)
        if answer == "stream: OK":
            return None
        if answer.endswith(" FOUND"):
            return answer.removeprefix("stream: ").removesuffix(" FOUND")
        if "size limit exceeded" in answer:
            return f"{_LIMITS}.StreamMaxLength"
        raise Unreachable(f"clamd cannot work: {answer[:200]}")

    async def _streamed(self, file: Path, start: int, length: int) -> str:
        def stream(connection: socket.socket) -> None:
            with file.open("rb") as source:
                _send(connection, source, start, length)

        return await self._conversation(stream, _ANSWER_SECONDS)

    async def _asked(self, command: bytes) -> str:
        return await self._conversation(lambda connection: connection.sendall(command), _STEP_SECONDS)

    async def _conversation(self, say: Callable[[socket.socket], None], seconds: float) -> str:
        """Says something and returns the answer. In a thread, because the kernel can send files by itself, and because an answer that comes
        before everything was said can still be read when the other side has hung up.

        Raises:
            Unreachable: for whatever goes wrong with the connection.
        """
        with socket.socket(socket.AF_UNIX if self._address.path else _family(self._address.host)) as connection:
            try:
                return await asyncio.to_thread(_talk, connection, self._address, say, seconds)
            except TimeoutError as error:
                raise Unreachable("clamd does not answer in time") from error
            except OSError as error:
                raise Unreachable(f"clamd cannot be reached: {error.strerror or error}") from error
            finally:
                with contextlib.suppress(OSError):  # where this is cancelled, the thread must not wait any longer
                    connection.shutdown(socket.SHUT_RDWR)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _talk(connection: socket.socket, address: Address, say: Callable[[socket.socket], None], seconds: float) -> str:
    connection.settimeout(_CONNECT_SECONDS)
    connection.connect(address.path or (address.host, address.port))
    connection.settimeout(_STEP_SECONDS)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it had enough, and says why
        say(connection)
    connection.settimeout(seconds)
    answer = bytearray()
    while not answer.endswith(b"\0"):
        received = connection.recv(4096)
        if not received:
            break
        answer += received
    if not answer:
        raise ConnectionAbortedError("it hung up")
    return answer.rstrip(b"\0").decode(errors="replace").strip()


def _send(connection: socket.socket, source: BinaryIO, start: int, length: int) -> None:
    """`zINSTREAM`, then chunks, each after its length in four bytes, then one of no length."""
    connection.sendall(b"zINSTREAM\0")
    at, end = start, start + length
    while at < end:
        size = min(_CHUNK, end - at)
        connection.sendall(size.to_bytes(4, "big"))
        if connection.sendfile(source, at, size) != size:
            raise ValueError("the master is shorter than it was")
        at += size
    connection.sendall(bytes(4))
