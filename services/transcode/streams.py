"""Reads what ffprobe says about a file. Nothing in it is believed without a look: it comes from the stranger's file."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from services.kit.errors import Refusal
from services.transcode.languages import bcp47
from services.transcode.media import AudioTrack, Colour, Hdr, SubtitleKind, SubtitleTrack, VideoStream
from services.transcode.refusals import Reason, refused, undecodable

TEXT_CODECS: Final = frozenset({"subrip", "srt", "mov_text", "ass", "ssa", "webvtt", "text"})
_STANDARD_RATES: Final = tuple(
    [Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 100, 120, 240)]
    + [Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120, 240)]
)
_FALLBACK_RATE: Final = Fraction(25)
_LONGEST_TITLE: Final = 200
_MOST_CHANNELS: Final = 64


@dataclass(frozen=True, slots=True)
class Found:
    """What the header says.

    Attributes:
        video: the moving picture; its frame rate is the header's until `with_cadence` has seen frames.
        audio: sound tracks.
        subtitles: subtitle tracks.
        start_time: timestamp that is time 0, seconds.
        declared_end: timestamp at which the header lets it end, seconds; None if it does not say.
    """

    video: VideoStream
    audio: tuple[AudioTrack, ...]
    subtitles: tuple[SubtitleTrack, ...]
    start_time: float
    declared_end: float | None


def no_video() -> Refusal:
    """Sound only, or nothing."""
    return refused(Reason.NO_VIDEO, "there is no moving picture in the file; upload a video")


def too_many_streams(limit: int) -> Refusal:
    """More streams than anybody needs."""
    message = f"the file has more than {limit} streams; export it with the picture, sound and subtitles that count"
    return refused(Reason.TOO_MANY_STREAMS, message, limit=limit)


def read(description: Mapping[str, Any], most_streams: int) -> Found:
    """Picks the picture, the sound and the subtitles.

    Raises:
        Refusal: MASTER_TOO_MANY_STREAMS, MASTER_NO_VIDEO or MASTER_UNDECODABLE.
    """
    streams = description.get("streams", [])
    if len(streams) > most_streams:
        raise too_many_streams(most_streams)
    pictures = [stream for stream in streams if stream.get("codec_type") == "video" and not _is_still(stream)]
    if not pictures:
        raise no_video()
    pictures.sort(key=lambda stream: not _disposition(stream, "default"))
    about = description.get("format", {})
    start = _float(about.get("start_time")) or 0.0
    length = _float(about.get("duration"))
    return Found(
        video=_video(pictures[0]),
        audio=tuple(_audio(stream) for stream in streams if _is_sound(stream)),
        subtitles=tuple(_subtitles(stream) for stream in streams if stream.get("codec_type") == "subtitle"),
        start_time=start,
        declared_end=None if length is None else start + length,
    )


def with_cadence(video: VideoStream, times: Sequence[float]) -> VideoStream:
    """The picture with the constant frame rate that suits it, by when its first frames are shown."""
    gaps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    average = video.average_frame_rate or video.real_frame_rate or _FALLBACK_RATE
    if len(gaps) < 2 or video.is_interlaced:
        return replace(video, frame_rate=standard_rate(average), is_vfr=False)
    usual = statistics.median(gaps)
    # Matroska rounds times to milliseconds.
    steady = sum(abs(gap - usual) <= max(0.2 * usual, 0.0015) for gap in gaps) >= 0.95 * len(gaps)
    seen = Fraction(1 / usual)
    fits = abs(video.real_frame_rate - seen) <= Fraction(3, 100) * seen
    return replace(
        video, frame_rate=standard_rate(video.real_frame_rate if steady and fits else seen), is_vfr=not steady
    )


def standard_rate(rate: Fraction) -> Fraction:
    """The usual rate that is meant by a measured one, or the measured one where none is near. At least 1."""
    nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
    if abs(nearest - rate) <= nearest / 100:
        return nearest
    return max(rate.limit_denominator(1001), Fraction(1))


def _video(stream: Mapping[str, Any]) -> VideoStream:
    width, height = int(stream.get("width") or 0), int(stream.get("height") or 0)
    codec = str(stream.get("codec_name", "unknown"))
    if codec == "unknown":
        raise undecodable("the codec of its picture is not known")
    aspect = _ratio(stream.get("sample_aspect_ratio"), ":")
    if not Fraction(1, 10) <= aspect <= 10:
        aspect = Fraction(1)
    rotation = _rotation(stream)
    shown = (round(width * aspect), height)
    pixel_format = str(stream.get("pix_fmt", ""))
    colour = Colour(
        range=_tag(stream, "color_range"),
        space=_tag(stream, "color_space"),
        primaries=_tag(stream, "color_primaries"),
        transfer=_tag(stream, "color_transfer"),
    )
    average = _ratio(stream.get("avg_frame_rate"), "/")
    return VideoStream(
        index=int(stream["index"]),
        codec=codec,
        coded_width=width,
        coded_height=height,
        width=shown[rotation in {90, 270}],
        height=shown[rotation not in {90, 270}],
        rotation=rotation,
        sample_aspect_ratio=aspect,
        pixel_format=pixel_format,
        bit_depth=_bit_depth(stream, pixel_format),
        colour=colour,
        hdr=_hdr(stream, colour),
        real_frame_rate=_ratio(stream.get("r_frame_rate"), "/"),
        average_frame_rate=average,
        frame_rate=average or _FALLBACK_RATE,
        is_vfr=False,
        is_interlaced=stream.get("field_order") in {"tt", "bb", "tb", "bt"},
    )


def _audio(stream: Mapping[str, Any]) -> AudioTrack:
    return AudioTrack(
        index=int(stream["index"]),
        codec=str(stream.get("codec_name", "unknown")),
        channels=int(stream["channels"]),
        layout=str(stream.get("channel_layout", "")),
        sample_rate=int(_float(stream.get("sample_rate")) or 0),
        language=_language(stream),
        title=_title(stream),
        is_default=_disposition(stream, "default"),
    )


def _subtitles(stream: Mapping[str, Any]) -> SubtitleTrack:
    codec = str(stream.get("codec_name", "unknown"))
    return SubtitleTrack(
        index=int(stream["index"]),
        codec=codec,
        language=_language(stream),
        title=_title(stream),
        is_forced=_disposition(stream, "forced"),
        kind=SubtitleKind.TEXT if codec in TEXT_CODECS else SubtitleKind.BITMAP,
    )


def _is_sound(stream: Mapping[str, Any]) -> bool:
    """A sound track that can be decoded; a track whose codec is unknown is left out, as every player would."""
    known = stream.get("codec_name", "unknown") != "unknown"
    return stream.get("codec_type") == "audio" and known and 0 < int(stream.get("channels") or 0) <= _MOST_CHANNELS


def _is_still(stream: Mapping[str, Any]) -> bool:
    """Cover art and the like."""
    return any(_disposition(stream, name) for name in ("attached_pic", "still_image", "timed_thumbnails"))


def _disposition(stream: Mapping[str, Any], name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name))


def _language(stream: Mapping[str, Any]) -> str:
    return bcp47(str(stream.get("tags", {}).get("language", "")))


def _title(stream: Mapping[str, Any]) -> str:
    title = str(stream.get("tags", {}).get("title", ""))
    return "".join(letter for letter in title if letter.isprintable()).strip()[:_LONGEST_TITLE]


def _tag(stream: Mapping[str, Any], name: str) -> str:
    value = str(stream.get(name, ""))
    return "" if value in {"unknown", "unspecified", "reserved"} or not re.fullmatch(r"[a-z0-9_.-]*", value) else value


def _rotation(stream: Mapping[str, Any]) -> int:
    """Degrees clockwise. ffprobe counts counter-clockwise; angles between the quarters are not turned to a size."""
    for entry in stream.get("side_data_list", []):
        if "rotation" in entry:
            angle = -(_float(entry["rotation"]) or 0.0)
            quarter = round(angle / 90)
            return quarter * 90 % 360 if abs(angle - quarter * 90) < 1 else 0
    return 0


def _bit_depth(stream: Mapping[str, Any], pixel_format: str) -> int:
    stated = _float(stream.get("bits_per_raw_sample"))
    if stated:
        return int(stated)
    named = re.search(r"p(9|10|12|14|16)(le|be)?$", pixel_format)
    return int(named[1]) if named else 8


def _hdr(stream: Mapping[str, Any], colour: Colour) -> Hdr:
    kinds = {str(entry.get("side_data_type", "")) for entry in stream.get("side_data_list", [])}
    if any(kind.startswith("DOVI") for kind in kinds):
        return Hdr.DOLBY_VISION
    return {"smpte2084": Hdr.HDR10, "arib-std-b67": Hdr.HLG}.get(colour.transfer, Hdr.NONE)


def _float(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None


def _ratio(text: object, separator: str) -> Fraction:
    """A positive ratio such as `30000/1001`; 0 for a frame rate that is not known, 1 for a pixel shape that is not."""
    try:
        above, below = (int(part) for part in str(text).split(separator))
        if above > 0 and below > 0:
            return Fraction(above, below)
    except ValueError:
        pass
    return Fraction(1) if separator == ":" else Fraction(0)
