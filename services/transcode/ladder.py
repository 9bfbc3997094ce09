"""Plans what a master is turned into: renditions, frame rates, bit rates, keyframes. Pure arithmetic.

All renditions of a film share one timeline of frames at a constant rate. Small pictures may show every second frame of
it; keyframes stand at the same moments in all of them, so that a player can change at any segment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from services.transcode.media import AudioTrack, MediaInfo

SHORT_SIDES: Final = (2160, 1440, 1080, 720, 480, 360, 240, 144)
"""Pixels of the shorter side of each rung, which also name it."""

GOP_SECONDS: Final = 2
OTHER_VARIANT: Final = "-b"
"""Stands behind a rendition's name for its variant b."""

_HIGHEST_RATE: Final = 60
_HIGHEST_SMALL_RATE: Final = 30
_SMALL: Final = 480
_OWN_RUNG_ABOVE: Final = Fraction(11, 10)
_REFERENCE_PIXELS: Final = 1920 * 1080
_REFERENCE_KBPS: Final = 5000


class VideoCodec(StrEnum):
    """What pictures are coded as."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"


# Bit rate beside H.264 for the same look, and the constant rate factor of that look in each encoder's own scale.
_THRIFT: Final = {VideoCodec.H264: 1.0, VideoCodec.HEVC: 0.65, VideoCodec.AV1: 0.5}
_RATE_FACTOR: Final = {VideoCodec.H264: 23, VideoCodec.HEVC: 26, VideoCodec.AV1: 35}


@dataclass(frozen=True, slots=True)
class Profile:
    """What to make of masters.

    Attributes:
        codecs: each makes a ladder of its own.
        preset: x264's and x265's preset; SVT-AV1 gets its equal.
        largest_short_side: pixels; larger rungs are left out.
        stereo_kbps: bit rate of two channels.
        surround_kbps: bit rate of 5.1.
    """

    codecs: tuple[VideoCodec, ...] = (VideoCodec.H264,)
    preset: str = "veryfast"
    largest_short_side: int = 2160
    stereo_kbps: int = 128
    surround_kbps: int = 384


@dataclass(frozen=True, slots=True)
class VideoRendition:
    """One picture size in one codec.

    Attributes:
        name: unique in the plan, such as `1080p` or `1080p-hevc`.
        codec: what it is coded as.
        width: pixels, even.
        height: pixels, even.
        frame_step: shows every n-th frame of the timeline: 1 or 2.
        frame_rate: frames per second.
        gop_frames: its own frames from keyframe to keyframe.
        rate_factor: constant rate factor.
        max_kbps: peak bit rate, over a buffer of `buffer_kbits`.
        buffer_kbits: size of that buffer.
    """

    name: str
    codec: VideoCodec
    width: int
    height: int
    frame_step: int
    frame_rate: Fraction
    gop_frames: int
    rate_factor: int
    max_kbps: int
    buffer_kbits: int


@dataclass(frozen=True, slots=True)
class AudioRendition:
    """One encoding of one sound track, AAC at 48 kHz.

    Attributes:
        name: unique in the plan, such as `en-2ch`.
        source_index: number of the stream in the master.
        channels: 2 or 6.
        kbps: bit rate.
        language: BCP 47; `und` when unknown.
        title: name for people; empty when there is none.
        is_default: whether the master marks it as the one to play.
    """

    name: str
    source_index: int
    channels: int
    kbps: int
    language: str
    title: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is made of one master.

    Attributes:
        frame_rate: of the common timeline.
        frame_count: frames of the common timeline.
        gop_frames: frames of the common timeline from keyframe to keyframe.
        preset: speed of the encoders.
        video: renditions, largest first within a codec.
        audio: renditions in the order of the master's tracks; empty for a silent film.
        colluders: how many people who mix their copies the watermark withstands; 0 when the film is not watermarked. Each rendition of
            a watermarked film is made in two variants.
    """

    frame_rate: Fraction
    frame_count: int
    gop_frames: int
    preset: str
    video: tuple[VideoRendition, ...]
    audio: tuple[AudioRendition, ...]
    colluders: int = 0

    @property
    def variants(self) -> tuple[str, ...]:
        """What tells the files of a rendition's variants apart, behind its name."""
        return ("", OTHER_VARIANT) if self.colluders else ("",)

    @property
    def duration(self) -> Fraction:
        """Seconds that every rendition lasts."""
        return self.frame_count / self.frame_rate

    @property
    def gop_seconds(self) -> Fraction:
        """Seconds from keyframe to keyframe: about 2, exactly a whole number of frames."""
        return self.gop_frames / self.frame_rate


