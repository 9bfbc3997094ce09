"""The box reader, on finished sets and on damaged files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.packaging.boxes import BoxError, boxes, read_init, read_segment
from services.packaging.tracks import Scheme
from tests.packaging.conftest import Finished
from tests.packaging.sets import IV, KEYS
from tests.packaging.sources import SEGMENT_SECONDS


async def test_init_and_media_segments_are_read(finished: Finished) -> None:
    root = (await finished(Scheme.CBCS)).root
    init = read_init(root / "video/360p/init.mp4")
    assert (init.scheme, init.key_id, init.constant_iv, init.entries) == ("cbcs", KEYS["HD"].key_id, IV, 1)
    first, second = (read_segment(root / f"video/360p/{number}.m4s", init) for number in (1, 2))
    assert first.duration == SEGMENT_SECONDS * init.timescale
    assert first.samples == 48
    assert second.start == first.start + first.duration
    assert first.encrypted
    assert second.encrypted


async def test_a_64_bit_size_is_understood(tmp_path: Path) -> None:
    data = struct.pack(">I4sQ", 1, b"free", 20) + b"four"
    (box,) = boxes(memoryview(data))
    assert bytes(box.payload) == b"four"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.data())
def test_damage_never_raises_anything_else(
    damage: st.DataObject, small_files: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """What a packager that went wrong left behind must end in a refusal, not in a defect."""
    paths = []
    for name, whole in zip(("init", "segment"), small_files, strict=True):
        data = bytearray(whole[: damage.draw(st.integers(0, len(whole)))])
        for position in damage.draw(st.lists(st.integers(0, max(len(data) - 1, 0)), max_size=4)):
            if data:
                data[position] = damage.draw(st.integers(0, 255))
        path = tmp_path / name
        path.write_bytes(data)
        paths.append(path)
    try:
        read_segment(paths[1], read_init(paths[0]))
    except BoxError:
        return


@pytest.fixture
async def small_files(finished: Finished) -> tuple[bytes, bytes]:
    root = (await finished(Scheme.CENC)).root / "video/180p"
    segment = (root / "4.m4s").read_bytes()
    return (root / "init.mp4").read_bytes(), segment[: segment.index(b"mdat") + 4] + b"media"
