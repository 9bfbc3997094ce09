"""Poster, thumbnails and captions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from services.transcode import captions, ladder, stills
from services.transcode.ladder import Plan
from services.transcode.media import SubtitleKind, SubtitleTrack
from services.transcode.probe import probe
from services.transcode.stitch import Stitched
from tests.support import clips
from tests.transcode.test_encode import made
from tests.transcode.test_ladder import media as described


def named(plan: Plan, stitched: list[Stitched], name: str) -> tuple[ladder.VideoRendition, Stitched]:
    rendition = next(one for one in plan.video if one.name == name)
    return rendition, next(one for one in stitched if one.name == name)


async def test_a_film_gets_a_poster_and_thumbnails_in_its_shape(tmp_path: Path) -> None:
    _, plan, stitched = await made(clips.plain(7), tmp_path)
    largest, whole = named(plan, stitched, "180p")
    poster = await stills.make_poster(plan, largest, whole.path, tmp_path)
    with Image.open(poster.path) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (poster.width, poster.height) == (320, 180)
        assert len(set(picture.convert("L").tobytes())) > 100
    source = stills.sprite_source(plan)
    rendition, small = named(plan, stitched, source.name)
    sprites = await stills.make_sprites(plan, rendition, small, tmp_path)
    assert (sprites.columns, sprites.rows, sprites.count, sprites.interval) == (4, 1, 4, Fraction(2))
    (sheet,) = sprites.sheets
    with Image.open(sheet) as picture:
        assert picture.size == (4 * sprites.tile_width, sprites.tile_height) == (640, 90)
    assert sprites.index.read_text(encoding="utf-8").startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nsprite-000.jpg#xywh=0,0,160,90\n\n00:00:02.000 -->"
    )
    assert sprites.index.read_text(encoding="utf-8").endswith(
        "00:00:06.000 --> 00:00:07.000\nsprite-000.jpg#xywh=480,0,160,90\n"
    )


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 2), (4, 2), (10, 4), (45, 10), (120, 20), (600, 60)])
def test_longer_films_get_thumbnails_further_apart(minutes: int, seconds: int) -> None:
    plan = ladder.plan(described(duration=minutes * 60.0))
    assert stills.keyframe_step(plan) * plan.gop_seconds == Fraction(seconds)


def test_a_second_sheet_begins_where_the_first_is_full() -> None:
    sheets = (Path("sprite-000.jpg"), Path("sprite-001.jpg"))
    made = stills.Sprites(sheets, Path("sprite.vtt"), 10, 10, 160, 90, 101, Fraction(2))
    cues = stills.sprite_index(made, Fraction(201)).strip().split("\n\n")[1:]
    assert len(cues) == 101
    assert cues[99] == "00:03:18.000 --> 00:03:20.000\nsprite-000.jpg#xywh=1440,810,160,90"
    assert cues[100] == "00:03:20.000 --> 00:03:21.000\nsprite-001.jpg#xywh=0,0,160,90"


async def test_text_subtitles_become_webvtt(tmp_path: Path) -> None:
    master = clips.subtitled()
    media = await probe(master)
    texts, skipped = await captions.extract(master, media, tmp_path)
    assert skipped == ()
    assert [(text.name, text.language, text.is_forced, text.cue_count) for text in texts] == [
        ("en", "en", False, 2),
        ("de-forced", "de", True, 1),
    ]
    english, german = (text.path.read_text(encoding="utf-8") for text in texts)
    assert english.startswith("WEBVTT")
    assert "00:00.500 --> 00:01.500\nGood <i>evening</i>." in english
    assert "Grüß Gott." in german


async def test_subtitles_that_are_pictures_or_broken_are_left_out_with_a_reason(tmp_path: Path) -> None:
    media = await probe(clips.subtitled())
    english = media.subtitles[0]
    bitmap = SubtitleTrack(7, "hdmv_pgs_subtitle", "fr", "", False, SubtitleKind.BITMAP)
    broken = replace(english, index=9)
    texts, skipped = await captions.extract(
        clips.subtitled(), replace(media, subtitles=(english, bitmap, broken)), tmp_path
    )
    assert [text.name for text in texts] == ["en"]
    assert [(one.index, one.language) for one in skipped] == [(7, "fr"), (9, "en")]
    assert "pictures" in skipped[0].why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["en.vtt"]
