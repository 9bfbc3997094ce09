"""Timestamps of OpenTimestamps (`.ots` files) and headers of Bitcoin's blocks, as a verifier needs them (https://opentimestamps.org, python-opentimestamps).

A timestamp is a tree of operations on a digest. Each of its ends says who attests to what the operations made of it: a calendar, which is no more than a
promise, or a block of Bitcoin, whose Merkle root it must be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tools.audit_verifier.ethereum import keccak
from tools.audit_verifier.note import Bad

_MAGIC: Final = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94\x01"
"""How a file begins; the last byte is the version."""
_BITCOIN: Final = bytes.fromhex("0588960d73d71901")
_PENDING: Final = bytes.fromhex("83dfe30d2ef90c8e")
_DEEPEST: Final = 256
_LONGEST: Final = 4096
_HEADER_BYTES: Final = 80


def _ripemd160(message: bytes) -> bytes:
    try:
        return hashlib.new("ripemd160", message, usedforsecurity=False).digest()
    except ValueError as error:
        raise Bad("it needs RIPEMD-160, which this machine's OpenSSL does not have") from error


_PLAIN: Final[dict[int, Callable[[bytes], bytes]]] = {
    0x02: lambda message: hashlib.sha1(message, usedforsecurity=False).digest(),
    0x03: _ripemd160,
    0x08: lambda message: hashlib.sha256(message).digest(),
    0x67: keccak,
    0xF2: lambda message: message[::-1],
    0xF3: lambda message: message.hex().encode(),
}
_APPEND, _PREPEND = 0xF0, 0xF1


@dataclass(slots=True)
class Timestamp:
    """What a file says.

    Attributes:
        digest: SHA-256 of what was stamped.
        bitcoin: the blocks that it names: number, and the Merkle root that the block must have.
        calendars: where it is promised.
    """

    digest: bytes
    bitcoin: list[tuple[int, bytes]] = field(default_factory=list)
    calendars: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._left = content

    def take(self, count: int) -> bytes:
        if len(self._left) < count:
            raise Bad("the timestamp ends too early")
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def number(self) -> int:
        """Little-endian, seven bits a byte."""
        found = shift = 0
        while True:
            (byte,) = self.take(1)
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found
            if shift > 63:
                raise Bad("a number in the timestamp is too large")

    def text(self, longest: int) -> bytes:
        if (length := self.number()) > longest:
            raise Bad("a part of the timestamp is too long")
        return self.take(length)

    def end(self) -> None:
        if self._left:
            raise Bad("there is something behind the timestamp's end")


def read(content: bytes) -> Timestamp:
    """Reads a file.

    Raises:
        Bad: it is none of a SHA-256.
    """
    source = _Reader(content)
    if source.take(len(_MAGIC)) != _MAGIC or source.take(1) != b"\x08":
        raise Bad("it is no timestamp of a SHA-256 (`.ots`, version 1)")
    found = Timestamp(source.take(32))
    _node(source, found, found.digest, 0)
    source.end()
    return found


def _node(source: _Reader, found: Timestamp, message: bytes, depth: int) -> None:
    if depth > _DEEPEST:
        raise Bad("the timestamp is too deep")
    while True:
        (tag,) = source.take(1)
        last = tag != 0xFF
        if not last:
            (tag,) = source.take(1)
        if tag == 0:
            _attestation(source, found, message)
        else:
            _node(source, found, _made(source, tag, message), depth + 1)
        if last:
            return


def _made(source: _Reader, tag: int, message: bytes) -> bytes:
    if tag in (_APPEND, _PREPEND):
        other = source.text(_LONGEST)
        made = message + other if tag == _APPEND else other + message
    elif tag in _PLAIN:
        made = _PLAIN[tag](message)
    else:
        raise Bad(f"the timestamp has an operation {tag:#04x} that is not known here")
    if len(made) > _LONGEST:
        raise Bad("the timestamp makes a message that is too long")
    return made


def _attestation(source: _Reader, found: Timestamp, message: bytes) -> None:
    kind, inner = source.take(8), _Reader(source.text(8192))
    if kind == _BITCOIN:
        found.bitcoin.append((inner.number(), message))
        inner.end()
    elif kind == _PENDING:
        found.calendars.append(inner.text(1000).decode(errors="replace"))
        inner.end()


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a block of Bitcoin.

    Attributes:
        root: Merkle root of its transactions, 32 bytes, in the order in which it stands there.
        time: which its miner gave it; right to within two hours.
        block_hash: its hash as people write it, to be compared with that of a block of this number.
    """

    root: bytes
    time: datetime
    block_hash: str

    @classmethod
    def read(cls, text: str) -> Header:
        """Reads 80 bytes in hexadecimal.

        Raises:
            Bad: they are none, or nobody worked for them.
        """
        try:
            content = bytes.fromhex(text.strip())
        except ValueError as error:
            raise Bad(f"{text[:40]!r} is no block header in hexadecimal") from error
        if len(content) != _HEADER_BYTES:
            raise Bad(f"a block header has {_HEADER_BYTES} bytes, not {len(content)}")
        hashed = hashlib.sha256(hashlib.sha256(content).digest()).digest()
        bits = int.from_bytes(content[72:76], "little")
        target = (bits & 0x7FFFFF) << 8 * max(0, (bits >> 24) - 3)
        if int.from_bytes(hashed, "little") > target:
            raise Bad(f"the block header {hashed[::-1].hex()} has not the work that it claims: it was made up")
        time = datetime.fromtimestamp(int.from_bytes(content[68:72], "little"), UTC)
        return cls(content[36:68], time, hashed[::-1].hex())
