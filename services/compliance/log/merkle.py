"""The Merkle tree of RFC 6962 section 2.1: hashes, what a proof is made of, and trees that only grow. Pure: no I/O.

A tree of any size is a row of perfect subtrees, largest first, by the binary digits of its size. `Frontier` keeps their roots: enough to append
and to tell the root, 32 bytes for each binary digit. Proofs name runs of leaves, `Run`; whoever keeps hashes says what the root of each is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
"""Levels of the tree in one tile (C2SP tlog-tiles)."""
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(record: bytes) -> bytes:
    """Hash of a leaf: SHA-256 of 0x00 and what it holds."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a node: SHA-256 of 0x01 and those of its children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Node:
    """The perfect subtree over the leaves `index · 2^level` up to, not including, `(index + 1) · 2^level`."""

    level: int
    index: int


@dataclass(frozen=True, slots=True)
class Run:
    """The leaves from `start` up to, not including, `end`, as one subtree. It need not be perfect at the right edge of a tree."""

    start: int
    end: int

    def nodes(self) -> Iterator[Node]:
        """The perfect subtrees that it consists of, from left to right. `start` is a multiple of the largest one's size."""
        start = self.start
        while start < self.end:
            level = (self.end - start).bit_length() - 1
            yield Node(level, start >> level)
            start += 1 << level


def folded(hashes: Iterable[bytes]) -> bytes:
    """Root of the subtree that consists of perfect ones, given by their roots from left to right."""
    root: bytes | None = None
    for left in reversed(list(hashes)):
        root = left if root is None else node_hash(left, root)
    return EMPTY_ROOT if root is None else root


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect tree over hashes, of which there are a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree that can only grow: its size, and the roots of its perfect subtrees, largest first (a compact range from 0)."""

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Checks that there is a root for each binary digit of the size.

        Raises:
            ValueError: there is not.
        """
        if len(self.roots) != self.size.bit_count() or any(len(root) != HASH_BYTES for root in self.roots):
            raise ValueError(f"{len(self.roots)} roots do not make a tree of {self.size} leaves")

    def grown(self, leaves: Iterable[bytes]) -> Grown:
        """The tree with more leaves, given by their hashes."""
        size, roots, full = self.size, list(self.roots), list[tuple[Node, bytes]]()
        for hashed in leaves:
            merged, level = hashed, 0
            while size >> level & 1:
                merged, level = node_hash(roots.pop(), merged), level + 1
                if level % TILE_HEIGHT == 0:
                    full.append((Node(level, size >> level), merged))
            roots.append(merged)
            size += 1
        return Grown(Frontier(size, tuple(roots)), tuple(full))

    def root(self) -> bytes:
        """Root of the whole tree."""
        return folded(self.roots)


def inclusion_runs(index: int, size: int) -> list[Run]:
    """What proves that leaf `index` is in the tree of `size`: the siblings on its way up (RFC 6962 section 2.1.1), lowest first."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    found, start, end = list[Run](), 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append(Run(middle, end))
            end = middle
        else:
            found.append(Run(start, middle))
            start = middle
    return found[::-1]


def consistency_runs(first: int, second: int) -> list[Run]:
    """What proves that the tree of `first` leaves is the beginning of the one of `second` (RFC 6962 section 2.1.2), lowest first."""
    if not 1 <= first <= second:
        raise ValueError(f"a tree of {first} cannot be the beginning of one of {second}")
    found, start, end, whole = list[Run](), 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            found.append(Run(middle, end))
            end = middle
        else:
            found.append(Run(start, middle))
            start, whole = middle, False
    # The smaller tree's own root is known to whoever asks; a part of it is not.
    if not whole:
        found.append(Run(start, end))
    return found[::-1]


def _split(size: int) -> int:
    """The largest power of two below a size above 1."""
    return 1 << (size - 1).bit_length() - 1


@dataclass(frozen=True, slots=True)
class Grown:
    """What became of a tree.

    Attributes:
        frontier: the tree.
        full: perfect subtrees that were completed on the way and are as high as one tile or more of them, with their roots.
    """

    frontier: Frontier
    full: tuple[tuple[Node, bytes], ...]
