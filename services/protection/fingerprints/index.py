"""The index of a kind of titles: a folder of files that are only ever added, brought together and removed. It holds nothing that the fingerprints
in the object store do not tell: who loses it makes it anew.

As in a log-structured merge tree new titles make small files, and files of like size are brought together, so that there are few.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from services.protection.fingerprints import shards
from services.protection.fingerprints.codes import RADIUS, Sense, to_ask, to_keep
from services.protection.fingerprints.fingerprint import Fingerprint
from services.protection.fingerprints.making import Prints
from services.protection.fingerprints.shards import Entries, Shard
from services.protection.fingerprints.voting import Candidate, candidates

LARGEST: Final = 90_000_000
"""Entries of the largest file: 25,000 hours of pictures, 3.6 GB."""
_LIKE_SIZE: Final = 4
_BLOCK: Final = 40
MOST_ASKED: Final = 2400
"""Codes by which one file is looked up: ten minutes of pictures. Of a longer one so many are taken, in blocks of ten seconds spread over it."""
MOST_ASKED_OF_FEW: Final = 12 * MOST_ASKED
"""The same where there is little to look through, as in what was taken down: two hours of pictures, one after the other."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a file may show a title, as it is or mirrored."""

    candidate: Candidate
    mirrored: bool


class Index:
    """Titles by what they look and sound like. Any number of processes may read it while one writes.

    Attributes:
        folder: where its files lie.
        largest: entries of the largest file that others are brought together into.
        most_asked: codes by which one file is looked up at most.
    """

    def __init__(self, folder: Path, *, largest: int = LARGEST, most_asked: int = MOST_ASKED) -> None:
        self.folder = folder
        self.largest = largest
        self.most_asked = most_asked
        self._open: dict[Path, Shard] = {}
        self._opening = threading.Lock()

    def files(self, sense: Sense) -> list[Shard]:
        """Its files of one sense as they are now, largest first. One whose titles are all in another is what a merge that died left, and not used."""
        with self._opening:
            there = set(self.folder.glob("*.idx")) if self.folder.is_dir() else set()
            for path in self._open.keys() - there:
                del self._open[path]
            for path in sorted(there - self._open.keys()):
                with contextlib.suppress(FileNotFoundError):  # brought together with another a moment ago
                    self._open[path] = Shard(path)
            ours = [shard for path, shard in self._open.items() if path.name.startswith(f"{sense}-")]
        kept: list[Shard] = []
        for shard in sorted(ours, key=lambda one: -len(one.titles)):
            if not any(shard.titles <= other.titles for other in kept):
                kept.append(shard)
        return sorted(kept, key=lambda one: -len(one))

    def titles(self) -> frozenset[int]:
        """Numbers of the titles that can be found."""
        by_sense = [frozenset().union(*(shard.titles for shard in self.files(sense))) for sense in Sense]
        return by_sense[0] & by_sense[1]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(shard.size for sense in Sense for shard in self.files(sense))

    def add(self, prints: Mapping[int, Fingerprint]) -> None:
        """Makes titles known, by their numbers. Those that are known already are known twice until their files are brought together."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for sense in Sense:
            sources = [Entries.of(number, to_keep(print_, sense)) for number, print_ in prints.items()]
            shards.write(self._new(sense), sources, list(prints))

    def tidy(self, wanted: AbstractSet[int]) -> None:
        """Brings files of like size together, and leaves out titles that are not wanted any more. Removes what died half-way."""
        for unfinished in self.folder.glob("*.part"):
            unfinished.unlink(missing_ok=True)
        for sense in Sense:
            used = {shard.path for shard in self.files(sense)}
            for left in set(self.folder.glob(f"{sense}-*.idx")) - used:
                left.unlink(missing_ok=True)
            while together := self._to_bring_together(sense, wanted):
                self._bring_together(sense, together, wanted)

    def _to_bring_together(self, sense: Sense, wanted: AbstractSet[int]) -> list[Shard]:
        files = self.files(sense)
        for shard in files:
            if len(shard.titles - wanted) * 2 > len(shard.titles):
                return [shard]
        for larger, smaller in pairwise(files):
            if len(smaller) * _LIKE_SIZE >= len(larger) and len(smaller) + len(larger) <= self.largest:
                return [larger, smaller]
        return []

    def _bring_together(self, sense: Sense, files: Sequence[Shard], wanted: AbstractSet[int]) -> None:
        titles = frozenset().union(*(shard.titles for shard in files))
        sources, known = [], frozenset[int]()
        for shard in files:
            # What an earlier one of them knows already is not taken twice.
            gone = (shard.titles - wanted) | (shard.titles & known)
            sources.append(Entries(shard.entries.words, shard.entries.titles, shard.entries.places, gone))
            known |= shard.titles
        if stay := sorted(titles & wanted):
            shards.write(self._new(sense), sources, stay)
        for shard in files:
            shard.path.unlink(missing_ok=True)

    def _new(self, sense: Sense) -> Path:
        return self.folder / f"{sense}-{time.time_ns()}-{secrets.token_hex(4)}.idx"

    @contextlib.contextmanager
    def writing(self) -> Iterator[bool]:
        """Whether this process is the one that may add and tidy, for the length of the block."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def sightings(self, prints: Prints) -> list[Sighting]:
        """Where a file may show or sound like which title, likeliest first. They are still to be compared."""
        found = [Sighting(one, mirrored=False) for one in self._sighted(prints.plain, Sense.PICTURE)]
        if prints.mirrored is not None:
            found += [Sighting(one, mirrored=True) for one in self._sighted(prints.mirrored, Sense.PICTURE)]
        found += [Sighting(one, mirrored=False) for one in self._sighted(prints.plain, Sense.SOUND)]
        return sorted(found, key=lambda one: -one.candidate.score)

    def _sighted(self, print_: Fingerprint, sense: Sense) -> list[Candidate]:
        asked = to_ask(print_, sense)
        if not len(asked):
            return []
        which = _spread(len(asked), self.most_asked)
        words, places = asked.words[which], asked.places[which]
        hits = [shard.near(words, RADIUS[sense]) for shard in self.files(sense)]
        return candidates(shards.Hits.joined(hits), places, RADIUS[sense])


def _spread(count: int, most: int) -> np.typing.NDArray[np.int64]:
    """Which of so many codes are looked up."""
    if count <= most:
        return np.arange(count)
    starts = np.linspace(0, count - _BLOCK, most // _BLOCK).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(_BLOCK)[None]).ravel())
