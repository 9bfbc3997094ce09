"""Chunks onto disk behind the network's back: checked, hashed and written in a thread while the next ones arrive.

One thread at a time works for one file, a batch at a time, and none while its queue is empty: a thousand slow uploads hold no thread
each, and one fast one does not keep the others waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.upload.intake import Chunk, GrowingFile

_BATCH_BYTES: Final = 1024 * 1024
"""A thread is called when that much waits: handing a thousand small chunks over one by one would cost more than writing them."""
QUEUE_BYTES: Final = 4 * _BATCH_BYTES
"""Memory of what waits for one file, at most, beside one chunk; then the network is left to wait. Four batches ride out the moments in
which the disk, the other threads or the network have something else to do; more of them gain nothing."""
# Their own, so that slow disks never stand between other work and its threads.
_WRITERS: Final = ThreadPoolExecutor(thread_name_prefix="writing")


class WriteBehind:
    """The queue in front of one growing file. Its methods are for the event loop that made it."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        # All of these under the lock.
        self._waiting: deque[Chunk] = deque()
        self._waiting_bytes = 0
        self._error: BaseException | None = None
        self._working = False
        self._changed = asyncio.Event()

    async def put(self, chunk: Chunk) -> None:
        """Takes a chunk in; waits while too much is waiting.

        Raises:
            Refusal: what `GrowingFile.append` said of an earlier chunk; nothing behind that one was kept.
        """
        with self._lock:
            if self._error is None:
                self._waiting.append(chunk)
                self._waiting_bytes += chunk.memory
        if self._waiting_bytes >= _BATCH_BYTES:
            self._work()
        await self._until(QUEUE_BYTES)

    async def finish(self) -> None:
        """Waits until all that was taken in is written.

        Raises:
            Refusal: as above.
        """
        await self._until(0)

    async def reached(self, offset: int) -> None:
        """Waits until the file is written up to there; for ever, should that never be."""
        while True:
            self._changed.clear()
            if self._file.offset >= offset:
                return
            await self._changed.wait()

    async def _until(self, most: int) -> None:
        """Waits until no more than that many bytes wait; with zero, until no thread works here either."""
        while True:
            self._changed.clear()
            if not most:
                self._work()
            with self._lock:
                if self._error is not None and not self._working:
                    raise self._error
                if self._waiting_bytes <= most and (most or not self._working):
                    return
            await self._changed.wait()

    def _work(self) -> None:
        with self._lock:
            if self._working or self._error is not None or not self._waiting:
                return
            self._working = True
        self._submit()

    def _submit(self) -> None:
        try:
            _WRITERS.submit(self._write_batch)
        except RuntimeError as error:  # no more threads can be had, or the process ends
            self._failed(error)
            with self._lock:
                self._working = False
            self._loop.call_soon_threadsafe(self._changed.set)

    def _write_batch(self) -> None:
        """Writes what waits, up to a batch, in a thread; then it is the next file's turn."""
        batch = self._taken()
        try:
            self._file.append(batch)
        except BaseException as error:  # it belongs to whoever puts or finishes
            self._failed(error)
        with self._lock:
            self._waiting_bytes -= sum(chunk.memory for chunk in batch)
            self._working = bool(self._waiting)
            more = self._working
        self._loop.call_soon_threadsafe(self._changed.set)
        if more:
            self._submit()

    def _taken(self) -> list[Chunk]:
        batch: list[Chunk] = []
        size = 0
        with self._lock:
            while self._waiting and size < _BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += batch[-1].memory
        return batch

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            self._error = error
            self._waiting_bytes -= sum(chunk.memory for chunk in self._waiting)
            self._waiting.clear()
