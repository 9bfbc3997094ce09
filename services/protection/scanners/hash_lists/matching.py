"""Hash-list matching: pictures of a master are hashed by PDQ (https://github.com/facebook/ThreatExchange/tree/main/pdq), and compared with the operator's lists.

A picture matches a hash when no more than 31 of their 256 bits differ and the picture's quality is at least 50, which is what PDQ's makers
recommend for lists from outside. Every picture is compared with every hash, by numpy, in memory: 32 bytes for each hash, and 35 ms for a
picture and a million hashes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import numpy as np
import pdqhash
from numpy.typing import NDArray

from services.kit.database import Database
from services.protection.gate import Finding, Ground, Master
from services.protection.scanners.hash_lists import frames, store

NAME: Final = "hash-lists"
MOST_DISTANCE: Final = 31
LEAST_QUALITY: Final = 50
BYTES: Final = 32
_AT_ONCE: Final = 1 << 18

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Match:
    """A hash of a list that a picture agrees with.

    Attributes:
        distance: bits that differ.
    """

    list_name: str
    pdq: bytes
    distance: int


class Index:
    """Hashes of some lists, to be compared with."""

    def __init__(self, lists: dict[str, bytes]) -> None:
        self._lists = {name: _rows(packed) for name, packed in lists.items() if packed}

    @property
    def empty(self) -> bool:
        """Whether nothing can match."""
        return not self._lists

    def nearest(self, pdq: bytes, most: int = MOST_DISTANCE) -> Match | None:
        """The hash that is nearest to another, no more than `most` bits away; None when there is none."""
        asked, best = _rows(pdq)[0], None
        for name, rows in self._lists.items():
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                distances = np.bitwise_count(part ^ asked).sum(axis=1, dtype=np.uint16)
                place = int(distances.argmin())
                if distances[place] <= most:
                    best = Match(name, part[place].tobytes(), int(distances[place]))
                    most = best.distance - 1
            if most < 0:
                break
        return best


class HashLists:
    """The check."""

    name = NAME

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[str, int] = {}
        self._index = Index({})
        self._turn = asyncio.Lock()

    async def look(self, master: Master) -> Finding | None:
        """Hashes pictures of a master until one matches. Where there is no list, nothing is decoded."""
        index = await self._up_to_date()
        if index.empty:
            return None
        search = _Search(index)
        stopped_by = await frames.each(master.file, search.seen)
        if search.match is not None:
            return await self._finding(search.match, search.second)
        if stopped_by:
            return Finding(
                NAME, Ground.UNCHECKABLE, "ffmpeg", stopped_by, detail="it could not be decoded within limits"
            )
        return None

    async def _finding(self, match: Match, picture: int) -> Finding:
        async with self._database.transaction() as tx:
            note = await store.note_of(tx, match.list_name, match.pdq)
        told = f"picture {picture} of those that were looked at"
        return Finding(
            NAME,
            Ground.ILLEGAL_CONTENT,
            match.list_name,
            match.pdq.hex(),
            float(match.distance),
            f"{told}; the list says: {note}" if note else told,
        )

    async def _up_to_date(self) -> Index:
        """The lists as they are now."""
        async with self._turn:
            async with self._database.transaction() as tx:
                versions = await store.versions(tx)
                if versions == self._versions:
                    return self._index
                packed = {name: await store.hashes(tx, name) for name in versions}
            self._index, self._versions = Index(packed), versions
            return self._index


class _Search:
    """Looks for a match among pictures, one after the other."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._last = b""
        self.match: Match | None = None
        self.second = 0

    def seen(self, picture: frames.Picture) -> bool:
        """Looks at the next picture. Whether to go on."""
        self.second += 1
        pdq, quality = hash_of(picture)
        if quality < LEAST_QUALITY or pdq == self._last:
            return True
        self._last, self.match = pdq, self._index.nearest(pdq)
        return self.match is None


def hash_of(picture: frames.Picture) -> tuple[bytes, int]:
    """PDQ hash of a grey picture, 32 bytes in the order in which they are written, and its quality, 0 to 100."""
    bits, quality = pdqhash.compute(np.repeat(picture[:, :, np.newaxis], 3, axis=2))
    return np.packbits(bits.astype(np.uint8)).tobytes(), int(quality)


def _rows(packed: bytes) -> Hashes:
    return np.frombuffer(packed, np.uint64).reshape(-1, BYTES // 8)
