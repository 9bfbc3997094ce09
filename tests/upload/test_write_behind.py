"""The queue in front of a growing file: all of it, in order, bounded, and nothing behind what was refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.upload.intake import Chunk, GrowingFile, RunningHash, beyond
from services.upload.write_behind import QUEUE_BYTES, WriteBehind

SIZE = 64 * 1024 * 1024


class Slow(GrowingFile):
    """A file on a disk that waits to be told."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 0, SIZE, RunningHash())
        self.may_write = threading.Event()

    def append(self, chunks: list[Chunk]) -> None:
        self.may_write.wait(60)
        super().append(chunks)


async def test_everything_is_written_in_the_order_in_which_it_was_put(tmp_path: Path) -> None:
    running = RunningHash()
    file = GrowingFile(tmp_path / "f", 0, SIZE, running)
    behind = WriteBehind(file)
    chunks = [os.urandom(1 + number * 7919 % 300_000) for number in range(200)]
    for chunk in chunks:
        await behind.put(Chunk(chunk, None))
    await behind.finish()
    whole = b"".join(chunks)
    assert (tmp_path / "f").read_bytes() == whole
    assert running.sha256.digest() == hashlib.sha256(whole).digest()
    file.close()


async def test_the_network_waits_while_the_disk_does(tmp_path: Path) -> None:
    file = Slow(tmp_path / "f")
    behind = WriteBehind(file)
    chunk = Chunk(bytes(1024 * 1024), None)

    async def fill() -> None:
        while True:
            await asyncio.wait_for(behind.put(chunk), 0.5)

    with pytest.raises(TimeoutError):
        await fill()
    file.may_write.set()
    await behind.finish()
    assert QUEUE_BYTES - chunk.memory <= file.offset <= QUEUE_BYTES + 2 * chunk.memory
    file.close()


async def test_nothing_behind_a_refused_chunk_is_kept(tmp_path: Path) -> None:
    file = Slow(tmp_path / "f")
    behind = WriteBehind(file)
    await behind.put(Chunk(b"good", None))
    await behind.put(Chunk(b"bad", 1))
    await behind.put(Chunk(b"behind", None))
    file.may_write.set()
    with pytest.raises(Refusal, match="CHUNK_CORRUPT"):
        await behind.finish()
    with pytest.raises(Refusal, match="CHUNK_CORRUPT"):
        await behind.put(Chunk(b"later", None))
    with pytest.raises(Refusal, match="CHUNK_CORRUPT"):
        await behind.finish()
    assert file.sync() == 4
    assert (tmp_path / "f").read_bytes() == b"good"
    file.close()


async def test_one_is_told_when_so_much_is_written_and_not_before(tmp_path: Path) -> None:
    file = Slow(tmp_path / "f")
    behind = WriteBehind(file)
    reached = asyncio.create_task(behind.reached(3))
    await behind.put(Chunk(b"abc", None))
    finished = asyncio.create_task(behind.finish())
    await asyncio.sleep(0.05)
    assert not reached.done()
    assert not finished.done()
    file.may_write.set()
    async with asyncio.timeout(30):
        await asyncio.gather(reached, finished)
    file.close()


async def test_slow_files_do_not_keep_the_others_waiting(tmp_path: Path) -> None:
    """However many there are: asyncio's own threads are left alone, and a file gives its place up after each batch."""
    slow = [Slow(tmp_path / f"slow-{number}") for number in range(40)]
    queues = [WriteBehind(file) for file in slow]
    for queue in queues[:20]:
        await queue.put(Chunk(bytes(1024 * 1024), None))
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(lambda: "at once") == "at once"
    for file in slow:
        file.may_write.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*(queue.finish() for queue in queues))
    assert [file.offset for file in slow] == [1024 * 1024] * 20 + [0] * 20
    for file in slow:
        file.close()


async def test_more_chunks_than_the_kernel_takes_at_once_are_written(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "f", 0, SIZE, RunningHash())
    behind = WriteBehind(file)
    chunks = [os.urandom(number % 40) for number in range(3000)]
    for chunk in chunks:
        await behind.put(Chunk(chunk, None))
    await behind.finish()
    assert (tmp_path / "f").read_bytes() == b"".join(chunks)
    file.close()


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=8), st.integers(0, 40))
def test_what_a_disk_did_not_take_is_written_next(parts: list[bytes], count: int) -> None:
    whole = b"".join(parts)
    left = beyond([memoryview(part) for part in parts], min(count, len(whole)))
    assert b"".join(left) == whole[count:]
    assert all(left)
