"""Small renditions to package, made once per run: a ladder of two rungs, sound in two languages and 5.1, texts."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from tests.support.counter import counter_filter

SECONDS: Final = 6.5
FRAME_RATE: Final = 24
SEGMENT_SECONDS: Final = 2.0
SEGMENTS: Final = 4
TITLE_OF_A_STRANGER: Final = 'Piste "VF",\r\n#EXT-X-KEY:METHOD=NONE'

RATE_FACTORS: Final = ("30", "36")
"""Of the taller and the lower rung: the encoder writes them into its headers."""

X264: Final = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-profile:v",
    "main",
    "-pix_fmt",
    "yuv420p",
    "-bf",
    "2",
    "-g",
    "48",
    "-keyint_min",
    "48",
    "-sc_threshold",
    "0",
    "-flags",
    "+cgop",
]
_BT709: Final = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"


@dataclass(frozen=True, slots=True)
class Sources:
    """Paths of the made files."""

    tall: Path
    low: Path
    misaligned: Path
    english: Path
    surround: Path
    french: Path
    subtitles: Path
    sheets: tuple[Path, Path]
    poster: Path


def ffmpeg(*arguments: object) -> bytes:
    """Runs the bundled ffmpeg and returns its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def sources_in(folder: Path) -> Sources:
    """The files below `folder`, where `make_sources` made them."""
    return Sources(
        tall=folder / "360p.mp4",
        low=folder / "180p.mp4",
        misaligned=folder / "misaligned.mp4",
        english=folder / "en.mp4",
        surround=folder / "en51.mp4",
        french=folder / "fr.mp4",
        subtitles=folder / "en.vtt",
        sheets=(folder / "sheet1.jpg", folder / "sheet2.jpg"),
        poster=folder / "poster.jpg",
    )


def make_sources(folder: Path) -> None:
    """Makes the files below `folder`."""
    folder.mkdir()
    made = sources_in(folder)
    picture = f"testsrc2=size=640x360:rate={FRAME_RATE}:duration={SECONDS}"
    split = f"{counter_filter()},{_BT709},split=3[tall][b][c];[b]scale=320:180,split=2[low][m]"
    sheets = "[c]fps=1,scale=160:90,tile=2x2[sheets]"
    ffmpeg(
        *("-f", "lavfi", "-i", picture, "-filter_complex", f"{split};{sheets}"),
        *("-map", "[tall]", *X264, "-crf", RATE_FACTORS[0], made.tall),
        *("-map", "[low]", *X264, "-crf", RATE_FACTORS[1], made.low),
        *("-map", "[m]", *X264, "-g", "36", "-keyint_min", "36", "-crf", "36", made.misaligned),
        *("-map", "[sheets]", folder / "sheet%d.jpg"),
    )
    ffmpeg("-i", made.sheets[0], "-frames:v", "1", made.poster)
    for path, channels, expression in (
        (made.english, 2, "0.2*sin(440*2*PI*t)|0.2*sin(440*2*PI*t)"),
        (made.french, 2, "0.2*sin(660*2*PI*t)|0.2*sin(660*2*PI*t)"),
        (made.surround, 6, "|".join(["0.2*sin(440*2*PI*t)"] * 6)),
    ):
        layout = "5.1" if channels == 6 else "stereo"
        source = f"aevalsrc={expression}:channel_layout={layout}:sample_rate=48000:duration={SECONDS}"
        ffmpeg("-f", "lavfi", "-i", source, "-c:a", "aac", "-b:a", f"{32 * channels}k", path)
    made.subtitles.write_bytes(b"\xef\xbb\xbfWEBVTT\r\n\r\n00:00:00.500 --> 00:00:03.000\r\nHello there\r\n")
