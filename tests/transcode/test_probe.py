"""What a master holds; and that nothing but a film gets through, whatever it pretends to be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from services.kit import sandbox
from services.kit.errors import Refusal
from services.kit.sandbox import MIB, Limits
from services.transcode import binaries
from services.transcode.languages import bcp47
from services.transcode.media import Hdr, SubtitleKind
from services.transcode.probe import MasterLimits, probe
from services.transcode.sniff import Container
from services.transcode.streams import standard_rate
from tests.support import clips


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that nobody must ever come to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield server
        with pytest.raises(TimeoutError):
            server.accept()


async def reason_of(master: Path, limits: MasterLimits | None = None) -> str:
    with pytest.raises(Refusal) as caught:
        await probe(master, limits)
    assert str(master.parent) not in str(caught.value)
    assert str(master.parent) not in str(caught.value.metadata)
    return caught.value.reason


async def test_a_plain_film_is_described() -> None:
    media = await probe(clips.plain())
    assert media.container is Container.MP4
    assert media.duration == pytest.approx(3.0)
    assert (media.video.codec, media.video.width, media.video.height) == ("h264", 320, 180)
    assert media.video.frame_rate == Fraction(25)
    assert not media.video.is_vfr
    assert not media.video.is_interlaced
    assert (media.video.pixel_format, media.video.bit_depth, media.video.hdr) == ("yuv420p", 8, Hdr.NONE)
    (track,) = media.audio
    assert (track.codec, track.channels, track.sample_rate, track.language) == ("aac", 1, 48000, "und")


async def test_a_phone_held_upright_is_taken_as_it_is_shown() -> None:
    video = (await probe(clips.rotated(90))).video
    assert (video.rotation, video.width, video.height, video.coded_width) == (90, 180, 320, 320)
    assert (await probe(clips.rotated(180))).video.rotation == 180


async def test_pixels_that_are_not_square_count_as_they_are_shown() -> None:
    video = (await probe(clips.anamorphic())).video
    assert (video.coded_width, video.width, video.height) == (180, 192, 144)
    assert video.sample_aspect_ratio == Fraction(16, 15)


async def test_a_variable_frame_rate_is_noticed() -> None:
    media = await probe(clips.variable())
    assert media.video.is_vfr
    assert media.duration == pytest.approx(6.0, abs=0.1)


async def test_rates_in_milliseconds_are_not_mistaken_for_variable_ones() -> None:
    """Matroska rounds times to milliseconds."""
    video = (await probe(clips.numbered(rate="30000/1001", suffix="mkv"))).video
    assert (video.is_vfr, video.frame_rate) == (False, Fraction(30000, 1001))


@pytest.mark.parametrize(
    ("measured", "meant"),
    [
        (Fraction(2997, 100), Fraction(30000, 1001)),
        (Fraction(1000, 33), Fraction(1000, 33)),
        (Fraction(23976, 1000), Fraction(24000, 1001)),
        (Fraction(25), Fraction(25)),
        (Fraction(1, 10), Fraction(1)),
        (Fraction(15), Fraction(15)),
    ],
)
def test_measured_rates_are_taken_for_the_usual_ones(measured: Fraction, meant: Fraction) -> None:
    assert standard_rate(measured) == meant


async def test_all_sound_tracks_are_found_with_language_and_title() -> None:
    media = await probe(clips.surround())
    assert [(track.channels, track.language, track.title) for track in media.audio] == [
        (6, "en", ""),
        (2, "de", "Kommentar"),
        (1, "fa", ""),
    ]


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("eng", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("pt_BR", "pt-BR"),
        ("kmr", "kmr"),
        ("", "und"),
        ("Englisch!", "und"),
    ],
)
def test_languages_are_told_as_bcp_47(tag: str, language: str) -> None:
    assert bcp47(tag) == language


async def test_subtitles_are_found() -> None:
    tracks = (await probe(clips.subtitled())).subtitles
    assert [(track.codec, track.language, track.is_forced, track.kind) for track in tracks] == [
        ("subrip", "en", False, SubtitleKind.TEXT),
        ("ass", "de", True, SubtitleKind.TEXT),
    ]


async def test_fields_and_high_dynamic_range_are_noticed() -> None:
    assert (await probe(clips.interlaced())).video.is_interlaced
    video = (await probe(clips.high_dynamic_range())).video
    assert (video.hdr, video.bit_depth, video.colour.primaries) == (Hdr.HDR10, 10, "bt2020")


async def test_a_picture_stands_still_while_the_sound_goes_on() -> None:
    assert (await probe(clips.lasting_sound())).duration == pytest.approx(4.0, abs=0.1)


async def test_a_container_without_timestamps_is_counted_in_frames() -> None:
    media = await probe(clips.without_timestamps())
    assert media.duration == pytest.approx(2.0, abs=0.1)
    assert media.video.frame_rate == Fraction(25)


async def test_a_clock_that_begins_anywhere_is_set_to_zero() -> None:
    media = await probe(clips.transport_stream())
    assert media.start_time > 30
    assert media.duration == pytest.approx(6.0, abs=0.2)


# --- hostile input ---------------------------------------------------------------------------------------------------


async def test_lists_of_other_files_open_nothing(listener: socket.socket) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/film.ts"
    for name, content in clips.playlists(url):
        assert await reason_of(clips.pretender(name, content)) == "MASTER_PLAYLIST"


async def test_a_list_behind_a_true_signature_opens_nothing(listener: socket.socket) -> None:
    """The first bytes can be forged; then the named demuxer finds nothing, and nobody else is asked."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/film.ts"
    for signature in (b"ID3", b"FLV\x01", b"OggS\x00", b"\x00\x00\x01\xba", b"\x00\x00\x00\x08free"):
        for name, content in clips.playlists(url):
            reason = await reason_of(clips.pretender(name, signature + b"\n" + content))
            assert reason in {"MASTER_UNDECODABLE", "MASTER_TRUNCATED", "MASTER_NO_VIDEO"}
            break


