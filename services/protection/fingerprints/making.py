"""Makes fingerprints of files, by ffmpeg in the sandbox: suspicious files come from strangers."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from services.kit import sandbox
from services.kit.sandbox import MIB, Finished, Limits
from services.protection.detection.decoding import WHOLE, Inside, ffmpeg
from services.protection.fingerprints.fingerprint import RATE, Bytes, Fingerprint, parsed
from services.protection.refusals import undecodable

LONGEST: Final = 12 * 3600
"""Seconds of a file that are looked at."""
_CONTAINERS: Final = "mov,matroska,mpegts,mpeg,avi,flv,asf,ogg,mp3,aac,flac,wav,mxf"
_MOST_PIXELS: Final = 8192 * 4320
_LIMITS: Final = Limits(
    wall_seconds=4 * 3600,
    cpu_seconds=8 * 3600,
    memory_bytes=3072 * MIB,
    file_bytes=64 * MIB,
    open_files=64,
    nice=10,
)
_LOOK: Final = Limits(wall_seconds=60, cpu_seconds=30, memory_bytes=3072 * MIB, file_bytes=0, open_files=64, nice=10)
# The filter counts in a grid of 32 x 32; so many pixels are enough for it, and any shape of picture fits.
_PICTURE: Final = f"fps={RATE}:start_time=0,scale=384:384:flags=area,format=gray"
_DURATION: Final = re.compile(r"Duration: (\d+):(\d\d):(\d\d)")

OnFraction = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of a file.

    Attributes:
        plain: as it is.
        mirrored: of its pictures with left and right exchanged; without sound. None when it was not asked for.
    """

    plain: Fingerprint
    mirrored: Fingerprint | None = None


async def of_file(
    file: Path, *, mirrored: bool = False, inside: Inside = WHOLE, on_fraction: OnFraction = lambda _: None
) -> Prints:
    """Fingerprints of one file with picture, sound or both; of the picture by a part of it if need be.

    Raises:
        Refusal: COPY_UNDECODABLE, when there is neither.
    """
    length, tracks = await _looked(file)
    pictures = [_NONE]
    if "Video:" in tracks:
        pictures = await _pictures(
            file, mirrored, lambda seconds: on_fraction(min(1.0, seconds / length) * 0.9), inside
        )
    sound = await _sound(file) if "Audio:" in tracks else _SILENCE
    if not len(pictures[0][0]) and not len(sound):
        raise undecodable()
    other = Fingerprint(*pictures[1], _SILENCE) if len(pictures) > 1 else None
    return Prints(Fingerprint(*pictures[0], sound), other)


async def of_title(picture: Path | None, sound: Path | None) -> Fingerprint:
    """The fingerprint of a title of ours, from two of its renditions.

    Raises:
        Refusal: COPY_UNDECODABLE.
    """
    pictures = await _pictures(picture, mirrored=False, on_second=lambda _: None) if picture else [_NONE]
    made = Fingerprint(*pictures[0], await _sound(sound) if sound else _SILENCE)
    if not made.seconds:
        raise undecodable()
    return made


_SILENCE: Final = np.zeros(0, np.uint32)
_NONE: Final = (np.zeros((0, 76), np.uint8), np.zeros(0, np.uint8))


async def _looked(file: Path) -> tuple[float, str]:
    """How long a file says it is, in seconds, and what ffmpeg says of its tracks."""
    done = await sandbox.run([ffmpeg(), "-hide_banner", "-nostdin", *_input(file)], reads=[file], limits=_LOOK)
    found = _DURATION.search(done.stderr_tail)
    hours, minutes, seconds = map(int, found.groups()) if found else (0, 0, 0)
    return max(1.0, hours * 3600 + minutes * 60 + seconds), done.stderr_tail


async def _pictures(
    file: Path, mirrored: bool, on_second: Callable[[float], None], inside: Inside = WHOLE
) -> list[tuple[Bytes, Bytes]]:
    """Signatures of a film's pictures; of their mirror images besides when asked for. One decode for both."""
    with tempfile.TemporaryDirectory(prefix="reelmesh-fingerprint-") as name:
        folder = Path(name)
        plain, other = folder / "plain", folder / "mirrored"
        picture = inside.filters + _PICTURE
        ways = [f"[0:v:0]{picture},signature=filename={plain}[plain]"]
        if mirrored:
            ways = [
                f"[0:v:0]{picture},split[one][two]",
                f"[one]signature=filename={plain}[plain]",
                f"[two]hflip,signature=filename={other}[mirrored]",
            ]
        outputs = [name for label in ("plain", "mirrored")[: 1 + mirrored] for name in ("-map", f"[{label}]")]
        await _run(file, ["-filter_complex", ";".join(ways), *outputs, "-f", "null", "-"], folder, on_second)
        return [await asyncio.to_thread(_read, path) for path in ([plain, other] if mirrored else [plain])]


def _read(path: Path) -> tuple[Bytes, Bytes]:
    return parsed(path.read_bytes()) if path.exists() and path.stat().st_size else _NONE


async def _sound(file: Path) -> np.typing.NDArray[np.uint32]:
    with tempfile.TemporaryDirectory(prefix="reelmesh-fingerprint-") as name:
        target = Path(name) / "sound"
        output = ("-map", "0:a:0", "-ac", "1", "-ar", "11025", "-f", "chromaprint", "-fp_format", "raw", str(target))
        await _run(file, output, Path(name), lambda _: None)
        data = target.read_bytes() if target.exists() else b""
    return np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32)


async def _run(file: Path, output: Sequence[str], folder: Path, on_second: Callable[[float], None]) -> Finished:
    def on_line(line: str) -> None:
        key, _, value = line.partition("=")
        if key == "out_time_us" and value.strip().isdigit():
            on_second(int(value) / 1e6)

    head = [str(ffmpeg()), "-v", "error", "-nostdin", "-nostats", "-progress", "pipe:1", "-y", "-threads", "2"]
    argv = [*head, "-t", str(LONGEST), *_input(file), "-sn", "-dn", *output]
    return await sandbox.run(argv, reads=[file], writes=[folder], limits=_LIMITS, on_progress_line=on_line)


def _input(file: Path) -> list[str]:
    return [
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS, "-max_pixels", str(_MOST_PIXELS)),
        *("-i", f"file:{file.resolve()}"),
    ]
