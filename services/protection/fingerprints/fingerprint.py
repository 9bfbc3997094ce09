"""What a film is known again by: four pictures a second as MPEG-7 video signatures (ISO/IEC 15938-3 amendment 4), and its sound as Chromaprint. Pure.

A picture's signature is 380 digits of 0, 1 or 2: which of two regions is lighter, or neither. Two pictures differ by the sum of what their
digits differ by. Copies of one picture differ by 120 at most after ordinary attacks, pictures of different films by 200 at least.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]

RATE: Final = 4
"""Pictures a second."""
SOUND_RATE: Final = 11025 / 1365
"""Chromaprint's values a second: a third of a window of 4,096 samples apart."""
LEAST_CONFIDENCE: Final = 8
"""Pictures below this, of 255, are flat: black ones, fades, plain colours. They are alike in all films, so nothing is known by them."""

_DIGITS: Final = 380
_PACKED: Final = _DIGITS // 5
_MAGIC: Final = b"RMFP\x01"
_HEAD: Final = struct.Struct("<II")
_FIVE: Final = np.array([[value // 3**place % 3 for place in (4, 3, 2, 1, 0)] for value in range(256)], np.uint8)
"""Five digits of each byte, most significant first."""


class Unreadable(ValueError):
    """Bytes are no fingerprint, or none of a version that is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """A film, or a piece of one.

    Attributes:
        pictures: (number, 76), five digits in each byte; the first is of the film's beginning, the others `1 / RATE` seconds apart.
        confidences: of each picture, how much there is to know it by.
        sound: Chromaprint's values, `SOUND_RATE` a second; empty where there is no sound.
    """

    pictures: Bytes
    confidences: Bytes
    sound: NDArray[np.uint32]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(len(self.pictures) / RATE, len(self.sound) / SOUND_RATE)

    @property
    def telling(self) -> NDArray[np.bool_]:
        """Pictures that something can be known by."""
        return self.confidences >= LEAST_CONFIDENCE

    def digits(self, first: int = 0, end: int | None = None) -> Bytes:
        """Those of all pictures, or of some in a row: (number, 380), each 0, 1 or 2."""
        pictures = self.pictures[first:end]
        return np.asarray(_FIVE[pictures].reshape(len(pictures), _DIGITS), np.uint8)

    def to_bytes(self) -> bytes:
        """As it is kept: about 1 MB for an hour."""
        head = _MAGIC + _HEAD.pack(len(self.pictures), len(self.sound))
        body = self.pictures.tobytes() + self.confidences.tobytes() + self.sound.astype("<u4").tobytes()
        return head + zlib.compress(body, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Fingerprint:
        """What `to_bytes` made.

        Raises:
            Unreadable: it did not.
        """
        if not data.startswith(_MAGIC):
            raise Unreadable("no fingerprint, or one of another version")
        try:
            pictures, sounds = _HEAD.unpack_from(data, len(_MAGIC))
            body = np.frombuffer(zlib.decompress(data[len(_MAGIC) + _HEAD.size :]), np.uint8)
        except (struct.error, zlib.error) as error:
            raise Unreadable("a fingerprint that is cut off") from error
        split = pictures * _PACKED
        if len(body) != split + pictures + sounds * 4:
            raise Unreadable("a fingerprint that is cut off")
        sound = body[split + pictures :].view("<u4").astype(np.uint32)
        return cls(body[:split].reshape(pictures, _PACKED), body[split : split + pictures], sound)


def thermometers(digits: Bytes) -> Words:
    """Digits as bits of which as many differ as the digits do, in words of 64: (number, 12) of (number, 380)."""
    bits = np.concatenate([digits >= 1, digits >= 2, np.zeros((len(digits), 8), bool)], axis=1)
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)


def parsed(signature: bytes) -> tuple[Bytes, Bytes]:
    """Pictures and confidences of a signature in MPEG-7's binary form, as ffmpeg's `signature` filter writes it.

    Raises:
        Unreadable: it is something else.
    """
    bits = np.unpackbits(np.frombuffer(signature, np.uint8))
    # Regions, a flag, the region's corners, its first frame; then how many frames.
    place = 32 + 1 + 32 + 32 + 32
    frames = _number(bits, place)
    place += 32 + 16 + 1 + 32 + 32
    segments = _number(bits, place)
    place += 32 + segments * (32 + 32 + 1 + 32 + 32 + 5 * 243) + 1
    width = 1 + 32 + 8 + 5 * 8 + _PACKED * 8
    if len(bits) < place + frames * width:
        raise Unreadable("a video signature that is cut off")
    rows = bits[place : place + frames * width].reshape(frames, width)
    return np.packbits(rows[:, 81:], axis=1), np.packbits(rows[:, 33:41], axis=1)[:, 0]


def _number(bits: Bits, place: int) -> int:
    if len(bits) < place + 32:
        raise Unreadable("a video signature that is cut off")
    return int.from_bytes(np.packbits(bits[place : place + 32]).tobytes(), "big")
