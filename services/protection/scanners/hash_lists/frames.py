"""Pictures of a master for hashing, by ffmpeg in the sandbox, handed over one by one as they are decoded.

Of the first five minutes one picture of each second is looked at, and of the rest every picture that is coded by itself, one a second at most:
encoders begin anew at each cut, and these cost a twentieth of what all would.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from services.kit import sandbox
from services.kit.sandbox import MIB, Finished, Limits

Picture = NDArray[np.uint8]

SIDE: Final = 512
"""Pixels of each side: PDQ's own programs make pictures so small before they hash them."""
FIRST_SECONDS: Final = 300
_CONTAINERS: Final = "mov,matroska,mpegts,mpeg,avi,flv,mxf,asf,ogg"
_MOST_PIXELS: Final = 8192 * 4320


@functools.cache
def ffmpeg() -> Path:
    """ffmpeg, from the wheel that this project depends on."""
    return Path(imageio_ffmpeg.get_ffmpeg_exe())


async def each(film: Path, seen: Callable[[Picture], bool]) -> str:
    """Shows the film's pictures to `seen`, grey, in their order, in a thread, until it returns False.

    Returns:
        What kept ffmpeg from looking at all of it, such as `processor time`; empty when it came to the end, and for what is no film.
    """
    showing = _Showing(seen)
    for before, after in (
        ([], ["-t", str(FIRST_SECONDS)]),
        (["-skip_frame", "nokey", "-ss", str(FIRST_SECONDS)], []),
    ):
        finished = await _run(before, after, film, showing)
        if finished.stopped_by is not None:
            return finished.stopped_by.value
        if showing.enough:
            break
    return ""


class _Showing:
    """Puts pictures together from what ffmpeg writes."""

    def __init__(self, seen: Callable[[Picture], bool]) -> None:
        self._seen = seen
        self._pending = bytearray()
        self.enough = False

    async def take(self, block: bytes) -> bool:
        self._pending += block
        while len(self._pending) >= SIDE * SIDE:
            data = bytes(self._pending[: SIDE * SIDE])
            del self._pending[: SIDE * SIDE]
            picture = np.frombuffer(data, np.uint8).reshape(SIDE, SIDE)
            if not await asyncio.to_thread(self._seen, picture):
                self.enough = True
                return False
        return True


async def _run(before: Sequence[str], after: Sequence[str], film: Path, showing: _Showing) -> Finished:
    argv = [
        *(str(ffmpeg()), "-v", "error", "-nostdin", "-threads", "2"),
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS, "-max_pixels", str(_MOST_PIXELS)),
        *(*before, "-i", f"file:{film.resolve()}", "-map", "0:v:0", "-an", "-sn", "-dn", *after),
        *("-vf", f"fps=1:round=up,scale={SIDE}:{SIDE}:flags=area,format=gray"),
        *("-f", "rawvideo", "pipe:1"),
    ]
    limits = Limits(wall_seconds=7200, cpu_seconds=7200, memory_bytes=3072 * MIB, file_bytes=0, open_files=64, nice=10)
    return await sandbox.run(argv, reads=[film], limits=limits, on_output=showing.take)
