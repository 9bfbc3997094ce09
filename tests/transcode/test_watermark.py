"""A watermarked film: two variants of every rendition that differ by a pattern which only the key tells, and by nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reelmesh.transcode.v1 import events_pb2 as announced
from reelmesh.upload.v1 import upload_pb2

from services.kit.settings import ProcessSettings
from services.transcode import binaries, ladder, watermark
from services.transcode.encode import chunks, encode_chunk
from services.transcode.ladder import Plan, Profile
from services.transcode.probe import probe
from services.transcode.stitch import Stitched, check_aligned, check_chunk, stitch
from tests.support import clips
from tests.support.films import cleared, committed, film
from tests.support.transcoding import Transcoding, transcoding
from tests.transcode.test_ladder import media as described

ROOT = bytes(range(32))
SEGMENTS = 3
Pictures = NDArray[np.float64]


async def made(folder: Path, colluders: int) -> tuple[Plan, dict[str, Stitched]]:
    """A film of three segments, encoded segment by segment, each rendition whole."""
    master = clips.plain(seconds=2 * SEGMENTS)
    media = await probe(master)
    plan = ladder.plan(media, Profile(preset="ultrafast"), colluders=colluders)
    parts, files = chunks(plan, 2), []
    for part in parts:
        place = folder / str(part.index)
        place.mkdir(parents=True)
        patterns = watermark.patterns(ROOT, "ast_1", part.start_frame // plan.gop_frames, 1) if colluders else b""
        files.append(await encode_chunk(master, media, plan, part, place, patterns=patterns))
    names = [(one, one.name + variant) for variant in plan.variants for one in plan.video]
    for rendition, name in names:
        for part, outcome in zip(parts, files, strict=True):
            check_chunk(plan, rendition, part, outcome[name])
    return plan, {
        name: await stitch(plan, one, parts, [outcome[name] for outcome in files], folder / f"{name}.mp4")
        for one, name in names
    }


@pytest.fixture(scope="module")
async def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, dict[str, Stitched]]:
    return await made(tmp_path_factory.mktemp("marked"), colluders=2)


def means(film: Path) -> Pictures:
    """Mean luma of each segment, 80 x 48."""
    command = [str(binaries.ffmpeg()), "-v", "error", "-i", str(film), "-vf", "scale=80:48:flags=area,format=gray"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 48, 80).astype(np.float64)
    return np.asarray(frames.reshape(SEGMENTS, -1, 48, 80).mean(axis=1), np.float64)


def patterns_of(plan: Plan) -> Pictures:
    """The patterns of all segments, -1 to 1, 80 x 48 by repeating each cell."""
    columns, rows = watermark.cells(plan)
    raw = np.frombuffer(watermark.patterns(ROOT, "ast_1", 0, SEGMENTS), np.uint8).reshape(SEGMENTS, -1)
    grids = (raw[:, : columns * rows].reshape(SEGMENTS, rows, columns).astype(np.float64) - 128) / 64
    return np.asarray(grids.repeat(48 // rows, axis=1).repeat(80 // columns, axis=2), np.float64)


async def test_both_variants_have_the_same_frames_and_keyframes(marked: tuple[Plan, dict[str, Stitched]]) -> None:
    plan, whole = marked
    assert sorted(whole) == sorted(one.name + variant for one in plan.video for variant in ("", "-b"))
    check_aligned(list(whole.values()))
    assert {one.frame_count for one in whole.values()} == {plan.frame_count}


async def test_the_difference_is_the_pattern_of_each_segment_and_of_no_other(
    marked: tuple[Plan, dict[str, Stitched]],
) -> None:
    plan, whole = marked
    patterns = patterns_of(plan)
    for rendition in plan.video:
        difference = means(whole[rendition.name].path) - means(whole[f"{rendition.name}-b"].path)
        for place in range(SEGMENTS):
            alike = [float(np.corrcoef(difference[place].ravel(), one.ravel())[0, 1]) for one in patterns]
            assert alike[place] > 0.5
            assert all(abs(one) < 0.25 for other, one in enumerate(alike) if other != place)


async def test_variants_lie_evenly_about_the_unmarked_film(
    marked: tuple[Plan, dict[str, Stitched]], tmp_path: Path
) -> None:
    """Neither is lighter or darker as a whole, and no part of the picture is off by more than about a level."""
    plan, whole = marked
    _, plain = await made(tmp_path, colluders=0)
    assert set(plain) == {one.name for one in plan.video}
    largest = plan.video[0].name
    unmarked = means(plain[largest].path)
    for variant in plan.variants:
        off = means(whole[largest + variant].path) - unmarked
        assert abs(float(off.mean())) < 0.15
        assert float(np.percentile(np.abs(off), 95)) < 2


def test_patterns_follow_from_key_title_and_segment_alone() -> None:
    size = 20 * 12 * 3 // 2
    three = watermark.patterns(ROOT, "ast_1", 5, 3)
    assert three[size : 2 * size] == watermark.patterns(ROOT, "ast_1", 6, 1)
    others = {watermark.patterns(ROOT, "ast_2", 6, 1), watermark.patterns(ROOT[::-1], "ast_1", 6, 1)}
    assert three[size : 2 * size] not in others
    luma = three[: 20 * 12]
    assert sorted(luma) == [64] * 120 + [192] * 120


def test_cells_are_about_as_high_as_wide_in_upright_films_too() -> None:
    upright = ladder.plan(described(width=180, height=320), colluders=2)
    assert watermark.cells(upright) == (12, 20)


@pytest.fixture
async def here(mesh: ProcessSettings) -> AsyncIterator[Transcoding]:
    async with transcoding(mesh) as here:
        yield here


async def test_whoever_uploads_says_whether_a_film_is_watermarked(here: Transcoding) -> None:
    async with here.a_worker():
        event = committed(here.settings, film(), organisation_id=here.organisation_id)
        event.watermarking = upload_pb2.WATERMARKING_STRONG
        await here.bus.publish(cleared(event))
        completed = await here.bus.hears(announced.TranscodeCompleted, within=100)
        await here.tidy("work")
    assert completed.watermark_colluders == 3
    pictures = [one for one in completed.renditions if one.name.startswith("video-")]
    assert [one.name for one in pictures] == ["video-180p", "video-144p"]
    for one in completed.renditions:
        assert bool(one.variant_object_key) == (one in pictures)
    for one in pictures:
        a, b = here.objects / one.object_key, here.objects / one.variant_object_key
        assert a.stat().st_size > 0
        assert a.read_bytes() != b.read_bytes()
