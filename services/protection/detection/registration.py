"""How a copy's picture lies over the title's: cut, scaled, shifted, a little turned. Pure arithmetic.

An affine map, found on a few pairs of frames at once by Gauss and Newton from coarse to fine (Lucas and Kanade, "An iterative image
registration technique", 1981), beginning at several guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

_LEVELS: Final = (4, 2, 1)
"""How much smaller pictures are at each level, from coarse to fine."""
_STEPS: Final = 12
_ZOOMS: Final = (1.0, 0.94, 0.88, 0.8)
_LEAST_COVER: Final = 0.3


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in a copy's frame each point of the title's lies: `matrix · (row, column) + shift`, in pixels of frames of one size.

    Attributes:
        likeness: correlation of the frames laid over each other, -1 to 1.
    """

    matrix: Floats
    shift: Floats
    likeness: float

    def over(self, frame: Floats) -> Floats:
        """A copy's frame as seen in the title's geometry; NaN where the copy shows nothing."""
        return np.asarray(
            ndimage.affine_transform(frame, self.matrix, self.shift, order=1, mode="constant", cval=np.nan), np.float64
        )


def placed(copies: Floats, titles: Floats) -> Placement:
    """Finds the placement by pairs of frames, each (pairs, rows, columns)."""
    coarse = _LEVELS[0]
    seen, known = _smaller(copies, coarse), _smaller(titles, coarse)
    centre = (np.array(known.shape[1:]) - 1) / 2
    best = Placement(np.eye(2), np.zeros(2), -1.0)
    for zoom in _ZOOMS:
        # A copy that shows the inner part only: what the title has at the edge lies beyond the copy's.
        matrix = np.eye(2) / zoom
        found = _refined(seen, known, Placement(matrix, centre - matrix @ centre, -1.0))
        if found.likeness > best.likeness + 0.002:
            best = found
    for before, level in pairwise(_LEVELS):
        seen, known = _smaller(copies, level), _smaller(titles, level)
        found = _refined(seen, known, _larger(best, before / level))
        best = found if found.likeness > -1 else _larger(best, before / level)
    return best


def _smaller(frames: Floats, level: int) -> Floats:
    """Frames so many times smaller, by means; at the finest level a little blurred."""
    if level == 1:
        return np.asarray(ndimage.gaussian_filter(frames, (0, 0.7, 0.7)), np.float64)
    rows, columns = frames.shape[1] // level * level, frames.shape[2] // level * level
    parts = frames[:, :rows, :columns].reshape(len(frames), rows // level, level, columns // level, level)
    return np.asarray(ndimage.gaussian_filter(parts.mean(axis=(2, 4)), (0, 0.8, 0.8)), np.float64)


def _larger(placement: Placement, times: float) -> Placement:
    """The same placement of frames so many times larger: the middle of a pixel at (r, c) is at times · (r + 1/2) - 1/2."""
    half = np.full(2, (times - 1) / 2)
    shift = times * placement.shift + half - placement.matrix @ half
    return Placement(placement.matrix, shift, placement.likeness)


def _refined(copies: Floats, titles: Floats, start: Placement) -> Placement:
    matrix, shift = start.matrix.copy(), start.shift.copy()
    for _ in range(_STEPS):
        step = _step(copies, titles, Placement(matrix, shift, -1.0))
        if step is None:
            return Placement(start.matrix, start.shift, -1.0)
        turn = step[:4].reshape(2, 2)
        matrix, shift = matrix + turn, shift + step[4:]
        if np.abs(step[4:]).max() < 0.01 and np.abs(turn).max() < 1e-4:
            break
    return Placement(matrix, shift, _likeness(copies, titles, Placement(matrix, shift, -1.0)))


def _step(copies: Floats, titles: Floats, now: Placement) -> Floats | None:
    """One step of Gauss and Newton: what to add to the matrix (four) and to the shift (two). None where the copy left the frame."""
    rows, columns = titles.shape[1:]
    down, across = np.mgrid[0:rows, 0:columns].astype(np.float64)
    normal, right = np.zeros((6, 6)), np.zeros(6)
    for copy, title in zip(copies, titles, strict=True):
        seen = now.over(copy)
        there = np.isfinite(seen)
        if there.mean() < _LEAST_COVER:
            return None
        slope_down, slope_across = np.gradient(copy)
        spread = float(seen[there].std()) + 1e-6
        vertical, horizontal = (now.over(slope)[there] / spread for slope in (slope_down, slope_across))
        error = _standard(title[there]) - _standard(seen[there])
        y, x = down[there], across[there]
        jacobian = np.stack([vertical * y, vertical * x, horizontal * y, horizontal * x, vertical, horizontal])
        jacobian = np.nan_to_num(jacobian - jacobian.mean(axis=1, keepdims=True))
        normal += jacobian @ jacobian.T
        right += jacobian @ error
    scale = np.sqrt(np.diag(normal)) + 1e-9
    solved = np.linalg.lstsq(normal / np.outer(scale, scale) + 1e-6 * np.eye(6), right / scale, rcond=None)[0]
    return np.asarray(solved / scale, np.float64)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / (values.std() + 1e-6), np.float64)


def _likeness(copies: Floats, titles: Floats, placement: Placement) -> float:
    total = []
    for copy, title in zip(copies, titles, strict=True):
        seen = placement.over(copy)
        there = np.isfinite(seen)
        if there.mean() < _LEAST_COVER:
            return -1.0
        total.append(float(np.mean(_standard(title[there]) * _standard(seen[there]))))
    return float(np.mean(total))
