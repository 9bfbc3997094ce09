"""The last look at what is kept of a delivery: card numbers have no business here, whatever an adapter let through."""

from __future__ import annotations

import re
from typing import Final

_RUN: Final = re.compile(rb"(?<![0-9])[2-6](?:[ -]?[0-9]){12,18}(?![0-9])")
_MASK: Final = b"[card-like]"


def card_like(digits: str) -> bool:
    """Whether digits could be a card's number: 13 to 19 of them with the check digit of ISO/IEC 7812-1 (Luhn), and the first as cards have it."""
    if not (13 <= len(digits) <= 19 and digits.isascii() and digits.isdigit() and digits[0] in "23456"):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def without_cards(kept: bytes) -> bytes:
    """The same with everything masked that looks like a card's number, written with spaces or dashes or without."""

    def masked(found: re.Match[bytes]) -> bytes:
        digits = re.sub(rb"[ -]", b"", found[0]).decode()
        return _MASK if card_like(digits) else found[0]

    return _RUN.sub(masked, kept)
