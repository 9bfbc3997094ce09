"""From single codes that agree to pieces that may: those that agree on where in a title a file's beginning would lie. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.protection.fingerprints.codes import Places
from services.protection.fingerprints.shards import Hits

Floats = NDArray[np.float64]

SPEEDS: Final = (1.0, 25 / 24, 24 / 25, 1.001, 1 / 1.001)
"""Seconds of a title in a second of a file: as it was, film as PAL and back, film as NTSC and back."""
_WIDE: Final = 2000
"""Milliseconds by which codes of one piece may disagree."""
_LEAST: Final = 2
"""Seconds of the file that must agree."""
_PLACES_OF_ONE: Final = 4
_MOST_HITS: Final = 500_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where a file may show a title.

    Attributes:
        title: its number.
        offset: milliseconds of the title at which the file's first moment would lie; may be negative.
        speed: one of `SPEEDS`.
        score: seconds of the file that say so, each weighted by how near it is.
    """

    title: int
    offset: float
    speed: float
    score: float


def candidates(hits: Hits, places: Places, radius: int) -> list[Candidate]:
    """What the hits speak for, best first; of each title a few places at most.

    Args:
        hits: what was found.
        places: of the codes that were asked for, milliseconds of the file.
        radius: by which they were asked for.
    """
    if not len(hits.asked):
        return []
    if len(hits.asked) > _MOST_HITS:  # a still picture that lasts for hours, or that many have
        nearest = np.argpartition(hits.distances, _MOST_HITS)[:_MOST_HITS]
        hits = Hits(hits.asked[nearest], hits.titles[nearest], hits.places[nearest], hits.distances[nearest])
    when = places[hits.asked]
    weights = 1 - hits.distances / (radius * 1.5)
    best = [_at_speed(hits, when, weights, speed) for speed in SPEEDS]
    titles = np.concatenate([one[0] for one in best])
    offsets, scores = (np.concatenate([one[part] for one in best]) for part in (1, 2))
    speeds = np.repeat(np.array(SPEEDS), [len(one[0]) for one in best])
    # A file that runs as its title does is the simplest of what explains it.
    order = np.argsort(-(scores + 1e-6 * (speeds == 1.0)), kind="stable")
    taken: dict[int, list[Candidate]] = {}
    for index in order:
        ours = taken.setdefault(int(titles[index]), [])
        one = Candidate(int(titles[index]), float(offsets[index]), float(speeds[index]), float(scores[index]))
        if len(ours) < _PLACES_OF_ONE and all(abs(one.offset - other.offset) > 2 * _WIDE for other in ours):
            ours.append(one)
    return sorted((one for ours in taken.values() for one in ours), key=lambda one: -one.score)


def _at_speed(hits: Hits, when: Places, weights: Floats, speed: float) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Titles, offsets and scores, by counting in bins that overlap by half."""
    half = _WIDE // 2
    once = np.asarray(hits.places - speed * when, np.float64)
    lower = np.floor(once / half).astype(np.int64)
    bins, offsets = np.concatenate([lower, lower - 1]), np.tile(once, 2)
    titles, seconds, votes = np.tile(hits.titles, 2), np.tile(when // 1000, 2), np.tile(weights, 2)
    # Each second of the file has one vote for each bin: its best.
    order = np.lexsort((-votes, seconds, bins, titles))
    titles, bins, seconds, votes, offsets = titles[order], bins[order], seconds[order], votes[order], offsets[order]
    new_bin = np.append(True, (np.diff(titles) != 0) | (np.diff(bins) != 0))
    new_vote = new_bin | np.append(True, np.diff(seconds) != 0)
    which = np.cumsum(new_bin)[new_vote] - 1
    scores = np.asarray(np.bincount(which, votes[new_vote]), np.float64)
    sums = np.asarray(np.bincount(which, votes[new_vote] * offsets[new_vote]), np.float64)
    enough = np.bincount(which) >= _LEAST
    return titles[new_bin][enough], (sums / np.maximum(scores, 1e-9))[enough], scores[enough]
