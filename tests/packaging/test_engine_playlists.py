"""The HLS side of a set, read the way a player reads it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

import pytest

from services.packaging import playlists
from services.packaging.engine import package
from services.packaging.tracks import Scheme, System
from tests.packaging.conftest import Finished
from tests.packaging.sets import IV, KEYS, PackagedSet, packaged, picture_only
from tests.packaging.sources import SECONDS, SEGMENTS, Sources

ROOT = "https://example.test/p/TICKET/pkg_1/"
LICENSED = frozenset({System.WIDEVINE, System.PLAYREADY, System.FAIRPLAY})


def tags(text: str, tag: str) -> list[dict[str, str]]:
    """Attributes of each line with this tag, quotes taken off."""
    lines = [line for line in text.splitlines() if line.startswith(f"#{tag}:")]
    return [{name: value.strip('"') for name, value in playlists.attributes(line).items()} for line in lines]


async def test_each_variant_says_what_a_player_chooses_by(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    master = made.text("master.m3u8")
    assert master.startswith("#EXTM3U\n")
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in master
    variants = tags(master, "EXT-X-STREAM-INF")
    assert len(variants) == 4
    assert {(v["RESOLUTION"], v["AUDIO"]) for v in variants} == {
        (size, group) for size in ("640x360", "320x180") for group in ("audio-2ch", "audio-6ch")
    }
    for variant in variants:
        assert variant["FRAME-RATE"] == "24.000"
        assert variant["CODECS"].startswith("avc1.4d")
        assert variant["CODECS"].endswith(",mp4a.40.2")
        assert variant["SUBTITLES"] == "text"
        assert int(variant["BANDWIDTH"]) >= int(variant["AVERAGE-BANDWIDTH"]) > 50_000


async def test_bandwidth_covers_every_segment_with_its_sound(finished: Finished) -> None:
    """RFC 8216 §4.3.4.2: BANDWIDTH is an upper bound of the bit rate of each segment."""
    made = await finished(Scheme.CBCS)
    loudest = max(_peak(made, f"audio/{name}") for name in ("en", "fr"))
    for variant, playlist in _variants(made):
        if variant["AUDIO"] == "audio-2ch":
            assert int(variant["BANDWIDTH"]) + 1 >= _peak(made, str(Path(playlist).parent)) + loudest


async def test_groups_of_sound_have_the_same_members(finished: Finished) -> None:
    """RFC 8216 §4.3.4.2.1. French comes in stereo only and stands in for itself in the group of 5.1."""
    made = await finished(Scheme.CBCS)
    sound = [media for media in tags(made.text("master.m3u8"), "EXT-X-MEDIA") if media["TYPE"] == "AUDIO"]
    groups = {
        group: {(m["NAME"], m["LANGUAGE"], m["DEFAULT"]) for m in sound if m["GROUP-ID"] == group}
        for group in ("audio-2ch", "audio-6ch")
    }
    assert groups["audio-2ch"] == groups["audio-6ch"]
    assert {name for name, _, default in groups["audio-2ch"] if default == "YES"} == {"English"}
    channels = {(m["GROUP-ID"], m["LANGUAGE"]): m["CHANNELS"] for m in sound}
    assert channels == {
        ("audio-2ch", "en"): "2",
        ("audio-2ch", "fr"): "2",
        ("audio-6ch", "en"): "6",
        ("audio-6ch", "fr"): "2",
    }


async def test_a_title_from_a_strangers_file_adds_no_line_and_no_attribute(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    master = made.text("master.m3u8")
    assert not [line for line in master.splitlines() if line.startswith("#EXT-X-KEY")]
    french = [
        media for media in tags(master, "EXT-X-MEDIA") if media.get("LANGUAGE") == "fr" and media["TYPE"] == "AUDIO"
    ]
    assert {media["NAME"] for media in french} == {"Piste 'VF', #EXT-X-KEY:METHOD=NONE"}


async def test_subtitles_are_a_playlist_of_one_file_as_long_as_the_film(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    texts = [media for media in tags(made.text("master.m3u8"), "EXT-X-MEDIA") if media["TYPE"] == "SUBTITLES"]
    assert [(media["NAME"], media["FORCED"], media["DEFAULT"]) for media in texts] == [
        ("English", "NO", "NO"),
        ("Français (forced)", "YES", "NO"),
    ]
    playlist = made.text(texts[0]["URI"])
    assert playlists.uris(playlist) == ["en.vtt"]
    assert playlists.segment_seconds(playlist) == [SECONDS]
    assert made.text("text/en.vtt").startswith("WEBVTT\n\n00:00:00.500 -->")


@pytest.mark.parametrize("folder", ["video/360p", "video/180p", "audio/en", "audio/en-6ch", "audio/fr"])
async def test_with_cbcs_the_line_for_shaka_is_ended_before_the_one_for_hls_js(folder: str, finished: Finished) -> None:
    """hls.js takes `identity` with SAMPLE-AES for encrypted transport streams, prefers it, and plays nothing."""
    made = await finished(Scheme.CBCS)
    key_id = KEYS[{"video/360p": "HD", "video/180p": "SD"}.get(folder, "AUDIO")].key_id.hex()
    before, identity, after, clearkey = tags(made.text(f"{folder}/main.m3u8"), "EXT-X-KEY")
    assert before == after == {"METHOD": "NONE"}
    assert (identity["KEYFORMAT"], clearkey["KEYFORMAT"], clearkey["KEYID"]) == (
        "identity",
        "org.w3.clearkey",
        f"0x{key_id}",
    )
    for key in (identity, clearkey):
        assert (key["METHOD"], key["IV"]) == ("SAMPLE-AES", f"0x{IV.hex()}")
        assert urljoin(urljoin(ROOT, f"{folder}/main.m3u8"), key["URI"]) == f"{ROOT}key/{key_id}"


async def test_apple_s_player_has_playlists_whose_only_key_is_one_it_fetches_itself(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    native, master = made.text("native.m3u8"), made.text("master.m3u8")
    children = [uri for uri in playlists.uris(native) if uri.startswith(("video/", "audio/"))]
    assert {Path(uri).parent for uri in children} == {Path(track.folder) for track in made.result.tracks}
    for uri in children:
        (key,) = tags(made.text(uri), "EXT-X-KEY")
        assert (key["METHOD"], key["KEYFORMAT"], key["IV"]) == ("SAMPLE-AES", "identity", f"0x{IV.hex()}")
        assert playlists.segment_seconds(made.text(uri)) == playlists.segment_seconds(
            made.text(uri.replace("native", "main"))
        )
    assert tags(native, "EXT-X-STREAM-INF") == tags(master, "EXT-X-STREAM-INF")
    for scheme in (Scheme.CENC, Scheme.NONE):
        assert not ((await finished(scheme)).root / "native.m3u8").exists()


async def test_with_cenc_players_that_fetch_keys_themselves_have_a_line_too(finished: Finished) -> None:
    made = await finished(Scheme.CENC)
    keys = tags(made.text("video/180p/main.m3u8"), "EXT-X-KEY")
    assert [(key["METHOD"], key["KEYFORMAT"]) for key in keys] == [
        ("SAMPLE-AES-CTR", "identity"),
        ("SAMPLE-AES-CTR", "org.w3.clearkey"),
    ]
    assert not [key for key in keys if "IV" in key]  # each sample carries its own
    assert {urljoin(f"{ROOT}video/180p/main.m3u8", key["URI"]) for key in keys} == {
        f"{ROOT}key/{KEYS['SD'].key_id.hex()}"
    }


async def test_in_the_clear_there_is_no_key_line(finished: Finished) -> None:
    made = await finished(Scheme.NONE)
    for path in made.root.rglob("*.m3u8"):
        assert not [
            line for line in path.read_text().splitlines() if line.startswith(("#EXT-X-KEY", "#EXT-X-SESSION-KEY"))
        ]


async def test_no_playlist_holds_a_data_uri_or_an_absolute_one(finished: Finished) -> None:
    """Children inherit the ticket in the path only from relative URIs."""
    for scheme in Scheme:
        made = await finished(scheme)
        for path in made.root.rglob("*.m3u8"):
            for uri in playlists.uris(path.read_text()):
                assert ":" not in uri
                assert not uri.startswith("/")
                base = urljoin(ROOT, path.relative_to(made.root).as_posix())
                assert urljoin(base, uri).startswith(ROOT)


async def test_keyframe_playlists_carry_the_same_keys(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    master = made.text("master.m3u8")
    for iframes in tags(master, "EXT-X-I-FRAME-STREAM-INF"):
        folder = Path(iframes["URI"]).parent
        text = made.text(iframes["URI"])
        assert "#EXT-X-I-FRAMES-ONLY" in text
        assert tags(text, "EXT-X-KEY") == tags(made.text(f"{folder}/main.m3u8"), "EXT-X-KEY")
        assert len(playlists.segment_seconds(text)) == SEGMENTS


async def test_thumbnails_are_listed_as_images(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    (images,) = tags(made.text("master.m3u8"), "EXT-X-IMAGE-STREAM-INF")
    assert images["RESOLUTION"] == "160x90"
    text = made.text(images["URI"])
    assert playlists.uris(text) == ["1.jpg", "2.jpg"]
    assert tags(text, "EXT-X-TILES")[0] == {"RESOLUTION": "160x90", "LAYOUT": "2x2", "DURATION": "1.000"}


async def test_the_thumbnail_index_names_a_tile_for_each_moment(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    cues = made.text("thumbnails/index.vtt").strip().split("\n\n")
    assert cues[0] == "WEBVTT"
    assert cues[1] == "00:00:00.000 --> 00:00:01.000\n1.jpg#xywh=0,0,160,90"
    assert cues[4] == "00:00:03.000 --> 00:00:04.000\n1.jpg#xywh=160,90,160,90"
    assert cues[-1] == "00:00:06.000 --> 00:00:06.500\n2.jpg#xywh=0,90,160,90"


@pytest.fixture(scope="module")
async def licensed(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> PackagedSet:
    """A set for licensed systems alone."""
    return await packaged(sources, tmp_path_factory.mktemp("licensed"), systems=LICENSED)


def test_licensed_systems_alone_show_no_way_to_a_clear_key(licensed: PackagedSet) -> None:
    """A player that finds an easier way takes it."""
    for path in licensed.root.rglob("*.m3u8"):
        text = path.read_text()
        assert '"identity"' not in text
        assert "org.w3.clearkey" not in text
        assert "/key/" not in text


def test_fairplay_names_the_key_of_each_track(licensed: PackagedSet) -> None:
    """The packager's one `skd://` URI would cover every key."""
    for folder, label in (("video/360p", "HD"), ("video/180p", "SD"), ("audio/en", "AUDIO")):
        keys = tags(licensed.text(f"{folder}/main.m3u8"), "EXT-X-KEY")
        by_format = {key["KEYFORMAT"]: key for key in keys}
        assert set(by_format) == {
            "com.apple.streamingkeydelivery",
            "com.microsoft.playready",
            "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",
        }
        assert by_format["com.apple.streamingkeydelivery"]["URI"] == f"skd://{KEYS[label].key_id.hex()}"
    session = tags(licensed.text("master.m3u8"), "EXT-X-SESSION-KEY")
    assert {key["URI"] for key in session if key["URI"].startswith("skd:")} == {
        f"skd://{key.key_id.hex()}" for key in KEYS.values()
    }


