"""What the engine makes, judged by other programs: ffmpeg decrypts it, /proc tells what the packager was started with."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import psutil
import pytest

from services.kit.errors import Refusal
from services.packaging.boxes import boxes, read_init
from services.packaging.engine import package
from services.packaging.tracks import (
    AudioTrack,
    ContentKey,
    PackageRequest,
    Scheme,
    System,
    TextTrack,
    Thumbnails,
    VideoTrack,
)
from tests.packaging.conftest import Finished
from tests.packaging.sets import IV, KEYS, SCHEMES, frames, original_frames, picture_only, whole_film
from tests.packaging.sources import SECONDS, SEGMENTS, Sources, ffmpeg


async def test_the_result_tells_what_was_made(finished: Finished) -> None:
    made = await finished(Scheme.CBCS)
    result = made.result
    assert (result.dash_path, result.hls_path) == ("manifest.mpd", "master.m3u8")
    assert (result.poster_path, result.thumbnails_path) == ("poster.jpg", "thumbnails/index.vtt")
    assert result.seconds == pytest.approx(SECONDS)
    assert result.key_ids == {label: key.key_id.hex() for label, key in KEYS.items()}
    assert [track.folder for track in result.tracks] == [
        "video/360p",
        "video/180p",
        "audio/fr",
        "audio/en",
        "audio/en-6ch",
    ]
    assert {track.segments for track in result.tracks} == {SEGMENTS}
    on_disk = {path.relative_to(made.root).as_posix() for path in made.root.rglob("*") if path.is_file()}
    assert set(result.files) == on_disk
    assert result.size == sum((made.root / file).stat().st_size for file in result.files)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("folder", "label"), [("video/360p", "HD"), ("video/180p", "SD"), ("audio/en-6ch", "AUDIO")])
async def test_each_track_opens_with_its_own_key_and_is_what_went_in(
    scheme: Scheme, folder: str, label: str, finished: Finished, sources: Sources, tmp_path: Path
) -> None:
    made = await finished(scheme)
    original = {"video/360p": sources.tall, "video/180p": sources.low, "audio/en-6ch": sources.surround}[folder]
    opened, expected = made.opened(folder, KEYS[label], tmp_path), original_frames(original)
    if folder.startswith("audio"):  # what an edit list cuts off the first and last AAC frame is a matter of taste
        opened, expected = opened[2:-1][-250:], expected[2:-1][-250:]
    assert len(expected) > 100
    assert opened == expected


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_first_frame_does_not_open_with_another_tracks_key(
    scheme: Scheme, finished: Finished, sources: Sources, tmp_path: Path
) -> None:
    """There is no clear lead: not even the first segment shows without the right key."""
    made = await finished(scheme)
    joined = tmp_path / "joined.mp4"
    first = [made.root / "video/180p/init.mp4", made.root / "video/180p/1.m4s"]
    joined.write_bytes(b"".join(path.read_bytes() for path in first))
    try:
        shown = frames(joined, "-decryption_key", KEYS["HD"].key.hex())
    except subprocess.CalledProcessError:
        shown = []  # ffmpeg may give up as well as show garbage
    assert not set(shown) & set(original_frames(sources.low))


async def test_without_a_scheme_the_set_is_in_the_clear(finished: Finished, sources: Sources, tmp_path: Path) -> None:
    made = await finished(Scheme.NONE)
    joined = tmp_path / "joined.mp4"
    joined.write_bytes(made.whole_track("video/180p"))
    assert frames(joined) == original_frames(sources.low)
    assert made.result.key_ids == {}


async def test_cbcs_uses_the_constant_iv_that_was_given(finished: Finished) -> None:
    """Two sets with the same IV can be mixed segment by segment: the IV stands in the init segment alone."""
    made = await finished(Scheme.CBCS)
    for track in made.result.tracks:
        assert track.constant_iv == IV.hex()


async def test_cbcs_without_a_given_iv_gets_a_random_one(sources: Sources, tmp_path: Path) -> None:
    keys = {"SD": ContentKey(KEYS["SD"].key_id, KEYS["SD"].key)}
    made = await package(picture_only(sources, tmp_path / "out", keys=keys))
    constant_iv = read_init(tmp_path / "out/video/180p/init.mp4").constant_iv.hex()
    assert len(constant_iv) == 32
    assert int(constant_iv, 16) != 0
    assert f"IV=0x{constant_iv}" in (tmp_path / "out/video/180p/main.m3u8").read_text()
    assert made.tracks[0].constant_iv == constant_iv


async def test_renditions_under_one_key_never_share_a_counter_with_cenc(sources: Sources, tmp_path: Path) -> None:
    """Two texts encrypted with the same AES-CTR key and counter give each other away."""
    tracks = (VideoTrack("360p", sources.tall, 640, 360), VideoTrack("180p", sources.low, 320, 180))
    request = PackageRequest(output=tmp_path / "out", video=tracks, scheme=Scheme.CENC, keys=KEYS)
    await package(request)
    vectors = [_first_iv(tmp_path / f"out/video/{track.name}/1.m4s") for track in tracks]
    assert vectors[0] != vectors[1]
    assert IV[:8] not in vectors


async def test_no_command_line_environment_or_file_ever_holds_a_key(sources: Sources, tmp_path: Path) -> None:
    secrets = [key.key.hex().encode() for key in KEYS.values()]
    async with _watched_processes() as seen:
        await package(whole_film(sources, tmp_path / "out"))
    packagers = [process for process in seen if b"packager-linux" in process]
    assert packagers, "the packager was not seen at work"
    assert any(b"--flagfile=" in process for process in packagers)
    assert not [secret for secret in secrets for process in seen if secret in process]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or not [secret for secret in secrets if secret in path.read_bytes()]


async def test_a_damaged_source_is_refused_and_leaves_nothing(sources: Sources, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(sources.low.read_bytes()[:5000])
    request = picture_only(sources, tmp_path / "out", video=(VideoTrack("180p", damaged, 320, 180),))
    with pytest.raises(Refusal) as refusal:
        await package(request)
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.INTERNAL, "PACKAGER_FAILED")
    assert refusal.value.metadata["detail"] in refusal.value.message
    assert not [key for key in KEYS.values() if key.key.hex() in refusal.value.message]
    assert list((tmp_path / "out").iterdir()) == []


async def test_renditions_with_other_keyframes_are_refused(sources: Sources, tmp_path: Path) -> None:
    """Players switch between renditions at segment boundaries, so these must be the same."""
    tracks = (VideoTrack("360p", sources.tall, 640, 360), VideoTrack("180p", sources.misaligned, 320, 180))
    with pytest.raises(Refusal, match=r"video/180p|segment"):
        await package(PackageRequest(output=tmp_path / "out", video=tracks, keys=KEYS))
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_folder_that_holds_something_is_left_alone(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        await package(picture_only(sources, tmp_path))
    assert (tmp_path / "precious").read_text() == "mine"


async def test_a_cancelled_packaging_leaves_nothing(sources: Sources, tmp_path: Path) -> None:
    task = asyncio.create_task(package(whole_film(sources, tmp_path / "out")))
    while not (tmp_path / "out/video").exists():  # the packager is at work
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((tmp_path / "out").iterdir()) == []


async def test_commas_dollars_and_equals_in_paths_do_no_harm(sources: Sources, tmp_path: Path) -> None:
    """The packager's stream descriptors give them a meaning, and data directories are named by people."""
    odd = tmp_path / "Films, 5$Number$=good é"
    odd.mkdir()
    source = odd / "a,b=c$.mp4"
    shutil.copyfile(sources.low, source)
    made = await package(picture_only(sources, odd / "out", video=(VideoTrack("180p", source, 320, 180),)))
    assert made.tracks[0].segments == SEGMENTS


