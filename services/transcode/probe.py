"""Looks into a master, in the sandbox, and refuses what cannot or should not be encoded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.kit import sandbox
from services.kit.sandbox import MIB, Limits
from services.transcode import binaries, streams
from services.transcode.media import MediaInfo, VideoStream
from services.transcode.refusals import Reason, refused, truncated, undecodable
from services.transcode.sniff import Container, Sniffed, sniff

_LOOK: Final = Limits(wall_seconds=60, cpu_seconds=60, memory_bytes=1024 * MIB, file_bytes=0)
_HEAD_SECONDS: Final = 10.0
_TAIL_SECONDS: Final = 10.0
_DECODED_FRAMES: Final = 8
_MOST_HEAD_PACKETS: Final = 5000
_OUTLASTS_SECONDS: Final = 1.0
_DEMUXER_MOST_STREAMS: Final = 256


@dataclass(frozen=True, slots=True)
class MasterLimits:
    """What a master may be at most, and at least.

    Attributes:
        seconds: duration.
        side: pixels of the longer side, as stored and as shown.
        pixels: of one stored picture.
        smallest_side: pixels of the shorter side.
        streams: streams of all kinds.
    """

    seconds: float = 12 * 3600.0
    side: int = 8192
    pixels: int = 8192 * 4320
    smallest_side: int = 16
    streams: int = 64


def input_arguments(master: Path, sniffed_demuxer: str, pixels: int) -> list[str]:
    """How any ffmpeg tool is given a master: one demuxer, local bytes only, no picture beyond a size."""
    return [
        *("-protocol_whitelist", "file,pipe"),
        *("-format_whitelist", sniffed_demuxer),
        *("-max_streams", str(_DEMUXER_MOST_STREAMS)),
        *("-max_pixels", str(pixels)),
        *("-f", sniffed_demuxer),
        *("-i", f"file:{master.resolve()}"),
    ]


async def probe(master: Path, limits: MasterLimits | None = None) -> MediaInfo:
    """What a master holds.

    Raises:
        Refusal: one of the `MASTER_…` reasons.
        ConfinementFailed: this machine cannot shut a program in.
    """
    limits = limits or MasterLimits()
    sniffed = await asyncio.to_thread(sniff, master)
    if sniffed.container in {Container.WAV, Container.FLAC, Container.MP3}:
        raise streams.no_video()
    look = _Look(master, sniffed, limits)
    description = await look.describe()
    found = streams.read(description, limits.streams)
    check_size(found.video, limits)
    await look.decode_a_little(found.video.index)
    head, ends = await asyncio.gather(
        look.frame_times(found.video.index), look.ends(found.declared_end, found.video.index)
    )
    duration = _duration(found, ends, limits)
    return MediaInfo(
        container=sniffed.container,
        size_bytes=sniffed.size_bytes,
        start_time=found.start_time,
        duration=duration,
        video=streams.with_cadence(found.video, head),
        audio=found.audio,
        subtitles=found.subtitles,
    )


def check_size(video: VideoStream, limits: MasterLimits) -> None:
    """Refuses pictures that are too large or too small (MASTER_DIMENSIONS)."""
    coded, shown = (video.coded_width, video.coded_height), (video.width, video.height)
    too_large = max(*coded, *shown) > limits.side or coded[0] * coded[1] > limits.pixels
    if too_large or min(*coded, *shown) < limits.smallest_side:
        width, height = coded
        most, least = limits.side, limits.smallest_side
        message = f"the picture has {width} x {height} pixels; sides of {least} to {most} pixels are taken"
        raise refused(Reason.DIMENSIONS, message, width=width, height=height)


def _duration(found: streams.Found, ends: _Ends, limits: MasterLimits) -> float:
    """Seconds from the film's start to its end, by the last packets rather than by the header."""
    end = ends.latest()
    if end is None:
        raise truncated("there is nothing where its end should be")
    declared = found.declared_end
    if declared is not None and end < declared - max(2.0, 0.05 * (declared - found.start_time)):
        missing = declared - end
        raise truncated(f"its last {missing:.0f} seconds are missing")
    pictures_end = ends.latest({found.video.index})
    sound_end = ends.latest({track.index for track in found.audio})
    film_end = end if pictures_end is None else pictures_end
    if sound_end is not None and sound_end > film_end + _OUTLASTS_SECONDS:
        film_end = sound_end
    duration = film_end - found.start_time
    if duration <= 0:
        raise undecodable("it has no length")
    if duration > limits.seconds:
        hours = limits.seconds / 3600
        raise refused(
            Reason.TOO_LONG,
            f"the film lasts {duration / 3600:.1f} hours; films of up to {hours:g} hours are taken",
            duration_seconds=round(duration),
            limit_seconds=round(limits.seconds),
        )
    return duration


