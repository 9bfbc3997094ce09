"""Reads a master file in chunks, with their CRC32C and the SHA-256 of the whole, however often it has to go back."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c

CHUNK_BYTES = 1 << 20
"""Best between 256 KiB and 1 MiB: larger ones only cost memory."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes at an offset of the file, and their CRC32C."""

    offset: int
    data: bytes
    crc32c: int


class MasterFile:
    """A file that is being sent. Each byte is hashed once, in order, even if it is read again after a break."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size
        self._hash = hashlib.sha256()
        self._hashed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def chunk_at(self, offset: int) -> Chunk | None:
        """The chunk that starts at `offset`; None at the end of the file.

        Raises:
            EOFError: the file has become shorter since it was opened.
        """
        while self._hashed < offset:  # resumed behind what this process has seen
            self._take(self._read(self._hashed, min(CHUNK_BYTES, offset - self._hashed)), self._hashed)
        if offset >= self.size:
            return None
        data = self._read(offset, min(CHUNK_BYTES, self.size - offset))
        self._take(data, offset)
        return Chunk(offset, data, google_crc32c.value(data))

    def _read(self, offset: int, count: int) -> bytes:
        data = os.pread(self._file.fileno(), count, offset)
        if not data:
            raise EOFError("the file became shorter while it was being sent")
        return data

    def _take(self, data: bytes, offset: int) -> None:
        fresh = memoryview(data)[max(self._hashed - offset, 0) :]
        self._hash.update(fresh)
        self._hashed += len(fresh)

    def sha256(self) -> str:
        """SHA-256 of the whole file, lower-case hex."""
        while self._hashed < self.size:
            self.chunk_at(self._hashed)
        return self._hash.hexdigest()