async def test_a_silent_film_can_be_packaged(sources: Sources, tmp_path: Path) -> None:
    made = await package(picture_only(sources, tmp_path / "out"))
    assert made.key_ids == {"SD": KEYS["SD"].key_id.hex()}
    assert "AUDIO" not in (tmp_path / "out/master.m3u8").read_text()


@pytest.mark.parametrize(
    "content", [b"", b"1\n00:00:01,000 --> 00:00:02,000\nSubRip\n", b"WEBVTT\n\n\xff\xfe\n", b"WEBVTTX\n"]
)
async def test_subtitles_that_are_no_webvtt_are_refused(content: bytes, sources: Sources, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.vtt"
    wrong.write_bytes(content)
    with pytest.raises(Refusal, match="subtitles are n"):
        await package(picture_only(sources, tmp_path / "out", text=(TextTrack(wrong, "en"),)))


async def test_thumbnails_that_end_before_the_film_are_refused(sources: Sources, tmp_path: Path) -> None:
    too_few = Thumbnails(sources.sheets[:1], 2, 2, 160, 90, 1.0)
    with pytest.raises(Refusal, match="do not cover"):
        await package(picture_only(sources, tmp_path / "out", thumbnails=too_few))


async def test_a_sound_track_that_ends_before_the_picture_is_packaged(sources: Sources, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-t", "3", "-i", sources.english, "-c", "copy", short)
    made = await package(picture_only(sources, tmp_path / "out", audio=(AudioTrack(short, "en", 2),)))
    assert made.tracks[1].segments == 2
    assert made.seconds == pytest.approx(SECONDS)


def test_a_key_does_not_show_in_its_repr() -> None:
    assert KEYS["SD"].key.hex() not in repr(KEYS["SD"])
    assert repr(KEYS["SD"].key) not in repr(KEYS["SD"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"keys": {}}, "no key is given for SD"),
        ({"systems": frozenset()}, "at least one protection system"),
        ({"systems": frozenset({System.FAIRPLAY}), "scheme": Scheme.CENC}, "FairPlay plays cbcs only"),
        ({"video": ()}, "at least one video rendition"),
        ({"segment_duration": 0.0}, "0.5 to 30 seconds"),
        ({"keys": {"SD": KEYS["SD"], "HD": ContentKey(KEYS["SD"].key_id, b"k" * 16)}}, "same key id"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_at_once(
    changes: dict[str, object], why: str, sources: Sources, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=why):
        picture_only(sources, tmp_path, **changes)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a,b", "A", "x" * 65, "$Number$"])
def test_rungs_have_plain_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name of a rendition"):
        VideoTrack(name, tmp_path, 320, 180)


@pytest.mark.parametrize("language", ["", "en/../..", "e", "en_US", 'en"'])
def test_languages_are_tags(language: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="language tag"):
        TextTrack(tmp_path, language)


@pytest.mark.parametrize(
    ("width", "height", "label"),
    [
        (1024, 576, "SD"),
        (1280, 720, "HD"),
        (1080, 1920, "HD"),
        (1920, 1080, "HD"),
        (3840, 2160, "UHD1"),
        (7680, 4320, "UHD2"),
    ],
)
def test_the_size_of_the_picture_chooses_the_key(width: int, height: int, label: str, tmp_path: Path) -> None:
    assert VideoTrack("rung", tmp_path, width, height).label == label


@contextlib.asynccontextmanager
async def _watched_processes() -> AsyncIterator[set[bytes]]:
    """Collects the command lines and environments of this process and those that it starts; other tests beside this one hand players keys."""
    seen: set[bytes] = set()

    def look() -> None:
        ours = psutil.Process()
        for process in (ours, *ours.children(recursive=True)):
            for file in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    seen.add(Path(f"/proc/{process.pid}/{file}").read_bytes())

    async def keep_looking() -> None:
        while True:
            await asyncio.to_thread(look)
            await asyncio.sleep(0.01)

    watcher = asyncio.create_task(keep_looking())
    try:
        yield seen
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


def _first_iv(segment: Path) -> bytes:
    moof = next(box for box in boxes(memoryview(segment.read_bytes())) if box.kind == b"moof")
    return bytes(moof.child(b"traf", b"senc").payload[8:16])
