"""Transactions of EVM chains, as a verifier needs them: Keccak-256, RLP, and EIP-1559's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tools.audit_verifier.note import Bad

_LANES: Final = 25
_RATE: Final = 136
_MASK: Final = 2**64 - 1
_ROTATIONS: Final = (0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14)


def _constants() -> tuple[int, ...]:
    """The constants of the 24 rounds, made by the shift register of FIPS 202 section 3.2.5."""
    found, register = list[int](), 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        found.append(constant)
    return tuple(found)


_CONSTANTS: Final = _constants()


def _left(lane: int, count: int) -> int:
    return (lane << count | lane >> (64 - count)) & _MASK


def _permuted(state: list[int]) -> list[int]:
    for constant in _CONSTANTS:
        columns = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        mixed = [columns[x - 1] ^ _left(columns[(x + 1) % 5], 1) for x in range(5)]
        state = [lane ^ mixed[at % 5] for at, lane in enumerate(state)]
        moved = [0] * _LANES
        for at, lane in enumerate(state):
            x, y = at % 5, at // 5
            moved[y + 5 * ((2 * x + 3 * y) % 5)] = _left(lane, _ROTATIONS[at])
        state = [
            moved[at] ^ (~moved[at - at % 5 + (at + 1) % 5] & moved[at - at % 5 + (at + 2) % 5]) for at in range(_LANES)
        ]
        state[0] ^= constant
    return state


def keccak(message: bytes) -> bytes:
    """Keccak-256 as Ethereum has it: with the padding from before FIPS 202, so that it is not SHA3-256."""
    padded = bytearray(message) + b"\x01" + bytes(-(len(message) + 1) % _RATE)
    padded[-1] |= 0x80
    state = [0] * _LANES
    for start in range(0, len(padded), _RATE):
        for at in range(_RATE // 8):
            state[at] ^= int.from_bytes(padded[start + 8 * at : start + 8 * at + 8], "little")
        state = _permuted(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transaction of EIP-1559 holds of what matters here."""

    chain_id: int
    data: bytes

    @classmethod
    def read(cls, raw: bytes) -> Transaction:
        """Reads a signed transaction.

        Raises:
            Bad: it is none of this form.
        """
        if raw[:1] != b"\x02":
            raise Bad("it is no transaction by EIP-1559")
        start, end = _span(raw, 1, 0xC0)
        if end != len(raw):
            raise Bad("its transaction is not of one piece")
        items = list[bytes]()
        while start < end:
            if raw[start] >= 0xC0:  # the list of addresses that it reads, empty in ours
                _, start = _span(raw, start, 0xC0)
                items.append(b"")
                continue
            if raw[start] < 0x80:
                items.append(raw[start : start + 1])
                start += 1
                continue
            first, start = _span(raw, start, 0x80)
            items.append(raw[first:start])
        if len(items) != 12 or start != end:
            raise Bad("its transaction has not the twelve parts of one by EIP-1559")
        return cls(int.from_bytes(items[0]), items[7])


def _span(raw: bytes, at: int, base: int) -> tuple[int, int]:
    """Where the content of an item of RLP begins and ends; `base` is 0x80 for strings, 0xC0 for lists."""
    if not base <= (raw[at] if at < len(raw) else 0) < base + 0x40:
        raise Bad("its transaction is no RLP")
    length, first = raw[at] - base, at + 1
    if length > 55:
        first = at + 1 + (length - 55)
        length = int.from_bytes(raw[at + 1 : first])
    if first + length > len(raw):
        raise Bad("its transaction ends too early")
    return first, first + length
