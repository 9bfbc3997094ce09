"""Where in a title a copy lies: which moment its beginning shows, how fast it runs, whether it is mirrored. Pure arithmetic.

Every fifth of a second is a thumbnail, brought to zero mean and unit length, so that brightness and contrast count for nothing. A copy
lies where its thumbnails resemble those along a slanted line of the title; what does not resemble, such as a foreign title card, does
not count against it. Along that line it is followed from there: a player that was recorded from a screen stands still now and then, and jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Frames = NDArray[np.uint8]

RATE: Final = 5.0
"""Thumbnails a second."""
WIDTH, HEIGHT = 32, 18
"""Pixels of a thumbnail."""

SPEEDS: Final = (1.0, 25 / 24, 24 / 25, 1.001, 1 / 1.001)
"""Seconds of the title that a second of the copy shows: as it was, film as PAL and back, film as NTSC and back."""

_RESEMBLES: Final = 0.4
_MOST: Final = 600
_ENOUGH: Final = 0.25
_STRAY: Final = 300
"""Thumbnails by which a copy may be early or late anywhere: a minute."""
_UNLIKE: Final = 1e-3
"""Pictures that differ by less than this share count as the same."""
_STEP_COST: Final = 6.0
"""What another lag has to gain, in natural logarithms of how unlike all pictures after it are, for it to be believed."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a copy lies.

    Attributes:
        offset: moment of the title that the copy's first moment shows, seconds; negative when the title begins later.
        speed: seconds of the title in a second of the copy.
        mirrored: whether left and right are exchanged.
        likeness: mean correlation of the thumbnails that resemble the title's, times their share; 0 to 1.
        lags: by how many seconds of the title each of the copy's thumbnails is ahead of that steady line; none where it never is.
    """

    offset: float
    speed: float
    mirrored: bool
    likeness: float
    lags: Floats = field(default_factory=lambda: np.zeros(1))

    @property
    def found(self) -> bool:
        """Whether the copy shows the title at all."""
        return self.likeness >= _ENOUGH

    def moment(self, seconds: Floats) -> Floats:
        """Moments of the title that moments of the copy show."""
        place = np.clip(np.rint(seconds * RATE).astype(int), 0, len(self.lags) - 1)
        return np.asarray(self.offset + self.speed * seconds + self.lags[place], np.float64)


def aligned(copy: Frames, title: Frames) -> Alignment:
    """Finds where a copy lies by the thumbnails of both, `RATE` a second, each (number, HEIGHT, WIDTH)."""
    first = max(0, (len(copy) - _MOST) // 2)
    seen, known = copy[first : first + _MOST], _normalised(title)
    best = Alignment(0.0, 1.0, mirrored=False, likeness=0.0)
    for mirrored in (False, True):
        alike = _normalised(seen[:, :, ::-1] if mirrored else seen) @ known.T
        for speed in SPEEDS:
            place, likeness = _line(alike, speed)
            if likeness > best.likeness * 1.001:
                best = Alignment((place - speed * first) / RATE, speed, mirrored, likeness)
    if not best.found:
        return best
    pictures = _normalised(copy[:, :, ::-1] if best.mirrored else copy)
    start = np.rint(RATE * best.offset + best.speed * np.arange(len(copy))).astype(int)
    lags = followed(_beside(pictures, known, start)) - _STRAY
    return replace(best, lags=lags / RATE)


def followed(alike: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which lag each picture of a copy has: the likeliest way through, on which lags seldom change.

    Args:
        alike: correlation of each picture with that of the title at each lag, (pictures, lags).
    """
    gains = -np.log(1 - np.minimum(alike, 1) + _UNLIKE)
    total, came = gains[0], np.zeros(alike.shape, np.intp)
    same = np.arange(alike.shape[1])
    for number in range(1, len(alike)):
        best = int(np.argmax(total))
        jumps = total[best] - _STEP_COST > total
        came[number] = np.where(jumps, best, same)
        total = np.where(jumps, total[best] - _STEP_COST, total) + gains[number]
    way = np.zeros(len(alike), np.intp)
    way[-1] = int(np.argmax(total))
    for number in range(len(alike) - 1, 0, -1):
        way[number - 1] = came[number, way[number]]
    return way


def _beside(pictures: NDArray[np.float32], known: NDArray[np.float32], start: NDArray[np.intp]) -> NDArray[np.float32]:
    """How much each picture resembles those of the title up to `_STRAY` before and behind `start`, (pictures, 2 · _STRAY + 1)."""
    alike = np.zeros((len(pictures), 2 * _STRAY + 1), np.float32)
    for row, (picture, middle) in enumerate(zip(pictures, start, strict=True)):
        first, last = max(0, int(middle) - _STRAY), min(len(known), int(middle) + _STRAY + 1)
        if first < last:
            place = first - int(middle) + _STRAY
            alike[row, place : place + last - first] = known[first:last] @ picture
    return np.asarray(np.maximum(alike - _RESEMBLES, 0) / (1 - _RESEMBLES), np.float32)


def _normalised(frames: Frames) -> NDArray[np.float32]:
    """Each frame as a row of zero mean and unit length; one that shows nothing is all zeros."""
    flat = frames.reshape(len(frames), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.where(length > flat.shape[1] ** 0.5, flat / np.maximum(length, 1e-6), 0), np.float32)


def _line(alike: NDArray[np.float32], speed: float) -> tuple[int, float]:
    """The thumbnail of the title at which the best line begins, and its likeness."""
    copied, known = alike.shape
    likeness = np.maximum(alike - _RESEMBLES, 0) / (1 - _RESEMBLES)
    slant = np.rint(np.arange(copied) * speed).astype(int)
    total = np.zeros(known + 2 * int(slant[-1]) + 1)
    margin = int(slant[-1])
    for row, shift in enumerate(slant):
        total[margin - shift : margin - shift + known] += likeness[row]
    place = int(np.argmax(total))
    return place - margin, float(total[place] / copied)
