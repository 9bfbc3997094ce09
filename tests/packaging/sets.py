"""Requests for packages of the small film, and finished sets with what is needed to look into them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from services.packaging.engine import package
from services.packaging.tracks import (
    AudioTrack,
    ContentKey,
    PackageRequest,
    PackageResult,
    Scheme,
    TextTrack,
    Thumbnails,
    VideoTrack,
)
from tests.packaging.sources import TITLE_OF_A_STRANGER, Sources, ffmpeg

IV: Final = bytes(range(16))
KEYS: Final = {
    "SD": ContentKey(b"\x11" * 16, bytes.fromhex("5dfe0a7f2d3a4c1b8e96a1f0c2b3d4e5"), IV),
    "HD": ContentKey(b"\x22" * 16, bytes.fromhex("9a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d"), IV),
    "AUDIO": ContentKey(b"\x33" * 16, bytes.fromhex("c0ffee00badc0de0facade00deadbea7"), IV),
}
LATER_KEYS: Final = (
    {
        "SD": ContentKey(b"\x14" * 16, bytes.fromhex("1b2c3d4e5f60718293a4b5c6d7e8f901"), bytes(range(16, 32))),
        "HD": ContentKey(b"\x25" * 16, bytes.fromhex("2c3d4e5f60718293a4b5c6d7e8f9011b"), bytes(range(32, 48))),
        "AUDIO": ContentKey(b"\x36" * 16, bytes.fromhex("3d4e5f60718293a4b5c6d7e8f9011b2c"), bytes(range(48, 64))),
    },
)
"""Keys of a second key period."""


@dataclass(frozen=True, slots=True)
class PackagedSet:
    """A finished package and the folder it lies in."""

    root: Path
    request: PackageRequest
    result: PackageResult

    def text(self, path: str) -> str:
        """A text file of the set."""
        return (self.root / path).read_text(encoding="utf-8")

    def whole_track(self, folder: str) -> bytes:
        """Init segment and all segments of a track, as a player appends them."""
        segments = sorted((self.root / folder).glob("*.m4s"), key=lambda path: int(path.stem))
        return b"".join(path.read_bytes() for path in [self.root / folder / "init.mp4", *segments])

    def opened(self, folder: str, key: ContentKey, scratch: Path) -> list[str]:
        """Checksums of the decoded frames of a track, decrypted with a key."""
        joined = scratch / "joined.mp4"
        joined.write_bytes(self.whole_track(folder))
        return frames(joined, "-decryption_key", key.key.hex())


def frames(path: Path, *options: str) -> list[str]:
    """Checksums of a file's decoded frames, in order."""
    lines = ffmpeg(*options, "-i", path, "-f", "framemd5", "-").decode().splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if not line.startswith("#")]


@functools.cache
def original_frames(source: Path) -> list[str]:
    """Checksums of a source's frames. Nobody may change the list."""
    return frames(source)


def whole_film(sources: Sources, output: Path, **changes: Any) -> PackageRequest:
    """A request with everything that a package can hold. The upper rung has a key of its own."""
    request = PackageRequest(
        output=output,
        video=(VideoTrack("360p", sources.tall, 640, 360, "HD"), VideoTrack("180p", sources.low, 320, 180)),
        audio=(
            AudioTrack(sources.french, "fr", 2, TITLE_OF_A_STRANGER),
            AudioTrack(sources.english, "en", 2),
            AudioTrack(sources.surround, "en", 6),
        ),
        text=(TextTrack(sources.subtitles, "en"), TextTrack(sources.subtitles, "fr", forced=True)),
        thumbnails=Thumbnails(sources.sheets, 2, 2, 160, 90, 1.0),
        poster=sources.poster,
        keys=KEYS,
        default_language="en",
    )
    return replace(request, **changes)


def picture_only(sources: Sources, output: Path, **changes: Any) -> PackageRequest:
    """The smallest request: one rung."""
    request = PackageRequest(output=output, video=(VideoTrack("180p", sources.low, 320, 180),), keys=KEYS)
    return replace(request, **changes)


async def packaged(sources: Sources, output: Path, **changes: Any) -> PackagedSet:
    """The whole film, packaged."""
    request = whole_film(sources, output, **changes)
    return PackagedSet(output, request, await package(request))


SCHEMES: Final = (Scheme.CBCS, Scheme.CENC)
