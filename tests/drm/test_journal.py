"""The journal on the disk: what was appended is there, whatever happens to the process or to the end of the file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.drm.licences.journal import (
    Journal,
    JournalFailed,
    JournalFull,
    LeftBehind,
    frames,
    segments_in,
)

CRASHER = Path(__file__).with_name("appending.py")


def contents(folder: Path) -> list[bytes]:
    return [frame.content for path in segments_in(folder) for frame in frames(path.read_bytes())]


async def appended(folder: Path, *all_of: bytes) -> Path:
    """A journal with these contents, closed; the folder of it."""
    journal = Journal(folder, gather_seconds=0)
    await asyncio.gather(*(journal.append(one) for one in all_of))
    await journal.close()
    return journal.folder


async def test_what_was_appended_is_on_the_disk_in_its_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    wanted = [str(number).encode() * (number % 50 + 1) for number in range(500)]
    await asyncio.gather(*(journal.append(one) for one in wanted))
    assert contents(journal.folder) == wanted
    assert journal.undrained == sum(len(one) + 8 for one in wanted)
    await journal.close()


async def test_an_empty_file_is_known_to_be_written(tmp_path: Path) -> None:
    """Whatever is not written any more is removed once it is drained, so a file that is only about to be written must not look like that."""
    journal, strays = Journal(tmp_path, gather_seconds=0), []

    async def look() -> None:
        while True:
            for path in segments_in(journal.folder):
                written = journal.segment
                if (written is None or written.path != path) and path.stat().st_size == 0:
                    strays.append(path)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for _ in range(100):
        await journal.append(b"x")
        await journal.rolled()
        for path in segments_in(journal.folder):
            path.unlink()
    looking.cancel()
    await journal.close()
    assert not strays


async def test_many_share_a_flush(tmp_path: Path) -> None:
    """Five hundred that come together are written by few writes: each is as long as all that waited."""
    journal = Journal(tmp_path)
    await asyncio.gather(*(journal.append(b"x" * 100) for _ in range(500)))
    (path,) = segments_in(journal.folder)
    assert path.stat().st_size == 500 * 108
    await journal.close()


async def test_a_segment_that_is_large_enough_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1000, gather_seconds=0)
    for _ in range(10):
        await journal.append(b"x" * 400)
    assert len(segments_in(journal.folder)) == 4
    assert len(contents(journal.folder)) == 10
    await journal.close()


async def test_when_too_much_waits_nothing_more_is_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path, most_bytes=1000, gather_seconds=0)
    await journal.append(b"x" * 900)
    with pytest.raises(JournalFull):
        await journal.append(b"x" * 200)
    journal.undrained = 0
    await journal.append(b"x" * 200)
    await journal.close()


async def test_a_disk_that_fails_is_told_and_what_follows_is_whole(tmp_path: Path) -> None:
    """A folder that is gone fails as a disk does; once it is back, nothing torn is before what is written then."""
    journal = Journal(tmp_path, gather_seconds=0)
    away = journal.folder.with_name("away")
    journal.folder.rename(away)
    with pytest.raises(JournalFailed):
        await journal.append(b"lost")
    away.rename(journal.folder)
    await journal.append(b"kept")
    assert contents(journal.folder) == [b"kept"]
    await journal.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8), st.data())
def test_cut_anywhere_the_whole_frames_before_it_are_read(wanted: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (path,) = segments_in(asyncio.run(appended(Path(folder), *wanted)))
        whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    found = list(frames(whole[:cut]))
    assert [frame.content for frame in found] == wanted[: len(found)]
    assert all(frame.end <= cut for frame in found)
    lengths = [8 + len(one) for one in wanted]
    assert len(found) == sum(sum(lengths[: number + 1]) <= cut for number in range(len(lengths)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8), st.data())
def test_a_changed_byte_never_makes_another_record(wanted: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (path,) = segments_in(asyncio.run(appended(Path(folder), *wanted)))
        damaged = bytearray(path.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    found = [frame.content for frame in frames(bytes(damaged))]
    assert found == wanted[: len(found)]
    assert len(found) < len(wanted)


async def test_only_journals_of_processes_that_are_gone_are_taken_over(tmp_path: Path) -> None:
    living = Journal(tmp_path)
    await living.append(b"mine")
    assert LeftBehind.all_in(tmp_path) == []
    gone = await appended(tmp_path, b"theirs")
    (left,) = LeftBehind.all_in(tmp_path)
    assert left.folder == gone
    assert LeftBehind.all_in(tmp_path) == [], "one process drains it, not two"
    left.close()
    await living.close()


async def test_an_empty_journal_leaves_nothing_behind(tmp_path: Path) -> None:
    await Journal(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after", [1, 20, 200])
async def test_kill_9_loses_nothing_that_was_said_to_be_on_the_disk(tmp_path: Path, after: int) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CRASHER), str(tmp_path), stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    assert child.stdout is not None
    said = [(await child.stdout.readline()).strip() for _ in range(after)]
    child.send_signal(signal.SIGKILL)
    said += (await child.stdout.read()).splitlines()
    await child.wait()
    (left,) = LeftBehind.all_in(tmp_path)
    found = contents(left.folder)
    assert len(said) >= after
    assert set(filter(None, said[:-1])) <= set(found)
    assert len(found) == len(set(found))
    left.close()
