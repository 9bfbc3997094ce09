"""Encodes a span of a film's pictures into all renditions at once, and its sound track by track.

One process decodes once and feeds every encoder: that costs two thirds of a process per rendition. Spans begin at
keyframes of the common timeline, so that any number of workers can share a film and their chunks can be joined without
a seam. Sound is encoded in one go, for its encoders need a run-up that would be heard at each seam.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

from services.kit.sandbox import MIB, Limits
from services.transcode import binaries
from services.transcode.ffmpeg import Command, execute
from services.transcode.graph import Span, filter_graph, output, seek_seconds
from services.transcode.ladder import AudioRendition, Plan, VideoCodec, VideoRendition
from services.transcode.media import MediaInfo
from services.transcode.probe import MasterLimits, input_arguments
from services.transcode.refusals import encode_failed
from services.transcode.sniff import Container
from services.transcode.watermark import PATTERN_FILE, pattern_input

CHUNK_SECONDS: Final = 20.0
NICENESS: Final = 10
_FINEST_TICK: Final = 10_000
# With fewer frames than it looks ahead an encoder numbers them otherwise than in the chunks before.
_FEWEST_FRAMES: Final = 16
_NO_EXTRAS: Final = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact")
_FRAGMENTS: Final = "+frag_keyframe+delay_moov+default_base_moof"
# Cheaper subpixel refinement and a longer view ahead: measured at equal VMAF, a quarter less time and 2 to 15 % fewer
# bits.
_H264_TUNING: Final = {"veryfast": ":subme=1:rc-lookahead=20"}
# SVT-AV1's presets that take about as long as x264's.
_AV1_PRESETS: Final = {
    "ultrafast": 12,
    "superfast": 11,
    "veryfast": 10,
    "faster": 9,
    "fast": 8,
    "medium": 7,
    "slow": 5,
    "slower": 4,
    "veryslow": 2,
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a film that is encoded in one go.

    Attributes:
        index: from 0.
        start_frame: first frame on the common timeline; a keyframe in every rendition.
        frame_count: frames of the common timeline.
    """

    index: int
    start_frame: int
    frame_count: int

    @property
    def span(self) -> Span:
        """Its frames."""
        return Span(self.start_frame, self.start_frame + self.frame_count)


