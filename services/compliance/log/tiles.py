"""Tiles: the tree and its entries in files that never change (C2SP tlog-tiles). Pure: no I/O.

A tile has the 256 hashes of one level over 256 neighbours; level L of tiles is level 8·L of the tree. At the right edge of the tree tiles are partial, and
have the width in their name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.compliance.log.merkle import TILE_HEIGHT

WIDTH: Final = 1 << TILE_HEIGHT
CHECKPOINT: Final = "checkpoint"


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: level and place in rows of tiles, and how many hashes it has, 1 to 256."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where its hashes lie below the log's prefix."""
        return f"tile/{self.level}/{self._place()}"

    @property
    def entries_path(self) -> str:
        """Where the entries lie of which a tile of level 0 has the hashes."""
        return f"tile/entries/{self._place()}"

    def _place(self) -> str:
        groups, left = [f"{self.index % 1000:03}"], self.index // 1000
        while left:
            groups.append(f"x{left % 1000:03}")
            left //= 1000
        return "/".join(reversed(groups)) + (f".p/{self.width}" if self.width < WIDTH else "")


def levels(size: int) -> Iterator[tuple[int, int]]:
    """Each level of tiles that a tree of a size has, with the number of hashes in it."""
    level = 0
    while size:
        yield level, size
        level, size = level + 1, size // WIDTH


def new_tiles(old: int, size: int) -> Iterator[Tile]:
    """The tiles of a tree of `size` that one of `old` has not. Partial ones only at the tree's edge."""
    for level, hashes in levels(size):
        first = (old >> (TILE_HEIGHT * level)) // WIDTH
        if hashes == old >> (TILE_HEIGHT * level):
            continue
        for index in range(first, hashes // WIDTH):
            yield Tile(level, index)
        if hashes % WIDTH:
            yield Tile(level, hashes // WIDTH, hashes % WIDTH)


def bundled(records: Sequence[bytes]) -> bytes:
    """A bundle of entries: each with its length before it, two bytes, big-endian.

    Raises:
        OverflowError: a record has 64 KiB or more.
    """
    return b"".join(len(record).to_bytes(2) + record for record in records)
