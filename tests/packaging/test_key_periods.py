"""Films that turn to new keys on the way."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from reelmesh.transcode.v1 import transcode_pb2
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit import pssh
from services.kit.clock import duration
from services.packaging import captions, manifest, signalling, source, verification
from services.packaging.boxes import read_init
from services.packaging.engine import package
from services.packaging.tracks import ContentKey, PackageRequest, Scheme, System, VideoTrack
from services.packaging.verification import Unsound
from tests.packaging.sets import KEYS, LATER_KEYS, SCHEMES, PackagedSet, original_frames, packaged, whole_film
from tests.packaging.sources import SECONDS, SEGMENTS, Sources, ffmpeg

DASH = {"d": manifest.MPD}
S = f"{{{manifest.MPD}}}S"
EVERY = frozenset({System.WIDEVINE, System.PLAYREADY, System.FAIRPLAY})
Turning = Callable[[Scheme], Awaitable[PackagedSet]]


@pytest.fixture(scope="module")
def turning(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Turning:
    """The whole film in two key periods of two segments each. Nobody may change it."""
    made: dict[Scheme, PackagedSet] = {}

    async def of(scheme: Scheme) -> PackagedSet:
        if scheme not in made:
            folder = Path(tmp_path_factory.mktemp(f"turning-{scheme.value}"))
            made[scheme] = await packaged(sources, folder, scheme=scheme, later_keys=LATER_KEYS, key_period=4.0)
        return made[scheme]

    return of


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_each_period_opens_with_its_own_key_and_no_frame_is_lost(
    scheme: Scheme, turning: Turning, sources: Sources, tmp_path: Path
) -> None:
    made = await turning(scheme)
    whole = original_frames(sources.tall)
    for number, keys, segments in ((1, KEYS, ("1", "2")), (2, LATER_KEYS[0], ("3", "4"))):
        folder = made.root / "video/360p"
        init = folder / ("init.mp4" if number == 1 else f"init-{number}.mp4")
        joined = tmp_path / f"{number}.mp4"
        joined.write_bytes(init.read_bytes() + b"".join((folder / f"{name}.m4s").read_bytes() for name in segments))
        lines = ffmpeg("-decryption_key", keys["HD"].key.hex(), "-i", joined, "-f", "framemd5", "-").decode()
        opened = [line.rsplit(",", 1)[1].strip() for line in lines.splitlines() if not line.startswith("#")]
        expected = whole[:96] if number == 1 else whole[96:]
        assert opened == expected


async def test_keys_are_told_by_label_and_period(turning: Turning) -> None:
    made = await turning(Scheme.CBCS)
    assert made.result.key_ids == {label: key.key_id.hex() for label, key in KEYS.items()} | {
        f"{label}_P2": key.key_id.hex() for label, key in LATER_KEYS[0].items()
    }
    assert not [file for file in made.result.files if "key-period" in file]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_each_period_of_the_mpd_has_its_keys_init_segments_and_part_of_the_film(
    scheme: Scheme, turning: Turning
) -> None:
    made = await turning(scheme)
    periods = manifest.parse((made.root / "manifest.mpd").read_bytes()).findall("d:Period", DASH)
    assert [(period.get("id"), period.get("start")) for period in periods] == [
        ("1", "PT0.000000S"),
        ("2", "PT4.000000S"),
    ]
    for period, keys, init, first in zip(periods, (KEYS, *LATER_KEYS), ("init", "init-2"), ("1", "3"), strict=True):
        for label, folder in (("HD", "video/360p"), ("SD", "video/180p"), ("AUDIO", "audio/en-6ch")):
            (template,) = period.findall(f".//d:SegmentTemplate[@initialization='{folder}/{init}.mp4']", DASH)
            assert template.get("startNumber") == first
            adaptation_set = template.getparent().getparent()  # type: ignore[union-attr]
            assert adaptation_set is not None
            protection = adaptation_set.find("d:ContentProtection", DASH)
            assert protection is not None
            assert protection.get("{urn:mpeg:cenc:2013}default_KID") == str(UUID(bytes=keys[label].key_id))
    offsets = {
        template.get("initialization"): int(template.get("presentationTimeOffset", "0"))
        / int(template.get("timescale", "1"))
        for template in periods[1].iter(f"{{{manifest.MPD}}}SegmentTemplate")
    }
    assert set(offsets.values()) == {4.0}


async def test_each_period_has_the_sheets_of_thumbnails_that_it_shows(turning: Turning) -> None:
    """A sheet is four seconds of film, which lasts six and a half."""
    made = await turning(Scheme.CBCS)
    shown = [
        (
            template.get("startNumber"),
            template.get("presentationTimeOffset"),
            [dict(s.attrib) for s in template.iter(S)],
        )
        for template in manifest.parse((made.root / "manifest.mpd").read_bytes()).iter(
            f"{{{manifest.MPD}}}SegmentTemplate"
        )
        if template.get("initialization") is None
    ]
    assert shown == [("1", "0", [{"t": "0", "d": "4000"}]), ("2", "4000", [{"t": "4000", "d": "4000"}])]


async def test_texts_count_from_the_beginning_of_their_period(turning: Turning) -> None:
    made = await turning(Scheme.CBCS)
    assert "00:00:00.500 --> 00:00:03.000" in made.text("text/en-p1.vtt")
    assert made.text("text/en-p2.vtt") == "WEBVTT\n"
    assert made.text("text/en.m3u8").count("en.vtt") == 1  # HLS has one clock for the whole film


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_playlists_change_init_segment_and_keys_where_the_period_begins(scheme: Scheme, turning: Turning) -> None:
    made = await turning(scheme)
    for name in ("main", "iframes"):
        lines = made.text(f"video/360p/{name}.m3u8").splitlines()
        second = lines.index('#EXT-X-MAP:URI="init-2.mp4"')
        assert "2.m4s" in lines[:second]
        assert "3.m4s" in lines[second:]
        for part, key in ((lines[:second], KEYS["HD"]), (lines[second:], LATER_KEYS[0]["HD"])):
            named = [line for line in part if "KEYFORMAT=" in line]
            assert len(named) == 2
            assert all(f"key/{key.key_id.hex()}" in line for line in named)
            iv = "" if key.iv is None or scheme is Scheme.CENC else f",IV=0x{key.iv.hex()}"
            assert all(iv in line for line in named)


async def test_headers_of_a_period_name_its_own_keys_alone(sources: Sources, tmp_path: Path) -> None:
    """A licence for one period opens no other."""
    request = whole_film(sources, tmp_path, systems=EVERY, later_keys=LATER_KEYS, key_period=4.0)
    await package(request)
    for name, keys in (("init.mp4", KEYS), ("init-2.mp4", LATER_KEYS[0])):
        boxes = {box.system: box for box in pssh.read_pssh(read_init(tmp_path / "video/360p" / name).headers)}
        assert set(boxes[pssh.WIDEVINE.bytes].named_key_ids()) == {key.key_id for key in keys.values()}
        assert boxes[pssh.PLAYREADY.bytes].named_key_ids() == (keys["HD"].key_id,)
    playlist = (tmp_path / "video/360p/main.m3u8").read_text()
    for keys in (KEYS, LATER_KEYS[0]):
        assert f"skd://{keys['HD'].key_id.hex()}" in playlist


async def test_a_film_that_ends_before_a_period_does_without_it(sources: Sources, tmp_path: Path) -> None:
    request = PackageRequest(
        output=tmp_path,
        video=(VideoTrack("180p", sources.low, 320, 180),),
        keys=KEYS,
        later_keys=LATER_KEYS,
        key_period=SECONDS + 2,
    )
    made = await package(request)
    assert made.key_ids == {"SD": KEYS["SD"].key_id.hex()}
    assert not (tmp_path / "video/180p/init-2.mp4").exists()


async def test_a_sound_track_that_ends_in_the_first_period_has_no_second_key(sources: Sources, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-t", "3", "-i", sources.english, "-c", "copy", short)
    whole = whole_film(sources, tmp_path / "out", later_keys=LATER_KEYS, key_period=4.0)
    made = await package(replace(whole, audio=(replace(whole.audio[1], path=short),)))
    assert "AUDIO_P2" not in made.key_ids
    periods = manifest.parse((tmp_path / "out/manifest.mpd").read_bytes()).findall("d:Period", DASH)
    kinds = [[found.get("contentType") for found in period.findall("d:AdaptationSet", DASH)] for period in periods]
    assert ["audio" in found for found in kinds] == [True, False]


@pytest.mark.parametrize(
    ("path", "was", "is_now"),
    [
        ("video/360p/main.m3u8", LATER_KEYS[0]["HD"].key_id.hex(), KEYS["HD"].key_id.hex()),
        ("video/360p/main.m3u8", "init-2.mp4", "init.mp4"),
        ("manifest.mpd", str(UUID(bytes=LATER_KEYS[0]["SD"].key_id)), str(UUID(bytes=KEYS["SD"].key_id))),
    ],
)
async def test_a_set_that_leads_to_the_wrong_key_is_not_published(
    path: str, was: str, is_now: str, turning: Turning, tmp_path: Path
) -> None:
    made = await turning(Scheme.CBCS)
    copy = tmp_path / "copy"
    shutil.copytree(made.root, copy)
    text = (copy / path).read_text()
    assert was in text
    (copy / path).write_text(text.replace(was, is_now))
    with pytest.raises(Unsound):
        verification.check_manifests(copy, "manifest.mpd", "master.m3u8", made.result.tracks)
        signalling.check_signals(
            copy,
            "manifest.mpd",
            "master.m3u8",
            made.result.tracks,
            scheme=Scheme.CBCS,
            systems=frozenset({System.CLEARKEY}),
        )


async def test_an_init_segment_of_another_period_is_not_published(turning: Turning, tmp_path: Path) -> None:
    made = await turning(Scheme.CBCS)
    shutil.copytree(made.root, tmp_path / "copy")
    shutil.copyfile(made.root / "video/360p/init.mp4", tmp_path / "copy/video/360p/init-2.mp4")
    key_ids = [keys["HD"].key_id.hex() for keys in (KEYS, *LATER_KEYS)]
    with pytest.raises(Unsound, match="encrypted with key"):
        verification.measured(tmp_path / "copy", "video/360p", Scheme.CBCS, key_ids, SEGMENTS // 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"later_keys": LATER_KEYS},
        {"later_keys": (KEYS,), "key_period": 2.0},
        {"later_keys": ({"SD": LATER_KEYS[0]["SD"]},), "key_period": 2.0},
    ],
)
def test_periods_without_length_or_keys_of_their_own_are_refused(
    changes: dict[str, object], sources: Sources, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"key period|same key id|no key is given"):
        whole_film(sources, tmp_path, **changes)


@pytest.mark.parametrize(
    ("seconds", "wanted", "expected"),
    [(100, 0, (0.0, 1)), (100, 100, (0.0, 1)), (100, 60, (60.0, 2)), (7200, 60, (300.0, 24)), (86400, 1, (3600.0, 24))],
)
def test_long_films_have_longer_periods(seconds: int, wanted: float, expected: tuple[float, int]) -> None:
    """Each costs a run of the packager."""
    film = transcode_pb2.Rendition(kind=transcode_pb2.TRACK_KIND_VIDEO, duration=duration(seconds))
    assert source.key_period_of(TranscodeCompleted(renditions=[film]), wanted) == expected


def test_cues_that_show_across_a_boundary_are_in_both_parts() -> None:
    text = (
        "WEBVTT\n\nSTYLE\n::cue { color: red }\n\n1\n00:01.000 --> 00:03.000 line:0\nOne\n\n"
        "01:00:05.000 --> 01:00:06.000\nTwo\n"
    )
    styled = "WEBVTT\n\nSTYLE\n::cue { color: red }\n\n"
    assert captions.part(text, 0, 2) == styled + "1\n00:00:01.000 --> 00:00:02.000 line:0\nOne\n"
    assert captions.part(text, 2, 4) == styled + "1\n00:00:00.000 --> 00:00:01.000 line:0\nOne\n"
    assert captions.part(text, 4, None) == styled + "01:00:01.000 --> 01:00:02.000\nTwo\n"


def test_a_key_prints_without_its_secret() -> None:
    assert "secret" not in repr(ContentKey(b"k" * 16, b"secret-key-bytes"))
