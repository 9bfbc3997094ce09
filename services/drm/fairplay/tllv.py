"""TLLV: an 8-byte tag, the length of the block, the length of the value in it, the value, and random padding; all numbers big-endian."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass, field
from typing import Final

from services.drm.fairplay.status import Malformed

_HEADER: Final = struct.Struct(">QII")
_BLOCK_BYTES: Final = 16
_MOST_TLLVS: Final = 256


@dataclass(frozen=True, slots=True)
class Tllv:
    """One TLLV.

    Attributes:
        tag: 64 bits.
        value: without its padding. It may be secret, so it is not printed.
    """

    tag: int
    value: bytes = field(repr=False)

    def encoded(self) -> bytes:
        """The TLLV with random padding up to a multiple of 16 bytes."""
        padding = secrets.token_bytes(-len(self.value) % _BLOCK_BYTES)
        return _HEADER.pack(self.tag, len(self.value) + len(padding), len(self.value)) + self.value + padding


def read_all(payload: bytes) -> list[Tllv]:
    """The TLLVs that a payload consists of, in its order. Known or not, they must fill it to the last byte.

    Raises:
        Malformed: a length points beyond its surroundings or is no multiple of 16, or there are more than 256 of them.
    """
    found: list[Tllv] = []
    at = 0
    while at < len(payload):
        if len(found) == _MOST_TLLVS:
            raise Malformed(f"there are more than {_MOST_TLLVS} TLLVs")
        if len(payload) - at < _HEADER.size:
            raise Malformed(f"{len(payload) - at} bytes after the last TLLV are too few for another")
        tag, block, length = _HEADER.unpack_from(payload, at)
        at += _HEADER.size
        if block % _BLOCK_BYTES or block > len(payload) - at:
            raise Malformed(f"the block of TLLV {tag:016x} has {block} bytes, which do not fit")
        if length > block:
            raise Malformed(f"the value of TLLV {tag:016x} has {length} bytes in a block of {block}")
        found.append(Tllv(tag, payload[at : at + length]))
        at += block
    return found
