"""Bytes onto disk: the growing file of an upload, its running SHA-256, and who writes to it now.

The event loop only hands chunks over; checking, hashing and writing happen in threads, behind the network (`write_behind`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import google_crc32c
import grpc

from services.kit.errors import Refusal
from services.upload.domain import DOMAIN, beyond_size, bytes_lost, chunk_corrupt

_READ_BYTES: Final = 4 * 1024 * 1024
_CHUNK_MEMORY: Final = 256
_MOST_PARTS: Final = 1024
"""As many as Linux takes in one call (`IOV_MAX`)."""


@dataclass(slots=True)
class RunningHash:
    """SHA-256 of the first `position` bytes of a file."""

    position: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def update(self, offset: int, parts: list[bytes]) -> None:
        """Goes on with parts that lie at `offset`, if that is where it stands. Should they not be written after all, it stands beyond
        what there is, and is of no more use."""
        if self.position != offset:
            return
        for data in parts:
            self.sha256.update(data)
            self.position += len(data)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they came, with the CRC32C that came with them; None when none did."""

    data: bytes
    crc32c: int | None

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes while it waits, at most: a million chunks of nothing are not nothing."""
        return len(self.data) + _CHUNK_MEMORY


class GrowingFile:
    """The file of one upload, whose id is its name, while one stream writes to it.

    Raises:
        Refusal: BYTES_LOST when less is there than was counted.
    """

    def __init__(self, path: Path, offset: int, size_bytes: int, running: RunningHash) -> None:
        self._offset = offset
        self._size = size_bytes
        self._running = running
        if offset >= size_bytes:
            # Nothing more can come. A completion that died may have made it a master already, which nobody may write to.
            try:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise bytes_lost(path.name) from None
            return
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._descriptor).st_size < offset:
            # Going on would fill the hole with zeros, and nobody who announced no sum would ever know.
            os.close(self._descriptor)
            raise bytes_lost(path.name)
        # What lies beyond was written by a stream that died before it was counted.
        os.ftruncate(self._descriptor, offset)

    @property
    def offset(self) -> int:
        """Where the next chunk goes."""
        return self._offset

    def append(self, chunks: list[Chunk]) -> None:
        """Checks, hashes and writes a batch. What comes before a bad chunk is kept.

        Raises:
            Refusal: CHUNK_CORRUPT, BEYOND_SIZE or NO_SPACE.
        """
        good: list[bytes] = []
        end = self._offset
        refusal: Refusal | None = None
        for chunk in chunks:
            if chunk.crc32c is not None and google_crc32c.value(chunk.data) != chunk.crc32c:
                refusal = chunk_corrupt(end)
                break
            room = self._size - end
            if len(chunk.data) > room:
                good.append(chunk.data[:room])
                end += room
                refusal = beyond_size(self._size)
                break
            good.append(chunk.data)
            end += len(chunk.data)
        self._running.update(self._offset, good)
        self._write(good)
        self._offset = end
        if refusal is not None:
            raise refusal

    def _write(self, parts: list[bytes]) -> None:
        position = self._offset
        try:
            for first in range(0, len(parts), _MOST_PARTS):
                views = [memoryview(data) for data in parts[first : first + _MOST_PARTS] if data]
                while views:
                    written = os.pwritev(self._descriptor, views, position)
                    position += written
                    views = beyond(views, written)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space() from error
            raise

    def sync(self) -> int:
        """Makes what was written durable, and returns how much that is. What is appended meanwhile may not be."""
        durable = self._offset
        os.fdatasync(self._descriptor)
        return durable

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


def beyond(views: list[memoryview], count: int) -> list[memoryview]:
    """What is left of some parts without so many bytes at their beginning."""
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []


class Writers:
    """Who writes to which upload in this process: one stream at a time, and the newest one wins.

    A client whose connection broke comes back on a new one long before the old one is seen to be dead, so the old stream is ended,
    what it wrote is counted, and the new one goes on from there.
    """

    def __init__(self) -> None:
        self._writing: dict[str, asyncio.Task[object]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._superseded: set[asyncio.Task[object]] = set()

    @contextlib.asynccontextmanager
    async def alone(self, upload_id: str, patience: float = 5.0) -> AsyncIterator[None]:
        """Ends the stream that writes to the upload, if there is one, and keeps others out during the block.

        Raises:
            Refusal: WRITER_BUSY when the other stream does not end in time.
        """
        lock = self._locks.setdefault(upload_id, asyncio.Lock())
        other = self._writing.get(upload_id)
        if other is not None:
            self._superseded.add(other)
            other.cancel()
        try:
            await asyncio.wait_for(lock.acquire(), patience)
        except TimeoutError as error:
            raise _busy(upload_id, "another stream still writes to this upload; try again in a moment") from error
        task = asyncio.current_task()
        if task is not None:
            self._writing[upload_id] = task
        try:
            yield
        except asyncio.CancelledError as error:
            if task is None or task not in self._superseded:
                raise
            task.uncancel()  # it may still have an answer to write
            # Its client, should it still be there, must hear of it: a cancelled handler would leave it waiting.
            raise _busy(upload_id, "a newer stream took this upload over") from error
        finally:
            if task is not None:
                self._superseded.discard(task)
            if self._writing.get(upload_id) is task:
                del self._writing[upload_id]
            lock.release()
            if not lock.locked() and upload_id not in self._writing:
                self._locks.pop(upload_id, None)


def _busy(upload_id: str, message: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.ABORTED,
        "WRITER_BUSY",
        message,
        domain=DOMAIN,
        metadata={"upload_id": upload_id},
        retry_after=timedelta(seconds=1),
    )


class Staging:
    """The folder of growing files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes: dict[str, RunningHash] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, upload_id: str) -> Path:
        """Where the file of an upload grows."""
        return self._folder / upload_id

    def open(self, upload_id: str, offset: int, size_bytes: int) -> GrowingFile:
        """Opens the file of an upload for appending at `offset`. The hash goes on where it stood if it stood there."""
        running = self._hashes.get(upload_id)
        if running is None or running.position != offset:
            running = RunningHash()
            self._hashes[upload_id] = running
        return GrowingFile(self.path(upload_id), offset, size_bytes, running)

    def measured(self, upload_id: str, size_bytes: int) -> str:
        """SHA-256 of the whole file in hex: from the running hash when it saw all of it, else by reading the file again.

        Raises:
            Refusal: BYTES_LOST.
        """
        if self.path(upload_id).stat().st_size != size_bytes:
            raise bytes_lost(upload_id)
        running = self._hashes.get(upload_id)
        if running is not None and running.position == size_bytes:
            return running.sha256.hexdigest()
        return sha256_of(self.path(upload_id))

    def forget(self, upload_id: str) -> None:
        """Removes the file of an upload."""
        self._hashes.pop(upload_id, None)
        self.path(upload_id).unlink(missing_ok=True)

    def present(self) -> list[str]:
        """Ids of the uploads that have a file here."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_file())

    def room(self) -> int:
        """Free bytes where files grow."""
        return shutil.disk_usage(self._folder).free


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_READ_BYTES))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def no_space() -> Refusal:
    """The disk is full."""
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "NO_SPACE",
        "the server has no room for this file now; what it received is kept, so try again later",
        domain=DOMAIN,
        retry_after=timedelta(minutes=5),
    )