def chunks(plan: Plan, seconds: float = CHUNK_SECONDS) -> tuple[Chunk, ...]:
    """Cuts a film at keyframes into parts of about equal length.

    Args:
        plan: what is made of the film.
        seconds: about how long a part is. Shorter parts spread over more workers, longer ones cost less.
    """
    gops = -(-plan.frame_count // plan.gop_frames)
    per_chunk = max(1, round(Fraction(seconds) / plan.gop_seconds))
    count = max(1, round(gops / per_chunk))
    bounds = [round(Fraction(gops * index, count)) * plan.gop_frames for index in range(count)]
    if count > 1 and plan.frame_count - bounds[-1] < _FEWEST_FRAMES:
        bounds.pop()
    bounds.append(plan.frame_count)
    return tuple(Chunk(index, start, end - start) for index, (start, end) in enumerate(pairwise(bounds)))


def timescale(frame_rate: Fraction) -> int:
    """Ticks per second of a rendition's file: a frame is a whole number of them, in all renditions of a film."""
    return frame_rate.numerator * -(-_FINEST_TICK // frame_rate.numerator)


async def encode_chunk(
    master: Path,
    media: MediaInfo,
    plan: Plan,
    chunk: Chunk,
    folder: Path,
    *,
    threads: int | None = None,
    on_seconds: Callable[[float], None] | None = None,
    patterns: bytes = b"",
) -> dict[str, Path]:
    """Encodes one chunk into all video renditions.

    Args:
        master: the file that `media` describes.
        media: what it holds.
        plan: what is made of it.
        chunk: which part.
        folder: an empty folder for the outcome.
        threads: processors to use; all by default.
        on_seconds: told how many seconds of the chunk are done.
        patterns: of the chunk's segments, see `watermark.patterns`; empty unless the plan is to watermark.

    Returns:
        Rendition name, with each of `plan.variants` behind it → fragmented MP4 whose time begins at 0; to be joined by `stitch`.

    Raises:
        Refusal: MASTER_UNDECODABLE or ENCODE_FAILED.
    """
    if plan.colluders:
        await asyncio.to_thread((folder / PATTERN_FILE).write_bytes, patterns)
    command = chunk_command(master, media, plan, chunk, folder, await binaries.filters(), threads)
    per_frame = float(plan.video[0].frame_step / plan.frame_rate)
    await execute(command, None if on_seconds is None else lambda frames: on_seconds(frames * per_frame))
    names = [rendition.name + variant for variant in plan.variants for rendition in plan.video]
    outcome = {name: _video_file(folder, name) for name in names}
    missing = [name for name, path in outcome.items() if not path.exists()]
    if missing:
        raise encode_failed(f"ffmpeg wrote no {missing[0]}")
    return outcome


def chunk_command(  # noqa: PLR0917  # everything that an encode depends on, each of its own kind
    master: Path,
    media: MediaInfo,
    plan: Plan,
    chunk: Chunk,
    folder: Path,
    filters: frozenset[str],
    threads: int | None = None,
) -> Command:
    """The command of `encode_chunk`."""
    threads = threads or os.cpu_count() or 1
    arguments = [
        *("-filter_complex_threads", str(min(threads, 4)), "-threads", str(threads)),
        *_master_arguments(master, media, seek_seconds(media, plan, chunk.span)),
    ]
    if plan.colluders:
        arguments += [*pattern_input(plan), "-i", f"file:{folder.resolve() / PATTERN_FILE}"]
    arguments += ["-filter_complex", filter_graph(media, plan, chunk.span, filters)]
    for variant in plan.variants:
        for index, rendition in enumerate(plan.video):
            arguments += ["-map", output(index, variant)]
            arguments += _video_arguments(plan, rendition, _share(plan, rendition, threads))
            arguments.append(f"file:{_video_file(folder, rendition.name + variant)}")
    return Command(tuple(arguments), (master,), folder, _video_limits(media, plan, chunk, threads))


def _master_arguments(master: Path, media: MediaInfo, seek: float | None) -> list[str]:
    """The master as input. Timestamps stay the file's own: the filters put them on the timeline."""
    given = input_arguments(master, media.container.value, MasterLimits().pixels)
    return ["-copyts", *(() if seek is None else ("-ss", f"{seek:.6f}")), *given]


def _video_file(folder: Path, name: str) -> Path:
    return folder.resolve() / f"{name}.mp4"


def _share(plan: Plan, rendition: VideoRendition, threads: int) -> int:
    """Threads for one encoder, by its part of all pixels. Few: each one costs memory and a little quality. Never less than its part,
    or the largest picture alone would hold up all the others."""
    pixels = sum(one.width * one.height / one.frame_step for one in plan.video) * len(plan.variants)
    part = rendition.width * rendition.height / rendition.frame_step / pixels
    return min(16, math.ceil(threads * part))


def _video_arguments(plan: Plan, rendition: VideoRendition, threads: int) -> list[str]:
    coding = {VideoCodec.H264: _h264, VideoCodec.HEVC: _hevc, VideoCodec.AV1: _av1}[rendition.codec]
    return [
        *coding(rendition, plan.preset, threads),
        *("-crf", str(rendition.rate_factor), "-g", str(rendition.gop_frames)),
        *("-maxrate", f"{rendition.max_kbps}k", "-bufsize", f"{rendition.buffer_kbits}k"),
        *("-fps_mode", "passthrough", "-video_track_timescale", str(timescale(plan.frame_rate))),
        *_NO_EXTRAS,
        *("-flags:v", "+bitexact+cgop", "-movflags", _FRAGMENTS, "-f", "mp4"),
    ]


def _h264(rendition: VideoRendition, preset: str, threads: int) -> list[str]:
    gop = rendition.gop_frames
    fixed = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0{_H264_TUNING.get(preset, '')}"
    return [
        *("-c:v", "libx264", "-preset", preset, "-profile:v", "high", "-threads", str(threads)),
        *("-x264-params", fixed),
    ]


def _hevc(rendition: VideoRendition, preset: str, threads: int) -> list[str]:
    gop = rendition.gop_frames
    fixed = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:info=0:log-level=error"
    return [
        *("-c:v", "libx265", "-preset", preset, "-profile:v", "main", "-tag:v", "hvc1"),
        *("-x265-params", f"{fixed}:pools={threads}:frame-threads={min(threads, 3)}"),
    ]


def _av1(rendition: VideoRendition, preset: str, threads: int) -> list[str]:
    del rendition
    return [
        *("-c:v", "libsvtav1", "-preset", str(_AV1_PRESETS.get(preset, 10))),
        *("-svtav1-params", f"scd=0:irefresh-type=2:lp={min(threads, 6)}"),
    ]


def _video_limits(media: MediaInfo, plan: Plan, chunk: Chunk, threads: int) -> Limits:
    """Far beyond what an honest master takes on a slow machine: about 50 times what one was measured to take."""
    pixels = media.video.coded_width * media.video.coded_height
    made = sum(one.width * one.height / one.frame_step for one in plan.video) * len(plan.variants)
    frames = chunk.frame_count + 20 * float(plan.frame_rate)
    slower = {VideoCodec.H264: 1.0, VideoCodec.HEVC: 4.0, VideoCodec.AV1: 4.0}
    effort = max(slower[rendition.codec] for rendition in plan.video)
    cpu = 300 + frames * (pixels + made) * effort * 2.5e-6 * _slowness(plan.preset)
    frames_held = 60 + 12 * threads
    seconds = float(chunk.frame_count / plan.frame_rate)
    return Limits(
        wall_seconds=cpu,
        cpu_seconds=int(cpu),
        memory_bytes=1024 * MIB + int((pixels + 1.5 * made * len(_codecs(plan))) * 3 * frames_held),
        file_bytes=64 * MIB + int(plan.video[0].max_kbps * 1000 / 8 * seconds * 4),
        nice=NICENESS,
    )


def _codecs(plan: Plan) -> set[VideoCodec]:
    return {rendition.codec for rendition in plan.video}


def _slowness(preset: str) -> float:
    """How much longer than `veryfast` a preset takes, at most."""
    return {"medium": 3.0, "slow": 6.0, "slower": 12.0, "veryslow": 24.0, "placebo": 60.0}.get(preset, 1.5)


async def encode_audio(
    master: Path,
    media: MediaInfo,
    plan: Plan,
    renditions: Sequence[AudioRendition],
    folder: Path,
    *,
    on_seconds: Callable[[float], None] | None = None,
) -> dict[str, Path]:
    """Encodes one sound track, whole, into its renditions, each exactly as long as the pictures.

    Args:
        master: the file that `media` describes.
        media: what it holds.
        plan: what is made of it.
        renditions: those of `plan.audio` with one `source_index`.
        folder: an empty folder for the outcome.
        on_seconds: told how many seconds are done.

    Returns:
        Rendition name → MP4.

    Raises:
        Refusal: MASTER_UNDECODABLE or ENCODE_FAILED.
        ValueError: when the renditions are of several tracks.
    """
    command = audio_command(master, media, plan, renditions, folder)
    await execute(command)
    if on_seconds is not None:
        on_seconds(float(plan.duration))
    return {rendition.name: _audio_file(folder, rendition) for rendition in renditions}


def audio_command(
    master: Path, media: MediaInfo, plan: Plan, renditions: Sequence[AudioRendition], folder: Path
) -> Command:
    """The command of `encode_audio`."""
    sources = {rendition.source_index for rendition in renditions}
    if len(sources) != 1:
        raise ValueError("sound is encoded track by track")
    count, source = len(renditions), sources.pop()
    outputs = "".join(f"[s{index}]" for index in range(count))
    graph = f"[0:{source}]{_audio_timeline(media)}asplit={count}{outputs}"
    seconds = f"{float(plan.duration):.6f}"
    for index, rendition in enumerate(renditions):
        layout = "5.1" if rendition.channels == 6 else "stereo"
        shape = f"aformat=sample_fmts=fltp:channel_layouts={layout}"
        graph += f";[s{index}]{shape},apad=whole_dur={seconds},atrim=end={seconds}[a{index}]"
    arguments = [*_master_arguments(master, media, None), "-filter_complex", graph]
    for index, rendition in enumerate(renditions):
        arguments += [
            *("-map", f"[a{index}]", "-c:a", "aac", "-b:a", f"{rendition.kbps}k", *_NO_EXTRAS),
            *("-flags:a", "+bitexact", "-movflags", "+faststart", "-f", "mp4"),
            f"file:{_audio_file(folder, rendition)}",
        ]
    limits = Limits(
        wall_seconds=300 + float(plan.duration) * 2 + media.size_bytes / (5 * MIB),
        cpu_seconds=int(300 + float(plan.duration) * 2 + media.size_bytes / (20 * MIB)),
        memory_bytes=1024 * MIB,
        file_bytes=64 * MIB + int(float(plan.duration) * max(one.kbps for one in renditions) * 250),
        nice=NICENESS,
    )
    return Command(tuple(arguments), (master,), folder, limits)


def _audio_timeline(media: MediaInfo) -> str:
    """Sound on the common timeline: gaps and a late start become silence."""
    shift = f"asetpts=PTS-({media.start_time:.6f}/TB)," if media.start_time else ""
    return f"{shift}aresample=48000:async=1:first_pts=0,"


def _audio_file(folder: Path, rendition: AudioRendition) -> Path:
    return folder.resolve() / f"{rendition.name}.mp4"


def needs_index(media: MediaInfo) -> bool:
    """Whether the container cannot be entered in the middle, and may number its frames anew in between."""
    return media.container in {Container.MPEGTS, Container.MPEGPS}


async def indexed(master: Path, media: MediaInfo, folder: Path) -> Path:
    """The picture and sound of a master in Matroska, not encoded anew: to be probed and encoded in its place.

    Raises:
        Refusal: MASTER_UNDECODABLE or ENCODE_FAILED.
    """
    made = folder.resolve() / "master.mkv"
    streams = [media.video.index, *(track.index for track in media.audio)]
    arguments = [
        *("-fflags", "+genpts", *input_arguments(master, media.container.value, MasterLimits().pixels)),
        *(part for stream in streams for part in ("-map", f"0:{stream}")),
        *("-c", "copy", "-map_chapters", "-1", "-max_muxing_queue_size", "4096", "-f", "matroska", f"file:{made}"),
    ]
    slowest = 300 + media.size_bytes / (5 * MIB)
    limits = Limits(slowest, int(slowest), 1024 * MIB, media.size_bytes + 64 * MIB, nice=NICENESS)
    await execute(Command(tuple(arguments), (master,), folder, limits))
    return made
