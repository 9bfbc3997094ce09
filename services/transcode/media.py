"""What a master holds. Values only, no I/O; pydantic's `TypeAdapter` turns them into JSON and back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from services.transcode.sniff import Container


class Hdr(StrEnum):
    """How light is coded."""

    NONE = "none"
    HDR10 = "hdr10"
    """Perceptual quantizer, SMPTE ST 2084, with or without HDR10+ metadata."""
    HLG = "hlg"
    """Hybrid log-gamma, ARIB STD-B67."""
    DOLBY_VISION = "dolby-vision"


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour tags as ffmpeg names them; empty where the file has none.

    Attributes:
        range: `tv` (limited) or `pc` (full).
        space: matrix, such as `bt709`, `smpte170m`, `bt2020nc`.
        primaries: such as `bt709`, `bt2020`.
        transfer: such as `bt709`, `smpte2084`, `arib-std-b67`.
    """

    range: str = ""
    space: str = ""
    primaries: str = ""
    transfer: str = ""


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The moving picture.

    Attributes:
        index: number of the stream in the file.
        codec: ffmpeg's name of the codec.
        coded_width: pixels as stored.
        coded_height: pixels as stored.
        width: square pixels as shown: pixel shape and rotation are reckoned in.
        height: as `width`.
        rotation: degrees clockwise by which players turn it: 0, 90, 180 or 270.
        sample_aspect_ratio: width of a stored pixel over its height.
        pixel_format: ffmpeg's name.
        bit_depth: bits per colour sample.
        colour: colour tags.
        hdr: high dynamic range, if it is that.
        real_frame_rate: lowest rate that all timestamps fit (r_frame_rate).
        average_frame_rate: frames over duration.
        frame_rate: the constant rate that suits it best, not yet capped.
        is_vfr: whether the time between frames varies.
        is_interlaced: whether frames are made of two fields.
    """

    index: int
    codec: str
    coded_width: int
    coded_height: int
    width: int
    height: int
    rotation: int
    sample_aspect_ratio: Fraction
    pixel_format: str
    bit_depth: int
    colour: Colour
    hdr: Hdr
    real_frame_rate: Fraction
    average_frame_rate: Fraction
    frame_rate: Fraction
    is_vfr: bool
    is_interlaced: bool


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One sound track.

    Attributes:
        index: number of the stream in the file.
        codec: ffmpeg's name of the codec.
        channels: number of channels.
        layout: ffmpeg's name of the channel layout; empty when unknown.
        sample_rate: Hz.
        language: BCP 47; `und` when unknown.
        title: name for people; empty when there is none.
        is_default: whether the file marks it as the one to play.
    """

    index: int
    codec: str
    channels: int
    layout: str
    sample_rate: int
    language: str
    title: str
    is_default: bool


class SubtitleKind(StrEnum):
    """What subtitles are made of."""

    TEXT = "text"
    BITMAP = "bitmap"


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """One subtitle track.

    Attributes:
        index: number of the stream in the file.
        codec: ffmpeg's name of the codec.
        language: BCP 47; `und` when unknown.
        title: name for people; empty when there is none.
        is_forced: shown even when the viewer asked for none (translations of foreign speech and signs).
        kind: text, or pictures of text.
    """

    index: int
    codec: str
    language: str
    title: str
    is_forced: bool
    kind: SubtitleKind


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """A master.

    Attributes:
        container: what the file is.
        size_bytes: its length.
        start_time: seconds; the timestamp in the file that is time 0 of the film.
        duration: seconds from there to the end of the last picture, or of the sound if that goes on for long.
        video: the moving picture.
        audio: sound tracks in the file's order.
        subtitles: subtitle tracks in the file's order.
    """

    container: Container
    size_bytes: int
    start_time: float
    duration: float
    video: VideoStream
    audio: tuple[AudioTrack, ...]
    subtitles: tuple[SubtitleTrack, ...]