async def test_even_a_tool_told_to_open_a_url_reaches_nobody(listener: socket.socket) -> None:
    """The last wall: were all lists of formats and protocols wrong, there would still be no network."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/film.ts"
    limits = Limits(20, 10, 512 * MIB, 0)
    for tool in (binaries.ffprobe(), binaries.ffmpeg()):
        finished = await sandbox.run([tool, "-v", "error", "-i", url], limits=limits)
        assert not finished.ok
        finished = await sandbox.run([tool, "-v", "error", "-f", "concat", "-i", "/etc/passwd"], limits=limits)
        assert "Permission denied" in finished.stderr_tail


@pytest.mark.parametrize("share", [0.6, 0.97])
async def test_a_film_that_ends_early_is_refused(share: float) -> None:
    for film in (clips.plain(), clips.faststart(), clips.plain(suffix="mkv")):
        assert await reason_of(clips.cut(film, share)) == "MASTER_TRUNCATED"


async def test_an_index_that_promises_more_than_there_is_is_refused() -> None:
    """Box sizes can be forged too: then the missing end is noticed."""
    content = bytearray(clips.plain(20, "160x90", "10").read_bytes())
    moov_at = content.index(b"moov") - 4
    moov = bytes(content[moov_at:])
    data_at = content.index(b"mdat") - 4
    kept = content[: data_at + (moov_at - data_at) // 2]
    kept[data_at : data_at + 4] = (len(kept) - data_at).to_bytes(4, "big")
    assert await reason_of(clips.pretender("promise.mp4", bytes(kept) + moov)) == "MASTER_TRUNCATED"


async def test_pictures_of_absurd_size_are_refused() -> None:
    for width, height in ((60000, 60000), (9000, 100), (8, 8)):
        assert await reason_of(clips.huge_picture(width, height)) == "MASTER_DIMENSIONS"


async def test_ten_thousand_streams_are_refused() -> None:
    assert await reason_of(clips.many_tracks_mp4(10_000)) == "MASTER_TOO_MANY_STREAMS"
    assert await reason_of(clips.many_tracks_matroska(10_000)) == "MASTER_TOO_MANY_STREAMS"
    assert await reason_of(clips.many_tracks_matroska(100)) == "MASTER_TOO_MANY_STREAMS"


async def test_a_film_without_a_picture_is_refused() -> None:
    for master in (clips.sound_only(), clips.sound_with_cover()):
        assert await reason_of(master) == "MASTER_NO_VIDEO"
    assert await reason_of(clips.pretender("tone.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ")) == "MASTER_NO_VIDEO"


async def test_a_film_that_cannot_be_decoded_is_refused() -> None:
    assert await reason_of(clips.damaged()) == "MASTER_UNDECODABLE"


async def test_a_film_beyond_the_longest_is_refused() -> None:
    assert await reason_of(clips.plain(), replace(MasterLimits(), seconds=2.0)) == "MASTER_TOO_LONG"
