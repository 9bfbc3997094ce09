"""Reading a master file that is sent in chunks, with breaks."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import google_crc32c
import pytest

from tools.reelmesh_sdk.master_file import CHUNK_BYTES, MasterFile

SIZE = 3 * CHUNK_BYTES + 17


@pytest.fixture
def film(tmp_path: Path) -> Path:
    file = tmp_path / "film.mp4"
    file.write_bytes(os.urandom(SIZE))
    return file


def test_the_chunks_are_the_file(film: Path) -> None:
    with MasterFile(film) as master:
        offset, content = 0, b""
        while (chunk := master.chunk_at(offset)) is not None:
            assert chunk.offset == offset
            assert chunk.crc32c == google_crc32c.value(chunk.data)
            content += chunk.data
            offset += len(chunk.data)
        assert content == film.read_bytes()
        assert master.size == SIZE
        assert master.sha256() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("order", [[0, CHUNK_BYTES, 5, CHUNK_BYTES - 1], [2 * CHUNK_BYTES + 9], [SIZE], []])
def test_the_hash_is_right_however_the_reading_went(film: Path, order: list[int]) -> None:
    """After a break the server may have less than was sent; after a restart of the client, more than was read."""
    with MasterFile(film) as master:
        for offset in order:
            master.chunk_at(offset)
        assert master.sha256() == hashlib.sha256(film.read_bytes()).hexdigest()


def test_a_file_that_shrinks_on_the_way_is_noticed(film: Path) -> None:
    with MasterFile(film) as master:
        master.chunk_at(0)
        os.truncate(film, CHUNK_BYTES)
        with pytest.raises(EOFError, match="shorter"):
            master.sha256()
