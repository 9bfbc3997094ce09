"""Protection systems' headers, judged by those that others made."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit import pssh
from services.kit.pssh import PsshError

VECTORS = Path(__file__).parents[2].parent / "shared/vectors/pssh"
KEY_IDS = tuple(bytes([number] * 8 + [number + 1] * 8) for number in (1, 17))


def vector(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the test vectors are not beside the repository: {path}")
    return json.loads(path.read_text())


def contents() -> list[tuple[bytes, bytes, pssh.Pssh, pssh.Pssh]]:
    """Key id, key, Widevine's and PlayReady's header of what the web platform tests play."""
    found = []
    for content in vector("wpt-content-metadata-excerpt.json"):
        widevine, playready = pssh.read_pssh(base64.b64decode(content["initData"]))
        found.append((bytes.fromhex(content["kid"]), bytes.fromhex(content["key"]), widevine, playready))
    return found


def test_the_box_of_each_system_is_read() -> None:
    given = vector("shaka-player-pssh_unit.json")
    (widevine,) = pssh.read_pssh(bytes.fromhex(given["WIDEVINE_PSSH"]))
    assert (widevine.system, widevine.key_ids, widevine.data) == (pssh.WIDEVINE.bytes, (), bytes(range(1, 9)))
    (playready,) = pssh.read_pssh(bytes.fromhex(given["PLAYREADY_PSSH"]))
    assert playready.system == pssh.PLAYREADY.bytes
    (generic,) = pssh.read_pssh(bytes.fromhex(given["GENERIC_PSSH"]))
    assert (generic.system, generic.key_ids) == (pssh.COMMON.bytes, (b"0123456789012345", b"89012345ABCDEFGH"))


def test_a_box_that_is_read_is_written_again_as_it_was() -> None:
    given = vector("shaka-player-pssh_unit.json")
    for name in ("WIDEVINE_PSSH", "PLAYREADY_PSSH", "GENERIC_PSSH"):
        whole = bytes.fromhex(given[name])
        (read,) = pssh.read_pssh(whole)
        assert read.box() == whole


def test_a_box_of_size_zero_reaches_to_the_end() -> None:
    given = vector("shaka-player-pssh_unit.json")
    endless, whole = (
        pssh.read_pssh(bytes.fromhex(given[name])) for name in ("ZERO_SIZED_GENERIC_PSSH", "GENERIC_PSSH")
    )
    assert endless == whole


def test_other_boxes_are_passed_over() -> None:
    given = vector("shaka-player-pssh_unit.json")
    both = bytes.fromhex(given["OTHER_BOX"] + given["WIDEVINE_PSSH"] + given["OTHER_BOX"])
    assert [found.system for found in pssh.read_pssh(both)] == [pssh.WIDEVINE.bytes]


@pytest.mark.parametrize(
    "name", ["WIDEVINE_PSSH", "PLAYREADY_PSSH", "GENERIC_PSSH", "ZERO_SIZED_GENERIC_PSSH", "OTHER_BOX"]
)
def test_a_box_that_is_cut_off_is_refused(name: str) -> None:
    whole = bytes.fromhex(vector("shaka-player-pssh_unit.json")[name])
    with pytest.raises(PsshError):
        pssh.read_pssh(whole[:-3])


def test_the_common_box_is_that_of_the_web_platform_tests() -> None:
    given = vector("wpt-clearkey-cenc-pssh.json")
    assert pssh.common([bytes.fromhex(given["kid_hex"])]) == bytes.fromhex(given["pssh_hex"])


def test_playready_s_box_is_that_of_the_web_platform_tests() -> None:
    """Byte for byte, so the order of a GUID's bytes and the checksum are right too."""
    key_id, key, _, playready = contents()[0]
    written = pssh.playready(
        [key_id],
        "cenc",
        keys={key_id: key},
        la_url="http://playready.directtaps.net/pr/svc/rightsmanager.asmx?PlayRight=1&UseSimpleNonPersistentLicense=1",
    )
    assert written == playready.box()


def test_checksums_and_key_ids_are_those_of_the_web_platform_tests() -> None:
    for key_id, key, widevine, playready in contents():
        assert f"<CHECKSUM>{pssh.checksum(key_id, key)}</CHECKSUM>" in pssh.playready_header(playready.data)
        assert playready.named_key_ids() == (key_id,)
        assert widevine.named_key_ids() == (key_id,)


def test_widevine_s_data_says_what_the_web_platform_tests_say_and_the_scheme_as_well() -> None:
    for key_id, _, theirs, _ in contents():
        said = pssh.widevine_fields(theirs.data)
        (content_id,) = said[4]
        assert isinstance(content_id, bytes)
        ours = pssh.widevine_fields(
            pssh.widevine_data([key_id], "cenc", provider="castlabs", content_id=content_id, policy="default")
        )
        assert ours.pop(9) == [int.from_bytes(b"cenc")]
        assert ours == said


def test_cbcs_has_no_algorithm_in_widevine_s_data() -> None:
    (box,) = pssh.read_pssh(pssh.widevine(KEY_IDS, "cbcs"))
    assert pssh.widevine_fields(box.data) == {2: list(KEY_IDS), 9: [0x63626373]}
    assert box.named_key_ids() == KEY_IDS


def test_several_keys_or_cbcs_need_playready_s_newer_header() -> None:
    keys = dict.fromkeys(KEY_IDS, b"k" * 16)
    several = pssh.wrm_header(KEY_IDS, "cenc", keys=keys)
    assert 'version="4.3.0.0"' in several
    assert several.count('ALGID="AESCTR" CHECKSUM="') == 2
    (box,) = pssh.read_pssh(pssh.playready(KEY_IDS, "cbcs", keys=keys))
    header = pssh.playready_header(box.data)
    assert 'version="4.3.0.0"' in header
    assert header.count('<KID ALGID="AESCBC" VALUE="') == 2
    assert "CHECKSUM" not in header
    assert box.named_key_ids() == KEY_IDS


def test_where_to_ask_cannot_break_out_of_the_header() -> None:
    header = pssh.wrm_header(KEY_IDS[:1], "cbcs", la_url="https://a.example/?a=1&b=</LA_URL>")
    assert "<LA_URL>https://a.example/?a=1&amp;b=&lt;/LA_URL&gt;</LA_URL>" in header


def test_more_keys_than_a_player_takes_are_refused() -> None:
    with pytest.raises(PsshError, match="fewer keys"):
        pssh.playready([bytes([0, number] * 8) for number in range(200)], "cbcs")


@pytest.mark.parametrize("key_ids", [(), (b"short",), (KEY_IDS[0], KEY_IDS[0])])
def test_a_header_without_proper_key_ids_is_not_made(key_ids: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="at least one key id"):
        pssh.common(key_ids)


@settings(max_examples=200, deadline=None)
@given(damage=st.data(), which=st.sampled_from(["widevine", "playready", "common"]))
def test_damage_never_raises_anything_else(damage: st.DataObject, which: str) -> None:
    whole = {
        "widevine": pssh.widevine(KEY_IDS, "cbcs"),
        "playready": pssh.playready(KEY_IDS, "cbcs"),
        "common": pssh.common(KEY_IDS),
    }[which]
    data = bytearray(whole[: damage.draw(st.integers(0, len(whole)))])
    for position in damage.draw(st.lists(st.integers(0, max(len(data) - 1, 0)), max_size=4)):
        if data:
            data[position] = damage.draw(st.integers(0, 255))
    try:
        for box in pssh.read_pssh(bytes(data)):
            box.named_key_ids()
    except PsshError:
        return
