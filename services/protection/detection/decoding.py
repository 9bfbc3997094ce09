"""Small grey pictures of a film, by ffmpeg in the sandbox: suspicious files come from strangers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from services.kit import sandbox
from services.kit.sandbox import MIB, Limits
from services.protection.refusals import undecodable

Frames = NDArray[np.uint8]

_CONTAINERS: Final = "mov,matroska,mpegts,mpeg,avi,flv,asf,ogg"
_MOST_PIXELS: Final = 8192 * 4320
_MOST_BYTES: Final = 256 * MIB


@functools.cache
def ffmpeg() -> Path:
    """ffmpeg, from the wheel that this project depends on."""
    return Path(imageio_ffmpeg.get_ffmpeg_exe())


async def sampled(
    film: Path, size: tuple[int, int], rate: float, start: float = 0.0, seconds: float | None = None
) -> Frames:
    """Pictures at a steady rate: (number, height, width).

    Args:
        film: any file.
        size: width and height.
        rate: pictures a second.
        start: seconds from the file's beginning.
        seconds: how much; all by default.

    Raises:
        Refusal: COPY_UNDECODABLE.
    """
    before = ["-ss", f"{start:.6f}"] if start > 0 else []
    length = [] if seconds is None else ["-t", f"{seconds:.6f}"]
    return await _decoded(film, size, before, f"fps={rate}:start_time=0", length)


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
    if not done.stdout and (not done.ok or done.stderr_tail):
        raise undecodable()
    whole = len(done.stdout) // (width * height)
    return np.frombuffer(done.stdout, np.uint8, whole * width * height).reshape(whole, height, width)
