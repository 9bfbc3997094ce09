"""Accuses holders of codewords by what was read in a copy, and bounds the chance that anybody innocent is accused.

The score is the symmetric one of Škorić, Katzenbeisser and Celik ("Symmetric Tardos fingerprinting codes for arbitrary alphabet
sizes", 2008), weighted by how clearly each position could be read. The bits of an innocent are independent of everything that
a pirate could do, because they follow from a secret that no pirate has; so the bound needs no assumption about the attack, nor about
how good the reading is. Only finding those who are guilty depends on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.kit.codewords import PERIOD, Code

Floats = NDArray[np.float64]

FALSE_POSITIVES: Final = 1e-6
"""How likely it may be at most that anybody innocent is accused by one detection."""

_BATCH: Final = 20_000
_SMALLEST_CHANCE: Final = 1e-300
_POWERS: Final = np.geomspace(0.1, 100, 150)


@dataclass(frozen=True, slots=True)
class Accused:
    """Somebody whose copy is in it.

    Attributes:
        holder: whose codeword it is.
        score: in standard deviations of an innocent's.
        false_positive: no more than this is the chance that any of the candidates, were they all innocent, comes to such a score.
    """

    holder: str
    score: float
    false_positive: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a reading.

    Attributes:
        accused: most certain first; empty when there is not enough evidence against anybody.
        threshold: score from which somebody is accused, in standard deviations of an innocent's.
        attainable: score of somebody whose every bit agrees with the reading. Below the threshold the copy is too short or was read too
            badly to accuse anybody whomsoever.
        scores: of all candidates, in their order.
    """

    accused: tuple[Accused, ...]
    threshold: float
    attainable: float
    scores: Floats

    @property
    def enough(self) -> bool:
        """Whether the copy could tell anything about anybody."""
        return self.attainable >= self.threshold


def folded(positions: NDArray[np.intp], amplitudes: Floats) -> Floats:
    """Evidence by position of the code, `PERIOD` of them: what was read of a position more than once is added up.

    Args:
        positions: number of each segment that was read, from 0.
        amplitudes: how clearly variant b was read in each (positive), or variant a (negative). 0 tells nothing.
    """
    evidence = np.zeros(PERIOD)
    np.add.at(evidence, positions % PERIOD, amplitudes)
    return evidence


def accuse(
    code: Code, evidence: Floats, candidates: Sequence[str], *, false_positives: float = FALSE_POSITIVES, tries: int = 1
) -> Verdict:
    """Accuses.

    Args:
        code: of the title.
        evidence: as `folded` gives it.
        candidates: who may have leaked it, such as all sessions that played it.
        false_positives: as `FALSE_POSITIVES`.
        tries: how many titles or alignments were tried for this copy: each is one more chance to be wrong.
    """
    read = np.flatnonzero(evidence)
    chances = np.frombuffer(code.chances, np.uint8)[read] / 256
    ones, zeros = np.sqrt((1 - chances) / chances), np.sqrt(chances / (1 - chances))
    weights = evidence[read]
    spread = float(np.sqrt(np.sum(weights**2)))
    if not candidates or spread == 0:
        return Verdict((), np.inf, 0.0, np.zeros(len(candidates)))
    weights = weights / spread
    bound = _Bound(weights, chances, ones, zeros, float(tries * len(candidates)))
    threshold = bound.threshold(false_positives)
    scores = np.concatenate(
        [
            _scores(code, candidates[start : start + _BATCH], read, weights * (ones + zeros), float(weights @ zeros))
            for start in range(0, len(candidates), _BATCH)
        ]
    )
    attainable = float(np.sum(np.where(weights > 0, weights * ones, -weights * zeros)))
    order = [int(index) for index in np.argsort(-scores) if scores[index] >= threshold]
    accused = tuple(Accused(candidates[i], float(scores[i]), bound(float(scores[i]))) for i in order)
    return Verdict(accused, threshold, attainable, scores)


def _scores(code: Code, holders: Sequence[str], read: NDArray[np.intp], gains: Floats, loss: float) -> Floats:
    """Scores of some candidates: `Σ w·(√((1-p)/p) for a 1, -√(p/(1-p)) for a 0)`, as `Σ gain over the 1s - loss`."""
    positions = int(read[-1]) + 1
    drawn = np.frombuffer(b"".join(code.drawn(holder, positions) for holder in holders), np.uint8)
    chances = np.frombuffer(code.chances, np.uint8)[read]
    bits = drawn.reshape(len(holders), positions)[:, read] < chances
    return np.asarray(bits @ gains - loss, np.float64)


class _Bound:
    """Chernoff's bound on the chance that any of the candidates, were they all innocent, reaches a score:
    `candidates · min over λ of exp(Σ log E exp(λ w u) - λ score)`. The least over some λ is a bound as well."""

    def __init__(self, weights: Floats, chances: Floats, ones: Floats, zeros: Floats, candidates: float) -> None:
        up = np.log(chances) + np.outer(_POWERS, weights * ones)
        down = np.log(1 - chances) - np.outer(_POWERS, weights * zeros)
        self._logarithms = np.logaddexp(up, down).sum(axis=1) + np.log(candidates)

    def __call__(self, score: float) -> float:
        """The bound."""
        least = float(np.min(self._logarithms - _POWERS * score))
        return min(1.0, max(_SMALLEST_CHANCE, float(np.exp(min(0.0, least)))))

    def threshold(self, false_positives: float) -> float:
        """The score from which it is no more than `false_positives`."""
        return float(np.min((self._logarithms - np.log(false_positives)) / _POWERS))
