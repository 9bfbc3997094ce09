"""Joins the chunks of a rendition into one file, without encoding anew, and makes sure that no frame is lost.

Chunks are fragmented MP4 files whose clocks begin at 0. Joined they are the first one's header and everybody's
fragments, each with its clock set forward by where its chunk begins on the common timeline: whole ticks, so nothing is
rounded. The fragments' own tables are checked on the way: every frame is there, each lasts one frame, keyframes stand
where all renditions have theirs, and all chunks speak of one and the same decoder.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final

from services.transcode import fragments
from services.transcode.encode import Chunk, timescale
from services.transcode.fragments import Fragment, Malformed, Track
from services.transcode.ladder import Plan, VideoRendition
from services.transcode.refusals import encode_failed

_BLOCK: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Stitched:
    """A whole rendition.

    Attributes:
        name: of the rendition.
        path: its file.
        frame_count: its own frames.
        duration: seconds.
        keyframe_times: seconds, of each keyframe.
        size_bytes: length of the file.
    """

    name: str
    path: Path
    frame_count: int
    duration: Fraction
    keyframe_times: tuple[Fraction, ...]
    size_bytes: int


async def stitch(
    plan: Plan, rendition: VideoRendition, chunks: Sequence[Chunk], files: Sequence[Path], target: Path
) -> Stitched:
    """Joins the chunks of one rendition.

    Args:
        plan: what is made of the film.
        rendition: which of its pictures.
        chunks: all of the film's, in order.
        files: what `encode_chunk` made of each.
        target: the file to write.

    Raises:
        Refusal: ENCODE_FAILED when a chunk is not what was planned; the detail tells which and why.
    """
    if len(chunks) != len(files):
        raise encode_failed(f"{rendition.name}: {len(files)} files for {len(chunks)} chunks")
    return await asyncio.to_thread(_stitch, plan, rendition, chunks, files, target)


def check_aligned(stitched: Sequence[Stitched]) -> None:
    """Makes sure that renditions of one film can take each other's place at every keyframe.

    Raises:
        Refusal: ENCODE_FAILED with the first difference.
    """
    for other in stitched[1:]:
        first = stitched[0]
        if other.duration != first.duration:
            raise encode_failed(f"{other.name} lasts {other.duration} s, {first.name} {first.duration} s")
        if other.keyframe_times != first.keyframe_times:
            apart = sorted(set(other.keyframe_times) ^ set(first.keyframe_times))
            raise encode_failed(f"{other.name} and {first.name} have different keyframes, first at {apart[0]} s")


def check_chunk(plan: Plan, rendition: VideoRendition, chunk: Chunk, file: Path) -> None:
    """Makes sure that a chunk is what was planned, before it leaves the worker that made it.

    Raises:
        Refusal: ENCODE_FAILED with the first difference.
    """
    _checked(plan, rendition, chunk, file)


def _stitch(
    plan: Plan, rendition: VideoRendition, chunks: Sequence[Chunk], files: Sequence[Path], target: Path
) -> Stitched:
    tick = Fraction(1, timescale(plan.frame_rate))
    first: Track | None = None
    keyframes: list[Fraction] = []
    number, frames = 0, 0
    with target.open("wb") as out:
        for chunk, file in zip(chunks, files, strict=True):
            track = _checked(plan, rendition, chunk, file)
            if first is None:
                first = track
                out.write(track.header)
            elif track.sample_description != first.sample_description:
                raise _wrong(rendition, chunk, "its decoder configuration differs from the first chunk's")
            elif track.presentation_start != first.presentation_start:
                raise _wrong(rendition, chunk, "its first frame is delayed otherwise than the first chunk's")
            start = Fraction(chunk.start_frame) / plan.frame_rate
            with file.open("rb") as source:
                for fragment in track.fragments:
                    number += 1
                    out.write(_moved(fragment, number, int(start / tick)))
                    _copy(source, out, fragment.data_start, fragment.data_size)
            keyframes += [start + time * tick for time in _keyframes(track)]
            frames += sum(len(fragment.sync) for fragment in track.fragments)
        size = out.tell()
    length = frames / rendition.frame_rate
    return Stitched(rendition.name, target, frames, length, tuple(keyframes), size)


def _checked(plan: Plan, rendition: VideoRendition, chunk: Chunk, file: Path) -> Track:
    try:
        track = fragments.read(file)
    except Malformed as error:
        raise _wrong(rendition, chunk, str(error)) from error
    ticks = timescale(plan.frame_rate)
    if track.timescale != ticks:
        raise _wrong(rendition, chunk, f"{track.timescale} ticks per second instead of {ticks}")
    per_frame = int(ticks / rendition.frame_rate)
    expected = -(-chunk.frame_count // rendition.frame_step)
    count = sum(len(fragment.sync) for fragment in track.fragments)
    if count != expected:
        raise _wrong(rendition, chunk, f"{count} frames instead of {expected}")
    clock = 0
    shown: list[int] = []
    sync: list[bool] = []
    for fragment in track.fragments:
        if fragment.base_time != clock:
            raise _wrong(rendition, chunk, f"its clock jumps from {clock} to {fragment.base_time}")
        for duration, offset in zip(fragment.durations, fragment.offsets, strict=True):
            if duration != per_frame and len(shown) + 1 < expected:
                raise _wrong(rendition, chunk, f"frame {len(shown)} lasts {duration} ticks instead of {per_frame}")
            shown.append(clock + offset - track.presentation_start)
            clock += duration
        sync += fragment.sync
    if sorted(shown) != [per_frame * place for place in range(expected)]:
        raise _wrong(rendition, chunk, "its frames are not shown one after the other")
    wrong = next((n for n, is_key in enumerate(sync) if is_key != (n % rendition.gop_frames == 0)), None)
    if wrong is not None:
        raise _wrong(rendition, chunk, f"frame {wrong} should {'not ' if sync[wrong] else ''}be a keyframe")
    return track


def _keyframes(track: Track) -> list[int]:
    """When keyframes are shown, in ticks from the chunk's start."""
    times = []
    for fragment in track.fragments:
        clock = fragment.base_time
        for duration, offset, is_key in zip(fragment.durations, fragment.offsets, fragment.sync, strict=True):
            if is_key:
                times.append(clock + offset - track.presentation_start)
            clock += duration
    return times


def _moved(fragment: Fragment, number: int, ticks: int) -> bytes:
    """The fragment's header with its number and clock in the whole file."""
    header = bytearray(fragment.header)
    header[fragment.number_at : fragment.number_at + 4] = number.to_bytes(4, "big")
    header[fragment.clock_at : fragment.clock_at + 8] = (fragment.base_time + ticks).to_bytes(8, "big")
    return bytes(header)


def _copy(source: BinaryIO, out: BinaryIO, start: int, size: int) -> None:
    """Copies bytes within the kernel, and by hand where the file systems do not let it."""
    out.flush()
    done = 0
    try:
        while done < size:
            copied = os.copy_file_range(source.fileno(), out.fileno(), size - done, start + done)
            if copied == 0:
                break
            done += copied
    except OSError:
        pass
    out.seek(0, os.SEEK_END)
    source.seek(start + done)
    while done < size:
        block = source.read(min(_BLOCK, size - done))
        if not block:
            raise Malformed("media data is cut off")
        out.write(block)
        done += len(block)


def _wrong(rendition: VideoRendition, chunk: Chunk, what: str) -> Exception:
    return encode_failed(f"{rendition.name}, chunk {chunk.index}: {what}")
