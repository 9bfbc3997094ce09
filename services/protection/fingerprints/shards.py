"""A part of the index: one file on disk that is made once and never changed, mapped into memory and read where it is looked at.

Entries lie in lists. Which list a code belongs to is told by a few bits, each the side of a plane on which it lies; the planes are those along which
the file's own codes differ most (principal components), because these hardly move when a copy is cut or encoded again. A code is
looked up in the list that it falls into, and in those that it would fall into if the bits that it is least sure of were otherwise.

An entry takes 40 bytes: its code, its title and its place.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.protection.fingerprints.codes import BITS, Codes
from services.protection.fingerprints.fingerprint import Words

Floats = NDArray[np.float32]
Numbers = NDArray[np.uint32]

ENTRY_BYTES: Final = BITS // 8 + 4 + 4
PROBES: Final = 24
"""Lists in which each code is looked up."""
_MAGIC: Final = b"RMFPIDX1"
_PAGE: Final = 4096
_IN_A_LIST: Final = 512
_MOST_BITS: Final = 20
_SAMPLE: Final = 20_000
_CHUNK: Final = 65_536
_UNSURE: Final = 8
_SUBSETS: Final = np.array([[number >> bit & 1 for bit in range(_UNSURE)] for number in range(1 << _UNSURE)], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Entries of an index: codes, the numbers of their titles, and where in these they are (milliseconds).

    Attributes:
        gone: numbers of titles whose entries are left out when they are gone through.
    """

    words: Words
    titles: Numbers
    places: Numbers
    gone: frozenset[int] = frozenset()

    @classmethod
    def of(cls, title: int, codes: Codes) -> Entries:
        """Those of one title."""
        return cls(codes.words, np.full(len(codes), title, np.uint32), codes.places.astype(np.uint32))

    def __len__(self) -> int:
        if not self.gone:
            return len(self.words)
        return sum(len(part.words) for part in self.parts())

    def parts(self) -> Iterator[Entries]:
        """The same, a few at a time."""
        gone = np.array(sorted(self.gone), np.uint32)
        for start in range(0, len(self.words), _CHUNK):
            part = slice(start, start + _CHUNK)
            words, titles, places = self.words[part], self.titles[part], self.places[part]
            if self.gone:
                stay = ~np.isin(titles, gone)
                words, titles, places = words[stay], titles[stay], places[stay]
            yield Entries(words, titles, places)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Entries that are near to codes that were asked for: by which code, in which title and where, and by how many bits they differ."""

    asked: NDArray[np.int64]
    titles: NDArray[np.int64]
    places: NDArray[np.int64]
    distances: NDArray[np.int64]

    @classmethod
    def joined(cls, some: Sequence[Hits]) -> Hits:
        """Those of several files."""
        none = np.zeros(0, np.int64)
        fields = ("asked", "titles", "places", "distances")
        return cls(*(np.concatenate([none, *(getattr(hits, name) for hits in some)]) for name in fields))


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """By which codes are put into lists.

    Attributes:
        axes: (256, bits).
        middles: of what a code comes to along each; half of them lie on either side.
    """

    axes: Floats
    middles: Floats

    @classmethod
    def of(cls, words: Words, entries: int) -> Planes:
        """Planes that divide codes like these into lists of about 512."""
        bits = int(np.clip(round(np.log2(max(entries, 1) / _IN_A_LIST)), 0, _MOST_BITS))
        if bits == 0 or len(words) < 2:  # one list for all
            return cls(np.zeros((BITS, 0), np.float32), np.zeros(0, np.float32))
        signs = _signs(words)
        axes = np.linalg.eigh(np.cov(signs.T.astype(np.float64)))[1][:, ::-1][:, :bits].astype(np.float32)
        middles = np.median(signs @ axes, axis=0)
        return cls(np.ascontiguousarray(axes), middles.astype(np.float32))

    @property
    def bits(self) -> int:
        """Bits that tell a list."""
        return int(self.axes.shape[1])

    def margins(self, words: Words) -> Floats:
        """How far from each plane codes lie, and on which side."""
        return np.asarray(_signs(words) @ self.axes - self.middles, np.float32)

    def lists(self, words: Words) -> NDArray[np.int64]:
        """The list of each code."""
        return np.asarray((self.margins(words) > 0) @ (1 << np.arange(self.bits, dtype=np.int64)), np.int64)

    def probes(self, words: Words) -> NDArray[np.int64]:
        """The lists in which each code may be, likeliest first: (codes, probes)."""
        margins, powers = self.margins(words), 1 << np.arange(self.bits, dtype=np.int64)
        own = ((margins > 0) @ powers)[:, None]
        unsure = min(_UNSURE, self.bits)
        nearest = np.argsort(np.abs(margins), axis=1)[:, :unsure]
        subsets = _SUBSETS[: 1 << unsure, :unsure]
        costs = np.take_along_axis(np.abs(margins), nearest, axis=1) @ subsets.T.astype(np.float32)
        cheapest = np.argsort(costs, axis=1, kind="stable")[:, :PROBES]
        flips = np.take_along_axis(powers[nearest] @ subsets.T, cheapest, axis=1)
        return np.asarray(own ^ flips, np.int64)


class Shard:
    """One file of the index.

    Attributes:
        path: where it lies.
        titles: numbers of the titles that it knows, also of those that had nothing to be known by.
    """

    def __init__(self, path: Path) -> None:
        """Opens it.

        Raises:
            ValueError: it is no such file.
        """
        self.path = path
        with path.open("rb") as file:
            head = file.read(_PAGE)
            if not head.startswith(_MAGIC):
                raise ValueError(f"{path.name} is no part of an index")
            self._count, bits, known = (int(number) for number in np.frombuffer(head, "<u8", 3, len(_MAGIC)))
        data = np.memmap(path, np.uint8, "r")
        places = _Layout(self._count, bits, known)
        self.titles = frozenset(json.loads(bytes(places.of(data, "known"))))
        axes = places.of(data, "axes").view("<f4").reshape(BITS, bits)
        self._planes = Planes(np.array(axes), np.array(places.of(data, "middles").view("<f4")))
        self._starts = places.of(data, "starts").view("<u8")
        words = places.of(data, "words").view("<u8").reshape(self._count, BITS // 64)
        self._entries = Entries(words, places.of(data, "titles").view("<u4"), places.of(data, "places").view("<u4"))
        self.size = len(data)

    def __len__(self) -> int:
        return self._count

    @property
    def entries(self) -> Entries:
        """All of its entries."""
        return self._entries

    def near(self, words: Words, radius: int) -> Hits:
        """Entries that differ from any of these codes by `radius` bits at most, as far as they lie in the lists that are looked into."""
        asked = np.repeat(np.arange(len(words)), (probes := self._planes.probes(words)).shape[1])
        order = np.argsort(flat := probes.ravel(), kind="stable")
        lists, firsts = np.unique(flat[order], return_index=True)
        found: list[Hits] = []
        for number, who in zip(lists, np.split(asked[order], firsts[1:]), strict=True):
            start, end = int(self._starts[number]), int(self._starts[number + 1])
            if start == end:
                continue
            distances = _distances(words[who], np.asarray(self._entries.words[start:end]))
            which, where = np.nonzero(distances <= radius)
            if len(which):
                titles, places = self._entries.titles[start + where], self._entries.places[start + where]
                near = (who[which], titles, places, distances[which, where])
                found.append(Hits(*(np.asarray(part, np.int64) for part in near)))
        return Hits.joined(found)


def write(target: Path, sources: Sequence[Entries], titles: Sequence[int]) -> None:
    """Makes a file of the index. It is there whole or not at all.

    Args:
        target: the new file.
        sources: entries, of a title each, or of files that are brought together.
        titles: numbers of all titles that they are of.
    """
    total = sum(len(source) for source in sources)
    every = max(1, total // _SAMPLE)
    sample = np.concatenate([source.words[::every] for source in sources]) if total else np.zeros((0, 4), np.uint64)
    planes = Planes.of(np.asarray(sample), total)
    known = json.dumps(sorted(titles)).encode()
    layout = _Layout(total, planes.bits, len(known))
    unfinished = target.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as file:
        file.write(_MAGIC + np.array([total, planes.bits, len(known)], "<u8").tobytes())
        file.truncate(layout.size)
    data = np.memmap(unfinished, np.uint8, "r+")
    layout.of(data, "known")[:] = np.frombuffer(known, np.uint8)
    layout.of(data, "axes")[:] = planes.axes.astype("<f4").reshape(-1).view(np.uint8)
    layout.of(data, "middles")[:] = planes.middles.astype("<f4").view(np.uint8)
    _fill(data, layout, sources, planes)
    data.flush()
    del data
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(target)


def _fill(data: NDArray[np.uint8], layout: _Layout, sources: Sequence[Entries], planes: Planes) -> None:
    """Puts entries into their lists, a few at a time: there may be more of them than fit into memory."""
    counts = np.zeros(1 << planes.bits, np.int64)
    with tempfile.TemporaryFile() as file:
        for part in (part for source in sources for part in source.parts()):
            lists = planes.lists(part.words)
            counts += np.bincount(lists, minlength=len(counts))
            file.write(lists.astype("<u4").tobytes())
        starts = np.concatenate([[0], np.cumsum(counts)])
        layout.of(data, "starts")[:] = starts.astype("<u8").view(np.uint8)
        words = layout.of(data, "words").view("<u8").reshape(-1, BITS // 64)
        titles, places = layout.of(data, "titles").view("<u4"), layout.of(data, "places").view("<u4")
        free = starts[:-1].copy()
        file.seek(0)
        for part in (part for source in sources for part in source.parts()):
            lists = np.frombuffer(file.read(4 * len(part)), "<u4").astype(np.int64)
            order = np.argsort(lists, kind="stable")
            held, firsts, many = np.unique(lists[order], return_index=True, return_counts=True)
            within = np.arange(len(part)) - np.repeat(firsts, many)
            where = free[lists[order]] + within
            words[where], titles[where], places[where] = part.words[order], part.titles[order], part.places[order]
            free[held] += many


class _Layout:
    """Where in a file each of its parts lies."""

    def __init__(self, entries: int, bits: int, known: int) -> None:
        sizes = {
            "known": known,
            "axes": BITS * bits * 4,
            "middles": bits * 4,
            "starts": ((1 << bits) + 1) * 8,
            "words": entries * BITS // 8,
            "titles": entries * 4,
            "places": entries * 4,
        }
        self._parts: dict[str, slice] = {}
        place = _PAGE
        for name, size in sizes.items():
            self._parts[name] = slice(place, place + size)
            place += -(-size // 64) * 64
        self.size = place

    def of(self, data: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """One of them."""
        return data[self._parts[name]]


def _signs(words: Words) -> Floats:
    """Bits as -1 and 1: (codes, 256)."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8).reshape(len(words), BITS // 8), axis=1)
    return np.asarray(bits, np.float32) * 2 - 1


def _distances(some: Words, others: Words) -> NDArray[np.uint16]:
    """Bits by which each of some codes differs from each of the others."""
    total = np.zeros((len(some), len(others)), np.uint16)
    for word in range(BITS // 64):
        total += np.bitwise_count(some[:, word, None] ^ others[None, :, word])
    return total
