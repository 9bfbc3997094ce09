"""The body of one request, in blocks: read as it arrives, or held back until its checksum is known."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from enum import Enum
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeAlias

from gateway.tus.headers import Checksum
from gateway.tus.refusals import Reason, body_too_long, refused
from services.kit.errors import Refusal

BLOCK_BYTES: Final = 1024 * 1024
"""Blocks are about this long: the HTTP server hands out up to 320 KiB at a time, and the last part is not cut. With 256 KiB a block
an upload costs a seventh more processor time; with more than 1 MiB it only costs memory."""
_IN_MEMORY_BYTES: Final = 4 * BLOCK_BYTES
_READ_AWAY_BYTES: Final = 8 * BLOCK_BYTES
_SILENCE_SECONDS: Final = 0.25

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Inbox:
    """The ASGI channel of one request, which knows whether there is more to come."""

    def __init__(self, receive: Receive, *, empty: bool) -> None:
        self._receive = receive
        self._ended = empty

    async def __call__(self) -> MutableMapping[str, Any]:
        """The next ASGI message."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    async def read_away(self) -> None:
        """Reads on for a while before a refusal is sent: most clients listen only once they have sent everything, and one whose
        connection is closed before that hears nothing. Ends after 8 MiB, or when nothing comes for a quarter of a second."""
        room = _READ_AWAY_BYTES
        with contextlib.suppress(TimeoutError):
            while not self._ended and room > 0:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    room -= len((await self()).get("body", b""))


class End(Enum):
    """How a body ended."""

    COMPLETE = "all of it was read"
    VANISHED = "the client went away"
    STOPPED = "reading was stopped here"
    TOO_LONG = "there is more of it than there is room for"


Block: TypeAlias = list[bytes]
"""About `BLOCK_BYTES` in the parts in which they came: joining them would only copy them once more. Empty at the end."""


class Blocks(Protocol):
    """Where the bytes of a request come from."""

    async def block(self) -> Block:
        """The next bytes; empty at the end."""

    def stop(self) -> None:
        """Makes the next block the last one."""


class Body:
    """A body as it arrives.

    Args:
        receive: the ASGI channel.
        room_bytes: most bytes to hand out.

    Attributes:
        end: how it ended; None before.
        stopped_for: what to tell the client when reading was stopped here; None when something else will say so.
    """

    def __init__(self, receive: Receive, room_bytes: int) -> None:
        self._receive = receive
        self._room = room_bytes
        self._reader: asyncio.Task[Any] | None = None
        self._stopped = False
        self.end: End | None = None
        self.stopped_for: Refusal | None = None

    async def block(self) -> Block:
        """The next bytes; what arrived before the end comes out first."""
        parts: Block = []
        size = 0
        while size < BLOCK_BYTES and self.end is None:
            message = await self._message()
            if message is None:
                self.end = End.STOPPED
            elif message["type"] == "http.disconnect":
                self.end = End.VANISHED
            else:
                data: bytes = message.get("body", b"")
                if len(data) > self._room:
                    data, self.end = data[: self._room], End.TOO_LONG
                elif not message.get("more_body", False):
                    self.end = End.COMPLETE
                self._room -= len(data)
                if data:
                    parts.append(data)
                    size += len(data)
        return parts

    def stop(self, why: Refusal | None = None) -> None:
        """Ends reading here, even while it waits for bytes that may never come."""
        if self.end is None and not self._stopped:
            self._stopped, self.stopped_for = True, why
            if self._reader is not None:
                self._reader.cancel()

    def _was_stopped(self) -> bool:
        # Asked by name because it changes during an await, which a type checker does not see.
        return self._stopped

    async def _message(self) -> MutableMapping[str, Any] | None:
        """The next ASGI message; None once stopped. The cancellation that `stop` sends ends here, as that of `asyncio.timeout` does."""
        if self._stopped:
            return None
        self._reader = reader = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._was_stopped() and reader is not None and reader.uncancel() == 0:
                return None
            raise
        finally:
            self._reader = None


class Held:
    """A body that was read to its end before any of it is passed on."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stopped = False

    async def block(self) -> Block:
        """The next bytes; empty at the end."""
        data = b"" if self._stopped else await asyncio.to_thread(self._file.read, BLOCK_BYTES)
        return [data] if data else []

    def stop(self) -> None:
        """Makes the next block the last one."""
        self._stopped = True


@contextlib.asynccontextmanager
async def held_back(body: Body, checksum: Checksum, folder: Path) -> AsyncIterator[Held]:
    """Reads a body to its end into memory or, beyond 4 MiB, into a file without a name, and checks it. What does not have the announced
    checksum must not be kept (tus 1.0, "Checksum"), and what was passed on cannot be taken back.

    Args:
        body: what to read.
        checksum: what it must sum up to.
        folder: where the file is made; exists.

    Raises:
        Refusal: CHECKSUM_MISMATCH when the body is not what was announced, or not all there; BODY_TOO_LONG when it was longer than
            announced; or what reading was stopped for.
    """
    digest = checksum.begun()
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES, dir=str(folder)) as file:

        def keep(block: Block) -> None:
            for part in block:
                digest.update(part)
                file.write(part)

        while block := await body.block():
            await asyncio.to_thread(keep, block)
        if body.stopped_for is not None:
            raise body.stopped_for
        if body.end is End.TOO_LONG:
            raise body_too_long(file.tell())
        if digest.digest() != checksum.expected or body.end is not End.COMPLETE:
            raise refused(
                Reason.CHECKSUM_MISMATCH,
                f"the body does not have the announced {checksum.algorithm} checksum and was not kept; send it again",
                metadata={"algorithm": checksum.algorithm},
            )
        file.seek(0)
        yield Held(file)
