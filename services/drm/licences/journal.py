"""The journal of licences: an append-only file on the local disk, written before anything is answered.

It stands between players and the database: a licence is on disk when it is answered, whatever happens to this process or to the database
afterwards, and the drain (`services.drm.licences.drain`) moves it on when it can. Many licences share one flush to the disk (group commit).

On disk there is one folder for each process that ever wrote, locked by it for as long as it lives, with segments named by an id that
sorts by time. A segment is a run of frames: length (4 bytes, big-endian), CRC-32 of the content (4 bytes), content. A frame that is cut off or
does not match its checksum ends its segment: it was being written when the machine went down, and so was never answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from services.kit.ids import new_id

log = structlog.stdlib.get_logger()

_HEAD: Final = struct.Struct(">II")
_LOCK: Final = "lock"
_SUFFIX: Final = ".journal"
LARGEST_FRAME: Final = 64 * 1024
"""Bytes of content. A licence takes a few hundred."""


class JournalFull(Exception):
    """More is waiting for the database than the disk is to hold."""


class JournalFailed(Exception):
    """The disk did not take what was to be written."""


@dataclass(frozen=True, slots=True)
class Read:
    """A frame as read back.

    Attributes:
        content: as appended.
        end: where in the segment it ends.
    """

    content: bytes
    end: int


def frames(data: bytes, start: int = 0) -> Iterator[Read]:
    """The whole frames of a segment from a position on; what follows the last of them is cut off or damaged."""
    at = start
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        content = data[at + _HEAD.size : at + _HEAD.size + length]
        if length > LARGEST_FRAME or len(content) < length or zlib.crc32(content) != checksum:
            return
        at += _HEAD.size + length
        yield Read(content, at)


class Segment:
    """One file of a journal. Its name is known nowhere else, so a position in it is never taken for one in another."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / (new_id("jnl") + _SUFFIX)
        self.durable = 0
        self._descriptor = -1

    def create(self) -> None:
        """Makes the file. Whoever finds it can find out by then that it is being written: see `Journal.segment`.

        Raises:
            OSError: there is none.
        """
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        _flush_folder(self.path.parent)

    @property
    def name(self) -> str:
        """Its id."""
        return self.path.name.removesuffix(_SUFFIX)

    def write(self, data: bytes) -> None:
        """Appends, and returns once it is on the disk.

        Raises:
            OSError: it is not; how much of it is, is not known.
        """
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        self.durable += len(data)

    def close(self) -> None:
        """Closes it, and cuts off what a failed write may have left behind what is durable."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self.durable)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class Journal:
    """The journal that this process writes.

    Args:
        folder: where the journals of all processes lie.
        segment_bytes: a segment that is larger is closed, and goes once the database has it.
        most_bytes: how much may wait for the database.
        gather_seconds: for how long a flush waits for company.
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int = 4 << 20, most_bytes: int = 1 << 30, gather_seconds: float = 0.002
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self._lock = _new_folder(folder)
        self._segment_bytes = segment_bytes
        self._most_bytes = most_bytes
        self._gather_seconds = gather_seconds
        # One thread: what is written and in which order is then never in doubt.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._segment: Segment | None = None
        self._waiting: list[bytes] = []
        self._batch: asyncio.Future[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self.undrained = 0
        """Bytes that the database does not have yet, of journals of earlier processes too. The drain keeps it."""

    @property
    def segment(self) -> Segment | None:
        """The segment that is written now; None when there is none. It is named here before its file is there and until its file has its last
        byte, so a file that is not named here, looked for before, is finished and may be removed."""
        return self._segment

    async def append(self, content: bytes) -> None:
        """Returns once the content is on the disk.

        Raises:
            JournalFull: too much is waiting already.
            JournalFailed: the disk did not take it.
        """
        if len(content) > LARGEST_FRAME:
            raise ValueError(f"{len(content)} bytes are no licence")
        if self.undrained + len(content) > self._most_bytes:
            raise JournalFull
        self._waiting.append(_HEAD.pack(len(content), zlib.crc32(content)) + content)
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
        batch = self._batch
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        # A caller that goes away must not take the others' batch with it.
        await asyncio.shield(batch)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._batch is not None:
            if self._gather_seconds:
                await asyncio.sleep(self._gather_seconds)
            data, batch = b"".join(self._waiting), self._batch
            self._waiting, self._batch = [], None
            try:
                await loop.run_in_executor(self._thread, self._write, data)
            except OSError as error:
                log.error("the journal cannot be written", error=error.strerror)  # noqa: TRY400  # where it happened is plain
                failed = JournalFull() if error.errno in {errno.ENOSPC, errno.EDQUOT} else JournalFailed()
                batch.set_exception(failed)
                batch.exception()  # seen: whoever waited may be gone
            else:
                self.undrained += len(data)
                batch.set_result(None)
        self._flushing = None

    def _write(self, data: bytes) -> None:
        try:
            if self._segment is None:
                self._segment = Segment(self.folder)
                self._segment.create()
            self._segment.write(data)
        except OSError:
            # What of it got to the disk is cut off, and nothing is written behind it.
            self._close_segment()
            raise
        if self._segment.durable >= self._segment_bytes:
            self._close_segment()

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    async def rolled(self) -> None:
        """Closes the segment that is written now, so that the drain can remove it. The next licence begins another."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_segment)

    async def close(self) -> None:
        """Ends writing; what is not drained stays for the next process. An empty folder goes."""
        if self._flushing is not None:
            await self._flushing
        await self.rolled()
        self._thread.shutdown()
        _unlocked(self.folder, self._lock)


class LeftBehind:
    """The journal of a process that is gone, held so that nobody else drains it too."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    @classmethod
    def all_in(cls, folder: Path) -> list[LeftBehind]:
        """All that no living process holds, oldest first."""
        found = []
        for one in sorted(folder.iterdir()) if folder.exists() else ():
            lock = _locked(one) if one.is_dir() else None
            if lock is not None:
                found.append(cls(one, lock))
        return found

    def close(self) -> None:
        """Lets go of it; an empty folder goes."""
        _unlocked(self.folder, self._lock)


def segments_in(folder: Path) -> list[Path]:
    """Segments of a journal, oldest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def name_of(segment: Path) -> str:
    """Id of a segment."""
    return segment.name.removesuffix(_SUFFIX)


def _locked(folder: Path) -> int | None:
    """Locks a folder for as long as the process lives; None when another one has it or it is gone."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _new_folder(parent: Path) -> tuple[Path, int]:
    """A folder of this process's own, and its lock. One that another process took for left behind, before it was locked, is left to that."""
    while True:
        folder = parent / new_id("jnl")
        folder.mkdir(mode=0o700)
        lock = _locked(folder)
        if lock is not None:
            _flush_folder(parent)
            return folder, lock


def _unlocked(folder: Path, lock: int | None) -> None:
    if not segments_in(folder):
        with contextlib.suppress(OSError):
            (folder / _LOCK).unlink()
            folder.rmdir()
    if lock is not None:
        os.close(lock)


def _flush_folder(folder: Path) -> None:
    """Makes names of new files in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
