"""From a master to whole renditions: every frame is there, in its place, in every size."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.kit.errors import Refusal
from services.transcode import binaries, ladder
from services.transcode.encode import Chunk, chunks, encode_audio, encode_chunk, indexed, needs_index
from services.transcode.ladder import Plan, Profile, VideoCodec
from services.transcode.media import MediaInfo
from services.transcode.probe import probe
from services.transcode.stitch import Stitched, check_aligned, check_chunk, stitch
from tests.support import clips
from tests.transcode.test_ladder import media as described


async def made(
    master: Path, folder: Path, *, seconds: float = 2.0, profile: Profile | None = None
) -> tuple[MediaInfo, Plan, list[Stitched]]:
    """Probes, plans, encodes in chunks of so many seconds, and stitches."""
    media = await probe(master)
    plan = ladder.plan(media, profile)
    parts = chunks(plan, seconds)
    files = []
    for part in parts:
        place = folder / str(part.index)
        place.mkdir()
        outcome = await encode_chunk(master, media, plan, part, place)
        for rendition in plan.video:
            check_chunk(plan, rendition, part, outcome[rendition.name])
        files.append(outcome)
    stitched = [
        await stitch(plan, one, parts, [outcome[one.name] for outcome in files], folder / f"{one.name}.mp4")
        for one in plan.video
    ]
    check_aligned(stitched)
    return media, plan, stitched


def shown(film: Path, entries: str = "stream") -> dict[str, Any]:
    """What ffprobe says of the first stream."""
    command = [str(binaries.ffprobe()), "-v", "error", "-show_entries", entries, "-of", "json", str(film)]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    stream: dict[str, Any] = answer["streams"][0]
    return stream


def packets(film: Path) -> list[dict[str, Any]]:
    command = [str(binaries.ffprobe()), "-v", "error", "-show_packets", "-of", "json", str(film)]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packets"]
    return found


def sequence(count: int, step: int = 1) -> list[int]:
    return [number % 13 for number in range(0, count * step, step)]


@pytest.mark.parametrize("rate", ["30", "30000/1001"])
async def test_no_frame_is_lost_or_doubled_at_the_seams(rate: str, tmp_path: Path) -> None:
    """Each frame of the master shows its number; the chunks begin where the master has no keyframe."""
    _, plan, (whole, *_) = await made(clips.numbered(rate=rate), tmp_path)
    assert plan.frame_count == 180
    assert whole.frame_count == 180
    assert clips.numbers_in(whole.path) == sequence(180)


async def test_timestamps_are_even_and_keyframes_two_seconds_apart(tmp_path: Path) -> None:
    _, plan, (whole, *_) = await made(clips.numbered(rate="30000/1001"), tmp_path)
    assert whole.keyframe_times == tuple(plan.gop_seconds * n for n in range(3))
    listed = packets(whole.path)
    assert [int(packet["dts"]) for packet in listed] == sorted(int(packet["dts"]) for packet in listed)
    assert sorted(int(packet["pts"]) for packet in listed) == [1001 * number for number in range(180)]


async def test_a_variable_frame_rate_becomes_constant(tmp_path: Path) -> None:
    """A picture that stands still over a seam goes on standing still after it."""
    (tmp_path / "chunked").mkdir()
    (tmp_path / "whole").mkdir()
    _, plan, (chunked, *_) = await made(clips.variable(), tmp_path / "chunked")
    _, _, (whole, *_) = await made(clips.variable(), tmp_path / "whole", seconds=100)
    numbers = clips.numbers_in(chunked.path)
    assert numbers == clips.numbers_in(whole.path)
    rate = int(plan.video[0].frame_rate)
    still = numbers[int(1.6 * rate) : int(3.4 * rate)]
    assert len(set(still)) == 1


async def test_small_pictures_of_a_fast_film_keep_the_keyframes_moments(tmp_path: Path) -> None:
    _, _, stitched = await made(clips.fast(), tmp_path, profile=Profile(largest_short_side=480))
    assert [(one.name, one.frame_count) for one in stitched] == [
        ("480p", 120),
        ("360p", 60),
        ("240p", 60),
        ("144p", 60),
    ]
    assert len({one.keyframe_times for one in stitched}) == 1


async def test_rotation_is_baked_in(tmp_path: Path) -> None:
    _, _, (whole, *_) = await made(clips.rotated(90), tmp_path)
    stream = shown(whole.path)
    assert (stream["width"], stream["height"]) == (180, 320)
    assert "side_data_list" not in stream


async def test_odd_sides_and_other_chroma_become_even_and_common(tmp_path: Path) -> None:
    _, _, (whole, *_) = await made(clips.odd(), tmp_path)
    stream = shown(whole.path)
    assert (stream["width"], stream["height"], stream["pix_fmt"]) == (320, 180, "yuv420p")


async def test_pixels_become_square(tmp_path: Path) -> None:
    _, _, (whole, *_) = await made(clips.anamorphic(), tmp_path)
    stream = shown(whole.path)
    assert (stream["width"], stream["height"], stream["sample_aspect_ratio"]) == (192, 144, "1:1")


async def test_high_dynamic_range_becomes_bt709(tmp_path: Path) -> None:
    _, _, (whole, *_) = await made(clips.high_dynamic_range(), tmp_path, profile=Profile(largest_short_side=144))
    stream = shown(whole.path)
    assert stream["pix_fmt"] == "yuv420p"
    assert [stream[f"color_{name}"] for name in ("range", "space", "transfer", "primaries")] == ["tv", *3 * ["bt709"]]


async def test_fields_become_frames(tmp_path: Path) -> None:
    _, plan, (whole, *_) = await made(clips.interlaced(), tmp_path)
    assert plan.frame_rate == Fraction(25)
    assert shown(whole.path)["field_order"] == "progressive"


async def test_a_film_in_a_transport_stream_is_given_an_index_first(tmp_path: Path) -> None:
    """A transport stream cannot be entered in the middle."""
    master = clips.transport_stream()
    media = await probe(master)
    assert needs_index(media)
    copy = await indexed(master, media, tmp_path)
    _, _, (whole, *_) = await made(copy, tmp_path)
    numbers = clips.numbers_in(whole.path)
    # Its sound begins a fraction of a frame before its picture.
    assert numbers[numbers.index(1) - 1 :][:170] == sequence(170)
    assert numbers.index(1) <= 2


@pytest.mark.parametrize(("codec", "tag"), [(VideoCodec.HEVC, "hvc1"), (VideoCodec.AV1, "av01")])
async def test_other_codecs_are_cut_and_joined_alike(codec: VideoCodec, tag: str, tmp_path: Path) -> None:
    profile = Profile(codecs=(VideoCodec.H264, codec), preset="ultrafast")
    _, _, stitched = await made(clips.numbered(4), tmp_path, profile=profile)
    assert {one.frame_count for one in stitched} == {120}
    whole = next(one for one in stitched if one.name.endswith(codec.value))
    assert shown(whole.path)["codec_tag_string"] == tag
    assert clips.numbers_in(whole.path) == sequence(120)


async def test_progress_grows_to_the_end(tmp_path: Path) -> None:
    media = await probe(clips.plain())
    plan = ladder.plan(media)
    told: list[float] = []
    (part,) = chunks(plan)
    await encode_chunk(clips.plain(), media, plan, part, tmp_path, on_seconds=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(3.0, abs=0.1)


async def test_a_master_that_goes_bad_after_its_probe_is_refused(tmp_path: Path) -> None:
    media = await probe(clips.faststart())
    plan = ladder.plan(media)
    with pytest.raises(Refusal) as caught:
        await encode_chunk(clips.damaged(), media, plan, chunks(plan)[0], tmp_path)
    assert caught.value.reason in {"MASTER_UNDECODABLE", "ENCODE_FAILED"}
    assert str(tmp_path) not in str(caught.value)


# --- cutting and joining ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duration", [0.04, 1.0, 19.0, 20.0, 20.04, 61.0, 3600.0])
def test_chunks_cover_the_film_and_begin_at_keyframes(duration: float) -> None:
    plan = ladder.plan(described(duration=duration))
    parts = chunks(plan)
    assert parts[0].start_frame == 0
    assert sum(part.frame_count for part in parts) == plan.frame_count
    assert all(part.start_frame % plan.gop_frames == 0 for part in parts)
    assert all(part.frame_count > 0 for part in parts)
    assert all(before.span.end == after.start_frame for before, after in pairwise(parts))
    assert [part.index for part in parts] == list(range(len(parts)))


async def test_a_missing_or_wrong_chunk_is_noticed(tmp_path: Path) -> None:
    master = clips.numbered(4)
    media = await probe(master)
    plan = ladder.plan(media)
    parts = chunks(plan, 2)
    files: list[Path] = []
    for part in parts:
        place = tmp_path / str(part.index)
        place.mkdir()
        files.append((await encode_chunk(master, media, plan, part, place))["90p"])
    rendition, target = plan.video[0], tmp_path / "whole.mp4"

    async def detail(parts: Sequence[Chunk], files: Sequence[Path]) -> str:
        with pytest.raises(Refusal) as caught:
            await stitch(plan, rendition, parts, files, target)
        assert caught.value.reason == "ENCODE_FAILED"
        return caught.value.metadata["detail"]

    assert "1 files for 2 chunks" in await detail(parts, files[:1])
    short = replace(parts[1], frame_count=59)
    assert "90p, chunk 1: 60 frames instead of 59" in await detail([parts[0], short], files)
    cut = tmp_path / "cut.mp4"
    for length in (0, 100, 900, files[1].stat().st_size - 10):
        cut.write_bytes(files[1].read_bytes()[:length])
        assert "chunk 1" in await detail(parts, [files[0], cut])
    other = tmp_path / "other.mp4"
    clips.ffmpeg("-i", files[1], "-c:v", "libx264", "-g", "60", "-movflags", "+frag_keyframe+delay_moov", other)
    assert "chunk 1" in await detail(parts, [files[0], other])


async def test_renditions_with_other_keyframes_are_noticed() -> None:
    one = Stitched("360p", Path("a"), 100, Fraction(4), (Fraction(0), Fraction(2)), 1)
    check_aligned([one, replace(one, name="240p")])
    with pytest.raises(Refusal, match="different keyframes, first at 1 s"):
        check_aligned([one, replace(one, keyframe_times=(Fraction(0), Fraction(1)))])
    with pytest.raises(Refusal, match="lasts 5 s"):
        check_aligned([one, replace(one, duration=Fraction(5))])


# --- sound -----------------------------------------------------------------------------------------------------------


async def test_every_sound_track_is_encoded_whole_and_as_long_as_the_pictures(tmp_path: Path) -> None:
    master = clips.surround()
    media = await probe(master)
    plan = ladder.plan(media)
    outcome: dict[str, Path] = {}
    for index in {rendition.source_index for rendition in plan.audio}:
        of_track = [rendition for rendition in plan.audio if rendition.source_index == index]
        outcome |= await encode_audio(master, media, plan, of_track, tmp_path)
    assert set(outcome) == {"en-2ch", "en-6ch", "de-2ch", "fa-2ch"}
    for name, path in outcome.items():
        stream = shown(path)
        assert (stream["codec_name"], stream["sample_rate"]) == ("aac", "48000")
        assert stream["channels"] == int(name[-3])
        assert float(stream["duration"]) == pytest.approx(float(plan.duration), abs=0.03)


async def test_sound_tracks_are_not_mixed_up(tmp_path: Path) -> None:
    media = await probe(clips.surround())
    plan = ladder.plan(media)
    with pytest.raises(ValueError, match="track by track"):
        await encode_audio(clips.surround(), media, plan, plan.audio, tmp_path)


async def test_a_silent_film_has_pictures_only(tmp_path: Path) -> None:
    _, plan, stitched = await made(clips.silent(), tmp_path)
    assert plan.audio == ()
    assert stitched[0].frame_count == 50