@dataclass(slots=True)
class _Ends:
    """The latest moment at which each stream shows or plays something, gathered packet by packet."""

    of_stream: dict[int, float] = field(default_factory=dict)

    def add(self, line: str) -> None:
        fields = [_number(text) for text in line.split(",")]
        if len(fields) < 4 or fields[0] is None:
            return
        index, start = int(fields[0]), _first(fields[1:3])
        if start is not None:
            self.of_stream[index] = max(self.of_stream.get(index, start), start + (fields[3] or 0.0))

    def latest(self, streams: Collection[int] | None = None) -> float | None:
        """Of some streams, or of all; None if they have no packets."""
        return max((end for index, end in self.of_stream.items() if streams is None or index in streams), default=None)


@dataclass(slots=True)
class _Times:
    """Presentation times of the first frames."""

    seconds: list[float] = field(default_factory=list)

    def add(self, line: str) -> None:
        time = _first([_number(text) for text in line.split(",")])
        if len(self.seconds) < _MOST_HEAD_PACKETS and time is not None:
            self.seconds.append(time)


@dataclass(frozen=True, slots=True)
class _Look:
    """Several looks at one master."""

    master: Path
    sniffed: Sniffed
    limits: MasterLimits

    def _input(self) -> list[str]:
        return input_arguments(self.master, self.sniffed.demuxer, self.limits.pixels)

    async def _ffprobe(
        self, *arguments: str, on_line: Callable[[str], None] | None = None, limits: Limits = _LOOK
    ) -> sandbox.Finished:
        argv: list[sandbox.Argument] = [binaries.ffprobe(), "-v", "error", *self._input(), *arguments]
        return await sandbox.run(argv, reads=[self.master], limits=limits, on_progress_line=on_line)

    async def describe(self) -> dict[str, Any]:
        """Format and streams."""
        finished = await self._ffprobe(
            *("-show_format", "-show_streams", "-of", "json"),
            *("-probesize", str(32 * MIB), "-analyzeduration", "20000000"),
        )
        complaint = _without_path(finished.stderr_tail, self.master)
        if "max_streams" in complaint:
            raise streams.too_many_streams(self.limits.streams)
        if not finished.ok:
            if "moov atom not found" in complaint or "End of file" in complaint:
                raise truncated()
            if finished.stopped_by is sandbox.Stop.STDOUT:
                raise streams.too_many_streams(self.limits.streams)
            raise undecodable(f"stopped by {finished.stopped_by.value}" if finished.stopped_by else complaint)
        description: dict[str, Any] = json.loads(finished.stdout)
        return description

    async def decode_a_little(self, index: int) -> None:
        """Decodes the first frames with the program that will encode."""
        argv: list[sandbox.Argument] = [
            *(binaries.ffmpeg(), "-v", "error", "-nostdin", "-an", "-sn", "-dn"),
            *self._input(),
            *("-map", f"0:{index}", "-frames:v", str(_DECODED_FRAMES), "-fps_mode", "passthrough"),
            *("-f", "framecrc", "pipe:1"),
        ]
        finished = await sandbox.run(argv, reads=[self.master], limits=_LOOK)
        frames = [line for line in finished.stdout.decode(errors="replace").splitlines() if line[:1].isdigit()]
        if not frames:
            raise undecodable(_without_path(finished.stderr_tail, self.master))

    async def frame_times(self, index: int) -> Sequence[float]:
        """Presentation times of the first seconds' frames, in order."""
        times = _Times()
        await self._ffprobe(
            *("-select_streams", str(index), "-read_intervals", f"%+{_HEAD_SECONDS:g}"),
            *("-show_entries", "packet=pts_time,dts_time", "-of", "csv=p=0"),
            on_line=times.add,
        )
        return sorted(times.seconds)

    async def ends(self, declared: float | None, index: int) -> _Ends:
        """When each stream ends, as the file counts seconds.

        Without an index near the end, or without a declared end, the whole file is read (not decoded).
        """
        if declared is not None and declared > _TAIL_SECONDS:
            near = await self._ends_from(f"{declared - _TAIL_SECONDS:.3f}%")
            if near.latest({index}) is not None:
                return near
        return await self._ends_from("")

    async def _ends_from(self, interval: str) -> _Ends:
        ends = _Ends()
        slowest = 60 + self.sniffed.size_bytes / (20 * MIB)
        await self._ffprobe(
            *(("-read_intervals", interval) if interval else ()),
            *("-show_entries", "packet=stream_index,pts_time,dts_time,duration_time", "-of", "csv=p=0"),
            on_line=ends.add,
            limits=Limits(slowest, int(slowest), _LOOK.memory_bytes, 0),
        )
        return ends


def _first(numbers: Sequence[float | None]) -> float | None:
    return next((number for number in numbers if number is not None), None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _without_path(complaint: str, master: Path) -> str:
    return complaint.replace(f"file:{master.resolve()}", "the file").replace(str(master.resolve()), "the file")
