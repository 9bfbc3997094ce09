"""Master files for whole journeys: short, with a frame counter burned in, sound, captions and two languages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

from tests.support.counter import counter_filter
from tests.support.shared import made_once

FRAME_RATE = 25


_CAPTIONS = "1\n00:00:00,500 --> 00:00:05,500\nA caption that can be read.\n"


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True)


def film(seconds: int = 6, height: int = 360) -> Path:
    """A film with a counter, English and German sound and English captions."""
    return made_once(f"counted-{seconds}s-{height}p.mp4", lambda target: _make_film(target, seconds, height))


def _make_film(target: Path, seconds: int, height: int) -> None:
    captions = made_once("captions.srt", lambda file: file.write_text(_CAPTIONS, encoding="utf-8"))
    width = height * 16 // 9 // 2 * 2
    picture = f"color=c=0x305080:s={width}x{height}:r={FRAME_RATE}:d={seconds},{counter_filter()}"
    _ffmpeg(
        *("-f", "lavfi", "-i", picture),
        *("-f", "lavfi", "-i", f"sine=f=440:r=48000:d={seconds}"),
        *("-f", "lavfi", "-i", f"sine=f=660:r=48000:d={seconds}"),
        *("-i", str(captions)),
        *("-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s"),
        *(
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-ac",
            "2",
            "-c:s",
            "mov_text",
        ),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:s:0", "language=eng"),
        str(target),
    )


def large_file(mebibytes: int) -> Path:
    """Bytes that are no film, for the sake of their number: they differ in every place."""
    return made_once(f"large-{mebibytes}.bin", lambda target: _make_large(target, mebibytes))


def _make_large(target: Path, mebibytes: int) -> None:
    with target.open("wb") as file:
        for number in range(mebibytes):
            file.write(number.to_bytes(8, "big") * (1024 * 128))
