"""Small grey pictures of a film, by ffmpeg in the sandbox: suspicious files come from strangers."""

from __future__ import annotations

import functools
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from services.kit import sandbox
from services.kit.sandbox import MIB, Limits
from services.protection.refusals import undecodable

Frames = NDArray[np.uint8]
Floats = NDArray[np.float64]

_CONTAINERS: Final = "mov,matroska,mpegts,mpeg,avi,flv,asf,ogg"
_MOST_PIXELS: Final = 8192 * 4320
_MOST_BYTES: Final = 256 * MIB
_BARS_SIZE: Final = 320
_BLACK: Final = 32
_MOST_LIT: Final = 0.98
"""Bars that are smaller than this leaves are taken for a part of the picture: geometry is told from the picture itself."""
_LEAST_LIT: Final = 0.2


class DecoderKilled(RuntimeError):
    """Something outside killed ffmpeg, such as a machine without memory: what it had said by then says nothing of the rest."""


@functools.cache
def ffmpeg() -> Path:
    """ffmpeg, from the wheel that this project depends on."""
    return Path(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True, slots=True)
class Inside:
    """Which part of a film's frame is looked at; shares of its width and height.

    Attributes:
        left: how much is left out on the left.
        top: how much is left out above.
        width: of what is left.
        height: of what is left.
    """

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0

    @property
    def filters(self) -> str:
        """What ffmpeg does before its other filters to see no more than this."""
        if self == WHOLE:
            return ""
        return f"crop=iw*{self.width}:ih*{self.height}:iw*{self.left}:ih*{self.top},"


WHOLE: Final = Inside()


async def within_bars(film: Path) -> Inside:
    """What lies within the black bars of a copy, such as one that was recorded from a screen of another shape; `WHOLE` where it has none.

    What lies over a bar for a while or covers little of it, such as the name of whoever watches, or controls, does not count.

    Raises:
        Refusal: COPY_UNDECODABLE.
    """
    size = (_BARS_SIZE, _BARS_SIZE)
    frames = await _decoded(
        film, size, ["-skip_frame", "nokey"], "null", ["-frames:v", "120", "-fps_mode", "passthrough"]
    )
    if not len(frames):
        return WHOLE
    usual = np.percentile(frames, 60, axis=0)
    top, bottom = _lit(np.percentile(usual, 70, axis=1))
    left, right = _lit(np.percentile(usual[top:bottom], 70, axis=0)) if top < bottom else (0, 0)
    width, height = (right - left) / _BARS_SIZE, (bottom - top) / _BARS_SIZE
    if width * height < _LEAST_LIT:
        return WHOLE
    found = Inside(left / _BARS_SIZE, top / _BARS_SIZE, width, height)
    return found if min(width, height) < _MOST_LIT else WHOLE


def _lit(lines: Floats) -> tuple[int, int]:
    """The first line that is not black, and the one behind the last."""
    lit = np.flatnonzero(lines > _BLACK)
    return (int(lit[0]), int(lit[-1]) + 1) if len(lit) else (0, 0)


async def sampled(
    film: Path,
    size: tuple[int, int],
    rate: float,
    start: float = 0.0,
    seconds: float | None = None,
    *,
    inside: Inside = WHOLE,
) -> Frames:
    """Pictures at a steady rate: (number, height, width).

    Args:
        film: any file.
        size: width and height.
        rate: pictures a second.
        start: seconds from the file's beginning.
        seconds: how much; all by default.
        inside: the part of the frame to look at.

    Raises:
        Refusal: COPY_UNDECODABLE.
        DecoderKilled: in its midst.
    """
    before = ["-ss", f"{start:.6f}"] if start > 0 else []
    length = [] if seconds is None else ["-t", f"{seconds:.6f}"]
    return await _decoded(film, size, before, f"{inside.filters}fps={rate}:start_time=0", length)


async def exact(film: Path, size: tuple[int, int], first: int, count: int, rate: float) -> Frames:
    """Every picture of one of our own renditions from the `first` on, whose frames are `1 / rate` seconds apart.

    Raises:
        Refusal: COPY_UNDECODABLE.
    """
    before = ["-ss", f"{(first - 0.5) / rate:.6f}"] if first > 0 else []
    return await _decoded(film, size, before, "null", ["-frames:v", str(count), "-fps_mode", "passthrough"])


async def _decoded(film: Path, size: tuple[int, int], before: Sequence[str], pace: str, after: Sequence[str]) -> Frames:
    width, height = size
    argv = [
        *(str(ffmpeg()), "-v", "error", "-nostdin", "-threads", "2"),
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS, "-max_pixels", str(_MOST_PIXELS)),
        *(*before, "-i", f"file:{film.resolve()}", "-map", "0:v:0", "-an", "-sn", "-dn"),
        *("-vf", f"{pace},scale={width}:{height}:flags=area,format=gray", *after),
        *("-f", "rawvideo", "pipe:1"),
    ]
    limits = Limits(wall_seconds=900, cpu_seconds=1200, memory_bytes=3072 * MIB, file_bytes=0, open_files=64, nice=10)
    done = await sandbox.run(argv, reads=[film], limits=limits, stdout_limit=_MOST_BYTES)
    if done.stopped_by is None and done.returncode == -signal.SIGKILL:
        raise DecoderKilled(film.name)
    if not done.stdout and (not done.ok or done.stderr_tail):
        raise undecodable()
    whole = len(done.stdout) // (width * height)
    return np.frombuffer(done.stdout, np.uint8, whole * width * height).reshape(whole, height, width)