async def test_clearkey_sets_have_no_session_keys(sources: Sources, tmp_path: Path) -> None:
    """A player would fetch the keys of all rungs at once, also of those that the viewer may not see."""
    await package(picture_only(sources, tmp_path / "out", systems=frozenset(System)))
    assert "SESSION-KEY" not in (tmp_path / "out/master.m3u8").read_text()


def test_attributes_keep_commas_within_quotes() -> None:
    line = '#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.4d,mp4a",RESOLUTION=1x2'
    assert playlists.attributes(line) == {"BANDWIDTH": "1", "CODECS": '"avc1.4d,mp4a"', "RESOLUTION": "1x2"}


@pytest.mark.parametrize("line", ["#X:A=1,,B=2", '#X:A="open', "#X:=1", '#X:A="a"B="b"'])
def test_attribute_lists_that_are_none_are_refused(line: str) -> None:
    with pytest.raises(playlists.PlaylistError):
        playlists.attributes(line)


def test_quoted_strings_cannot_be_left() -> None:
    assert playlists.quoted('a"\n#EXT-X-KEY\u2028b') == '"a\' #EXT-X-KEY b"'


@pytest.mark.parametrize("text", ["", "<MPD/>", "\n#EXTM3U\n"])
def test_what_does_not_begin_as_a_playlist_is_none(text: str) -> None:
    with pytest.raises(playlists.PlaylistError):
        playlists.uris(text)


def _variants(made: PackagedSet) -> list[tuple[dict[str, str], str]]:
    lines = made.text("master.m3u8").splitlines()
    return [
        ({name: value.strip('"') for name, value in playlists.attributes(line).items()}, lines[index + 1])
        for index, line in enumerate(lines)
        if line.startswith("#EXT-X-STREAM-INF:")
    ]


def _peak(made: PackagedSet, folder: str) -> float:
    seconds = playlists.segment_seconds(made.text(f"{folder}/main.m3u8"))
    sizes = [(made.root / folder / f"{number}.m4s").stat().st_size for number in range(1, len(seconds) + 1)]
    return max(size * 8 / length for size, length in zip(sizes[:-1], seconds[:-1], strict=True)) * 0.97
