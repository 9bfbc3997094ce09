"""What a master is turned into, for masters of any shape."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.transcode import ladder
from services.transcode.ladder import Plan, Profile, VideoCodec, picture_sizes, timeline_rate
from services.transcode.media import AudioTrack, Colour, Hdr, MediaInfo, VideoStream
from services.transcode.sniff import Container

sides = st.integers(min_value=16, max_value=8192)
rates = st.one_of(
    st.sampled_from([Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(120)]),
    st.fractions(min_value=1, max_value=240, max_denominator=1001),
)


def media(
    width: int = 1920,
    height: int = 1080,
    rate: Fraction = Fraction(25),
    duration: float = 60.0,
    audio: tuple[AudioTrack, ...] = (),
) -> MediaInfo:
    video = VideoStream(
        index=0,
        codec="h264",
        coded_width=width,
        coded_height=height,
        width=width,
        height=height,
        rotation=0,
        sample_aspect_ratio=Fraction(1),
        pixel_format="yuv420p",
        bit_depth=8,
        colour=Colour(),
        hdr=Hdr.NONE,
        real_frame_rate=rate,
        average_frame_rate=rate,
        frame_rate=rate,
        is_vfr=False,
        is_interlaced=False,
    )
    return MediaInfo(Container.MP4, 1000, 0.0, duration, video, audio, ())


def track(index: int, channels: int = 2, language: str = "und") -> AudioTrack:
    return AudioTrack(index, "aac", channels, "", 48000, language, "", False)


@given(sides, sides)
def test_no_rendition_is_larger_than_its_master(width: int, height: int) -> None:
    for made_width, made_height in picture_sizes(width, height):
        assert made_width <= width
        assert made_height <= height


@given(sides, sides)
def test_every_side_is_even(width: int, height: int) -> None:
    sizes = picture_sizes(width, height)
    assert sizes
    assert all(side % 2 == 0 and side >= 2 for size in sizes for side in size)


@given(sides, sides)
def test_rungs_grow_smaller(width: int, height: int) -> None:
    sizes = picture_sizes(width, height)
    for larger, smaller in pairwise(sizes):
        assert smaller[0] <= larger[0]
        assert smaller[1] <= larger[1]
        assert smaller != larger


@given(sides, sides)
def test_the_shape_is_kept_within_a_pixel(width: int, height: int) -> None:
    """Each side is within a pixel of the master's, scaled; the largest may lose one more to become even."""
    short = min(width, height)
    for made_width, made_height in picture_sizes(width, height):
        scale = Fraction(min(made_width, made_height), short)
        if min(made_width, made_height) in ladder.SHORT_SIDES:
            assert abs(made_width - width * scale) <= 1
            assert abs(made_height - height * scale) <= 1
        else:
            assert width - made_width <= 1
            assert height - made_height <= 1


@given(sides, sides, rates)
def test_keyframes_stand_at_the_same_moments_in_all_renditions(width: int, height: int, rate: Fraction) -> None:
    plan = ladder.plan(media(width, height, rate))
    assert {rendition.gop_frames / rendition.frame_rate for rendition in plan.video} == {plan.gop_seconds}
    assert all(rendition.frame_rate * rendition.frame_step == plan.frame_rate for rendition in plan.video)
    assert all(rendition.gop_frames * rendition.frame_step == plan.gop_frames for rendition in plan.video)


@given(sides, sides, rates, st.floats(min_value=0.01, max_value=20.0))
def test_all_renditions_last_equally_long(width: int, height: int, rate: Fraction, duration: float) -> None:
    plan = ladder.plan(media(width, height, rate, duration))
    assert abs(plan.duration - Fraction(duration)) <= 2 / plan.frame_rate
    assert all(plan.frame_count % rendition.frame_step == 0 for rendition in plan.video)


@given(sides, sides, rates)
def test_frame_rates_stay_below_their_caps(width: int, height: int, rate: Fraction) -> None:
    for rendition in ladder.plan(media(width, height, rate)).video:
        assert rendition.frame_rate <= (30 if min(rendition.width, rendition.height) < 480 else 60)
        assert rendition.frame_rate <= rate


