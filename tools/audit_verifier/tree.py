"""RFC 6962 section 2.1, as a verifier needs it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

EMPTY: Final = hashlib.sha256(b"").digest()
HASH: Final = 32


def leaf(record: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\x00" + record).digest()


def pair(left: bytes, right: bytes) -> bytes:
    """Hash of a node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Root of the tree over leaves' hashes. Rows are paired off from the left; who has no neighbour moves up as they are, which makes the same tree
    as dividing it at powers of two."""
    if not hashes:
        return EMPTY
    row = list(hashes)
    while len(row) > 1:
        above = [pair(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = above + row[len(row) & ~1 :]
    return row[0]


def included(index: int, size: int, hashed: bytes, proof: Sequence[bytes], wanted: bytes) -> bool:
    """Whether a proof shows that a leaf is in the tree of a size with a root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, hashed
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = pair(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = pair(found, one)
        at, last = at >> 1, last >> 1
    return last == 0 and found == wanted


def continues(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that one tree is the beginning of another (RFC 9162 section 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = pair(one, old), pair(one, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = pair(new, one)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


class Growing:
    """A tree that grows leaf by leaf and tells its root at any size on the way."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, hashed: bytes) -> None:
        """Adds a leaf's hash."""
        carry = self.size
        while carry & 1:
            hashed = pair(self._roots.pop(), hashed)
            carry >>= 1
        self._roots.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree so far."""
        if not self._roots:
            return EMPTY
        found = self._roots[-1]
        for left in self._roots[-2::-1]:
            found = pair(left, found)
        return found
