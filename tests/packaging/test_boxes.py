"""The box reader, on vectors that others made and on damaged files."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.packaging.boxes import BoxError, boxes, read_init, read_pssh, read_segment
from services.packaging.tracks import Scheme
from tests.packaging.conftest import Finished
from tests.packaging.sets import IV, KEYS
from tests.packaging.sources import SEGMENT_SECONDS

VECTORS = Path(__file__).parents[2].parent / "shared/vectors/pssh"
COMMON = bytes.fromhex("1077efecc0b24d02ace33c1e52e2fb4b")
WIDEVINE = bytes.fromhex("edef8ba979d64acea3c827dcd51d21ed")
PLAYREADY = bytes.fromhex("9a04f07998404286ab92e65be0885f95")


def vector(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the test vectors are not beside the repository: {path}")
    return json.loads(path.read_text())


def test_pssh_of_each_system_is_read() -> None:
    given = vector("shaka-player-pssh_unit.json")
    (widevine,) = read_pssh(bytes.fromhex(given["WIDEVINE_PSSH"]))
    assert (widevine.system, widevine.key_ids, widevine.data) == (WIDEVINE, (), bytes(range(1, 9)))
    (playready,) = read_pssh(bytes.fromhex(given["PLAYREADY_PSSH"]))
    assert playready.system == PLAYREADY
    (generic,) = read_pssh(bytes.fromhex(given["GENERIC_PSSH"]))
    assert (generic.system, generic.key_ids) == (COMMON, (b"0123456789012345", b"89012345ABCDEFGH"))


def test_a_box_of_size_zero_reaches_to_the_end() -> None:
    given = vector("shaka-player-pssh_unit.json")
    assert read_pssh(bytes.fromhex(given["ZERO_SIZED_GENERIC_PSSH"])) == read_pssh(bytes.fromhex(given["GENERIC_PSSH"]))


def test_other_boxes_are_passed_over() -> None:
    given = vector("shaka-player-pssh_unit.json")
    both = bytes.fromhex(given["OTHER_BOX"] + given["WIDEVINE_PSSH"] + given["OTHER_BOX"])
    assert [pssh.system for pssh in read_pssh(both)] == [WIDEVINE]


@pytest.mark.parametrize(
    "name", ["WIDEVINE_PSSH", "PLAYREADY_PSSH", "GENERIC_PSSH", "ZERO_SIZED_GENERIC_PSSH", "OTHER_BOX"]
)
def test_a_box_that_is_cut_off_is_refused(name: str) -> None:
    whole = bytes.fromhex(vector("shaka-player-pssh_unit.json")[name])
    with pytest.raises(BoxError):
        read_pssh(whole[:-3])


def test_the_pssh_of_the_web_platform_tests_is_read() -> None:
    given = vector("wpt-clearkey-cenc-pssh.json")
    (pssh,) = read_pssh(bytes.fromhex(given["pssh_hex"]))
    assert pssh.key_ids == (bytes.fromhex(given["kid_hex"]),)
    for content in vector("wpt-content-metadata-excerpt.json"):
        widevine, playready = read_pssh(base64.b64decode(content["initData"]))
        assert bytes.fromhex(content["kid"]) in widevine.data
        assert playready.system == PLAYREADY


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