@given(sides, sides, rates)
def test_smaller_pictures_never_get_more_bits(width: int, height: int, rate: Fraction) -> None:
    peaks = [rendition.max_kbps for rendition in ladder.plan(media(width, height, rate)).video]
    assert peaks == sorted(peaks, reverse=True)


@given(sides, sides)
def test_names_are_unique_over_all_codecs(width: int, height: int) -> None:
    plan = ladder.plan(media(width, height), Profile(codecs=tuple(VideoCodec)))
    names = [rendition.name for rendition in plan.video]
    assert len(set(names)) == len(names)


def test_full_hd_gets_the_usual_ladder() -> None:
    assert picture_sizes(1920, 1080) == [(1920, 1080), (1280, 720), (854, 480), (640, 360), (426, 240), (256, 144)]


def test_a_portrait_film_is_named_by_its_short_side() -> None:
    plan = ladder.plan(media(1080, 1920))
    assert [(rendition.name, rendition.width, rendition.height) for rendition in plan.video[:2]] == [
        ("1080p", 1080, 1920),
        ("720p", 720, 1280),
    ]


def test_a_wide_film_between_two_rungs_keeps_its_own_size() -> None:
    assert picture_sizes(1920, 804)[:2] == [(1920, 804), (1720, 720)]


def test_a_film_a_little_above_a_rung_gets_that_rung() -> None:
    assert picture_sizes(1920, 1088)[0] == (1906, 1080)


def test_a_film_below_the_lowest_rung_gets_one_rung() -> None:
    assert picture_sizes(101, 77) == [(100, 76)]


def test_the_profile_can_leave_large_rungs_out() -> None:
    assert picture_sizes(3840, 2160, 1080)[0] == (1920, 1080)


@pytest.mark.parametrize(
    ("rate", "made"),
    [
        (Fraction(25), Fraction(25)),
        (Fraction(60), Fraction(60)),
        (Fraction(120000, 1001), Fraction(60000, 1001)),
        (Fraction(144), Fraction(48)),
        (Fraction(240), Fraction(60)),
    ],
)
def test_a_rate_above_sixty_is_divided_by_a_whole_number(rate: Fraction, made: Fraction) -> None:
    assert timeline_rate(rate) == made


def test_small_pictures_of_a_fast_film_show_every_second_frame() -> None:
    plan = ladder.plan(media(1280, 720, Fraction(60)))
    assert [(rendition.name, int(rendition.frame_rate)) for rendition in plan.video] == [
        ("720p", 60),
        ("480p", 60),
        ("360p", 30),
        ("240p", 30),
        ("144p", 30),
    ]


def test_frames_are_counted_on_the_timeline() -> None:
    plan = ladder.plan(media(rate=Fraction(30000, 1001), duration=10.01))
    assert (plan.frame_count, plan.gop_frames, plan.duration) == (300, 60, Fraction(1001, 100))


def test_a_silent_film_has_no_sound() -> None:
    assert ladder.plan(media()).audio == ()


def test_surround_sound_is_kept_beside_stereo() -> None:
    audio = ladder.plan(media(audio=(track(1, 6, "en"), track(2, 1, "de"), track(3, 2, "en")))).audio
    assert [(rendition.name, rendition.source_index, rendition.channels) for rendition in audio] == [
        ("en-2ch", 1, 2),
        ("en-6ch", 1, 6),
        ("de-2ch", 2, 2),
        ("en-2ch-2", 3, 2),
    ]


def test_a_plan_survives_json() -> None:
    """Plans are kept in the database between tasks."""
    plan = ladder.plan(media(rate=Fraction(30000, 1001), audio=(track(1),)), Profile(codecs=tuple(VideoCodec)))
    adapter = TypeAdapter(Plan)
    assert adapter.validate_python(adapter.dump_python(plan, mode="json")) == plan
    described = TypeAdapter(MediaInfo)
    assert described.validate_json(described.dump_json(media(audio=(track(1),)))) == media(audio=(track(1),))
