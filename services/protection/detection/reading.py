"""Reads which variant of a segment a copy shows, from the copy's mean picture and those of both variants. Pure arithmetic.

What the copy shows is explained by what both variants have in common, in any tone, a little shifted, a little sharper or softer, and by
their difference. The part of the difference is +1/2 for variant a and -1/2 for b; the rest is noise, which is weighed by where there is
much of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

_LEAST_COVER: Final = 0.2
_LEAST_SPREAD: Final = 0.05
_CLEAR: Final = 3.0
_NOISE_BLUR: Final = 4.0


@dataclass(frozen=True, slots=True)
class Segment:
    """Mean pictures of one segment, all over the same frames and in the same geometry.

    Attributes:
        copy: what the copy shows; NaN where it shows nothing.
        variant_a: of the title.
        variant_b: of the title.
        squared: mean of the squares of the variants' mean, and `cubed` of their cubes: tone works on frames, not on means.
    """

    copy: Floats
    variant_a: Floats
    variant_b: Floats
    squared: Floats
    cubed: Floats


@dataclass(frozen=True, slots=True)
class Bit:
    """What was read.

    Attributes:
        amplitude: positive for variant b, negative for a; 1 is as much as an untouched copy has, 0 tells nothing.
        clearness: the same in standard deviations of its noise.
    """

    amplitude: float
    clearness: float

    @property
    def evidence(self) -> float:
        """How much it counts in an accusation: what is hardly above its noise counts for little, and nothing more than a whole bit."""
        return float(np.clip(self.amplitude, -1, 1) * min(1.0, abs(self.clearness) / _CLEAR))


def read(segment: Segment) -> Bit:
    """Reads one segment."""
    common, difference = (segment.variant_a + segment.variant_b) / 2, segment.variant_b - segment.variant_a
    there = np.isfinite(segment.copy)
    if there.mean() < _LEAST_COVER or difference[there].std() < _LEAST_SPREAD:
        return Bit(0.0, 0.0)
    down, across = (np.asarray(np.gradient(common, axis=axis), np.float64) for axis in (0, 1))
    rows, columns = np.mgrid[-1 : 1 : common.shape[0] * 1j, -1 : 1 : common.shape[1] * 1j]
    softer = ndimage.gaussian_filter(common, 1.0) - common
    softest = ndimage.gaussian_filter(common, 2.5) - common
    middle = float(common[there].mean())
    second = segment.squared - 2 * middle * common + middle**2
    third = segment.cubed - 3 * middle * segment.squared + 3 * middle**2 * common - middle**3
    explained = [np.ones_like(common), common - middle, second, third]
    explained += [down, across, down * rows, down * columns, across * rows, across * columns, softer, softest]
    explained += [rows, columns, rows * columns, rows**2, columns**2]
    basis = np.stack([image[there] for image in explained], axis=1)
    basis /= np.sqrt(np.mean(basis**2, axis=0)) + 1e-9
    seen, wanted = segment.copy[there], difference[there]
    weights = np.ones_like(seen)
    share, error = _share(basis, seen, wanted, weights)
    weights = _weights(basis, seen, wanted, there)
    share, error = _share(basis, seen, wanted, weights)
    return Bit(2 * share, share / error)


def _weights(basis: Floats, seen: Floats, wanted: Floats, there: NDArray[np.bool_]) -> Floats:
    """Pixels with much noise about them count for less: one over its standard deviation, smoothed."""
    whole = np.column_stack([basis, wanted])
    rest = seen - whole @ _solved(whole, seen)
    noise, cover = np.zeros(there.shape), there.astype(np.float64)
    noise[there] = rest**2
    smooth = ndimage.gaussian_filter(noise, _NOISE_BLUR) / np.maximum(ndimage.gaussian_filter(cover, _NOISE_BLUR), 1e-3)
    return np.asarray(1 / np.sqrt(smooth[there] + 0.02 * float(np.mean(rest**2)) + 1e-4), np.float64)


def _share(basis: Floats, seen: Floats, wanted: Floats, weights: Floats) -> tuple[float, float]:
    """How much of the difference is in what was seen, by weighted least squares, and its standard error."""
    frame, aim, sight = basis * weights[:, None], wanted * weights, seen * weights
    difference = aim - frame @ _solved(frame, aim)
    rest = sight - frame @ _solved(frame, sight)
    length = float(difference @ difference) + 1e-9
    share = float(difference @ rest) / length
    noise = rest - share * difference
    # Neighbouring pixels err together; the blur of the scaling down makes about eight of them one.
    return share, float(np.sqrt(8 * (noise @ noise) / len(noise) / length)) + 1e-9


def _solved(basis: Floats, values: Floats) -> Floats:
    """Least squares by the normal equations, with a touch of ridge for pictures that show next to nothing."""
    normal = basis.T @ basis
    return np.asarray(np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(len(normal)), basis.T @ values))
