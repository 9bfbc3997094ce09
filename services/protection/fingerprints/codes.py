"""What fingerprints are looked up by: codes of 256 bits, one for each second of a title, a few for each second of a file. Pure.

A picture's code is every third digit of its signature as two bits; a sound's is eight of Chromaprint's values in a row, a second. Codes of
copies differ by 45 bits at most after ordinary attacks; of different pictures one in a million comes that near.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from services.protection.fingerprints.fingerprint import RATE, SOUND_RATE, Fingerprint, Words

Places = NDArray[np.int64]
Digits = NDArray[np.uint8]

BITS: Final = 256
_DIGITS: Final = np.append(np.arange(0, 380, 3), 379)
"""The 128 digits that are looked at; of all kinds that the signature has, fine and coarse."""
_SOUND_VALUES: Final = BITS // 32
_SOUND_EVERY: Final = 16
_PICTURE_EVERY: Final = RATE
_LEAST_DIFFERENT: Final = 3
"""Values that must differ in a second of sound: silence and steady tones are alike everywhere."""


class Sense(StrEnum):
    """What something is known by."""

    PICTURE = "picture"
    SOUND = "sound"


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Codes of one film.

    Attributes:
        words: (number, 4).
        places: milliseconds from its beginning.
    """

    words: Words
    places: Places

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def of_digits(cls, digits: Digits, places: Places | None = None) -> Codes:
        """Those of pictures, by the digits that are looked at: (number, 128)."""
        bits = np.concatenate([digits >= 1, digits >= 2], axis=1)
        words = np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)
        return cls(words, np.zeros(len(words), np.int64) if places is None else places)


RADIUS: Final = {Sense.PICTURE: 48, Sense.SOUND: 72}
"""Bits by which codes may differ to be taken for the same. It is the passage that tells, not a single one."""


def to_keep(print_: Fingerprint, sense: Sense) -> Codes:
    """What a title is found by: a picture of each second, or a second of sound of every two."""
    if sense is Sense.SOUND:
        return _sounds(print_, _SOUND_EVERY)
    return _pictures(print_, _PICTURE_EVERY)


def to_ask(print_: Fingerprint, sense: Sense) -> Codes:
    """What a file is looked up by: all of its pictures, or a second of sound from each of an eighth of one on."""
    if sense is Sense.SOUND:
        return _sounds(print_, 1)
    return _pictures(print_, 1)


def digits_of(print_: Fingerprint) -> Digits:
    """The digits of each picture that are looked at."""
    return print_.digits()[:, _DIGITS]


def _pictures(print_: Fingerprint, every: int) -> Codes:
    which = np.flatnonzero(print_.telling[::every]) * every
    return Codes.of_digits(digits_of(print_)[which], which * 1000 // RATE)


def _sounds(print_: Fingerprint, every: int) -> Codes:
    if len(print_.sound) < _SOUND_VALUES:
        return Codes(np.zeros((0, BITS // 64), np.uint64), np.zeros(0, np.int64))
    windows = sliding_window_view(print_.sound, _SOUND_VALUES)[::every]
    different = (np.diff(windows, axis=1) != 0).sum(axis=1) + 1
    which = np.flatnonzero(different >= _LEAST_DIFFERENT)
    words = np.ascontiguousarray(windows[which]).view(np.uint64)
    return Codes(words, np.rint(which * every * 1000 / SOUND_RATE).astype(np.int64))
