"""Two and three sessions that mix their copies of a longer film: segment by segment as chance will have it, always what fewer of them have, or the
mean of their pictures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.kit.codewords import Code, bit_of
from tests.protection.leaks import ASSET, ROOT, MarkedFilm, attacked, ffmpeg

SECONDS: Final = 1620
SIZE: Final = "640x360"
RUNG: Final = "360p"
_CODING: Final = ("-crf", "28")


@dataclass(frozen=True, slots=True)
class Collusion:
    """Some who mix their copies.

    Attributes:
        colluders: whom the title's code is made for.
        leakers: sessions.
        how: `segments`, `minority` or `pixels`.
    """

    name: str
    colluders: int
    leakers: tuple[str, ...]
    how: str

    @property
    def code(self) -> Code:
        """The title's."""
        return Code.of(ROOT, ASSET, self.colluders)


COLLUSIONS: Final = (
    Collusion("two_colluders_segments", 2, ("pbs_leaked", "pbs_second"), "segments"),
    Collusion("two_colluders_pixels", 2, ("pbs_leaked", "pbs_second"), "pixels"),
    Collusion("three_colluders_segments", 3, ("pbs_leaked", "pbs_second", "pbs_third"), "segments"),
    Collusion("three_colluders_minority", 3, ("pbs_leaked", "pbs_second", "pbs_third"), "minority"),
    Collusion("three_colluders_pixels", 3, ("pbs_leaked", "pbs_second", "pbs_third"), "pixels"),
)


async def copy_of(title: MarkedFilm, collusion: Collusion, target: Path) -> Path:
    """The copy that they put together, encoded again."""
    bits = [_bits(collusion.code, leaker, title.segments) for leaker in collusion.leakers]
    mixed = target.with_stem(f"{target.stem}-mixed")
    if collusion.how == "pixels":
        await asyncio.to_thread(_averaged, title, bits, mixed)
    else:
        chosen = _chosen(bits, collusion.how)
        await asyncio.to_thread(title.mixed, mixed, RUNG, chosen)
    await asyncio.to_thread(attacked, mixed, target, *_CODING)
    mixed.unlink()
    return target


def _bits(code: Code, holder: str, segments: int) -> list[int]:
    codeword = code.codeword(holder, segments)
    return [bit_of(codeword, number) for number in range(1, segments + 1)]


def _chosen(bits: Sequence[Sequence[int]], how: str) -> list[int]:
    dice = random.Random(2026)
    if how == "minority":
        return [
            int(0 < sum(column) * 2 < len(column) or sum(column) == len(column)) for column in zip(*bits, strict=True)
        ]
    return [dice.choice(column) for column in zip(*bits, strict=True)]


def _averaged(title: MarkedFilm, bits: Sequence[Sequence[int]], target: Path) -> None:
    copies = [target.with_stem(f"{target.stem}-{number}") for number in range(len(bits))]
    for copy, own in zip(copies, bits, strict=True):
        title.mixed(copy, RUNG, own)
    inputs = [argument for copy in copies for argument in ("-i", copy)]
    ffmpeg(
        *inputs,
        "-filter_complex",
        f"mix=inputs={len(copies)}:duration=shortest",
        "-c:v",
        "libx264",
        "-crf",
        "14",
        target,
    )
    for copy in copies:
        copy.unlink()