def plan(media: MediaInfo, profile: Profile | None = None, *, colluders: int = 0) -> Plan:
    """What to make of a master; `colluders` as in `Plan`."""
    profile = profile or Profile()
    rate = timeline_rate(media.video.frame_rate)
    sizes = picture_sizes(media.video.width, media.video.height, profile.largest_short_side)
    halves = rate > _HIGHEST_SMALL_RATE and any(min(size) < _SMALL for size in sizes)
    gop = gop_frames(rate, even=halves)
    frames = max(1, round(Fraction(media.duration) * rate))
    return Plan(
        frame_rate=rate,
        frame_count=frames + frames % 2 if halves else frames,
        gop_frames=gop,
        preset=profile.preset,
        video=tuple(_rendition(codec, size, rate, gop) for codec in profile.codecs for size in sizes),
        audio=_audio(media.audio, profile),
        colluders=colluders,
    )


def timeline_rate(rate: Fraction) -> Fraction:
    """The constant rate that frames are brought to: the master's own, or the largest whole part of it up to 60."""
    return rate / -(-rate // _HIGHEST_RATE) if rate > _HIGHEST_RATE else rate


def gop_frames(rate: Fraction, *, even: bool) -> int:
    """Whole frames that last about two seconds; an even number where some renditions show every second frame."""
    frames = max(1, round(GOP_SECONDS * rate))
    return frames - frames % 2 if even else frames


def picture_sizes(width: int, height: int, largest_short_side: int = SHORT_SIDES[0]) -> list[tuple[int, int]]:
    """(width, height) of each rung, largest first: even, never larger than the master, of its shape within a pixel.

    A master that lies clearly between two rungs gets a rung of its own size on top.

    Args:
        width: of the master as shown, pixels.
        height: of the master as shown, pixels.
        largest_short_side: leaves larger rungs out.
    """
    short = min(width, height)
    rungs = [side for side in SHORT_SIDES if side <= min(short, largest_short_side)]
    if short <= largest_short_side and (not rungs or short > _OWN_RUNG_ABOVE * rungs[0]):
        rungs.insert(0, short)
    sizes: list[tuple[int, int]] = []
    for side in rungs:
        size = (_even(width, side, short), _even(height, side, short))
        if size not in sizes:
            sizes.append(size)
    return sizes


def _even(length: int, side: int, short: int) -> int:
    """A side scaled by `side / short`, rounded to an even number, no longer than it was, at least 2."""
    return max(2, min(round(Fraction(length * side, 2 * short)) * 2, length - length % 2))


def peak_kbps(width: int, height: int, rate: Fraction, codec: VideoCodec) -> int:
    """Peak bit rate. Detail grows more slowly than area (power 3/4) and motion more slowly than frame rate (root)."""
    area = math.pow(Fraction(width * height, _REFERENCE_PIXELS), 0.75)
    motion = math.sqrt(max(Fraction(1), rate / 30))
    return max(60, round(_REFERENCE_KBPS * area * motion * _THRIFT[codec] / 10) * 10)


def _rendition(codec: VideoCodec, size: tuple[int, int], rate: Fraction, gop: int) -> VideoRendition:
    width, height = size
    step = 2 if min(size) < _SMALL and rate > _HIGHEST_SMALL_RATE else 1
    peak = peak_kbps(width, height, rate / step, codec)
    label = f"{min(size)}p"
    return VideoRendition(
        name=label if codec is VideoCodec.H264 else f"{label}-{codec.value}",
        codec=codec,
        width=width,
        height=height,
        frame_step=step,
        frame_rate=rate / step,
        gop_frames=gop // step,
        rate_factor=_RATE_FACTOR[codec],
        max_kbps=peak,
        buffer_kbits=2 * peak,
    )


def _audio(tracks: tuple[AudioTrack, ...], profile: Profile) -> tuple[AudioRendition, ...]:
    made: list[AudioRendition] = []
    for track in tracks:
        versions = [(2, profile.stereo_kbps)]
        if track.channels >= 6:
            versions.append((6, profile.surround_kbps))
        for channels, kbps in versions:
            name = _free_name(f"{track.language.lower()}-{channels}ch", [other.name for other in made])
            made.append(
                AudioRendition(
                    name=name,
                    source_index=track.index,
                    channels=channels,
                    kbps=kbps,
                    language=track.language,
                    title=track.title,
                    is_default=track.is_default,
                )
            )
    return tuple(made)


def _free_name(name: str, taken: list[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
