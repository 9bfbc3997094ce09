"""Codewords: which of two variants of each segment somebody gets, so that a copy of what they got says who they are.

A binary fingerprinting code after Tardos ("Optimal probabilistic fingerprint codes", 2003) with the discrete biases of Nuida et al.
("An improvement of discrete Tardos fingerprinting codes", 2009), which are the best for a given number of people who mix their copies.
Bits are not kept anywhere: they follow from a secret, from what is marked, and from whose copy it is, so that whoever does not
have the secret can tell nothing about any bit that was not shown to them.

A bit's position is the number of the segment, from 0, modulo `PERIOD`. A codeword travels as text, six positions in each character.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import operator
from dataclasses import dataclass
from typing import Final

KEY_FILE: Final = "watermark_key"
"""The install's secret, 32 bytes, in the folder of secrets. Without it nobody's copy can be recognised any more."""

PERIOD: Final = 1020
"""Positions after which a codeword begins anew: half an hour of segments of two seconds, and a whole number of characters of six bits."""

POSITIONS_PER_CHARACTER: Final = 6
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_LEVELS: Final = {2: (128,), 3: (54, 202)}
"""Colluders → chances of a 1, in 256ths, each as likely: 1/2 for two; 1/2 ± 1/√12 for three and four."""

WEAKEST: Final = 2
"""Colluders that a code is made for unless another is asked for."""


def title_key(root: bytes, title: str, purpose: str) -> bytes:
    """The key of one title for one purpose, 32 bytes.

    Args:
        root: what `KEY_FILE` holds.
        title: id of what is marked, such as an asset's.
        purpose: `code`, `pattern` and so on; keys for different purposes tell nothing of each other.
    """
    if len(root) != hashlib.sha256().digest_size:
        raise ValueError(f"{KEY_FILE} must hold 32 bytes, not {len(root)}")
    return hmac.digest(root, f"reelmesh watermark 1 {purpose} {title}".encode(), "sha256")


@dataclass(frozen=True, slots=True)
class Code:
    """The code of one title.

    Attributes:
        chances: of a 1 at each position, in 256ths; as secret as the key.
    """

    _key: bytes
    chances: bytes

    @classmethod
    def of(cls, root: bytes, title: str, colluders: int = WEAKEST) -> Code:
        """The code of a title that withstands so many people who mix their copies.

        Args:
            root: what `KEY_FILE` holds.
            title: id of what is marked.
            colluders: 2 or 3. With 3 one who leaks alone is found after twice as long a piece.
        """
        levels = _LEVELS[colluders]
        drawn = hashlib.shake_256(title_key(root, title, f"bias {colluders}")).digest(PERIOD)
        return cls(
            title_key(root, title, f"code {colluders}"), bytes(levels[byte * len(levels) >> 8] for byte in drawn)
        )

    def __repr__(self) -> str:
        """Says nothing of the key."""
        return f"Code(positions={len(self.chances)})"

    def drawn(self, holder: str, positions: int = PERIOD) -> bytes:
        """One random byte for each position of a holder's codeword. The bit is 1 where it is below the chance."""
        return hashlib.shake_256(self._key + holder.encode()).digest(positions)

    def codeword(self, holder: str, segments: int) -> str:
        """A holder's codeword as text, as long as so many segments need, `PERIOD` positions at most.

        Six positions in each character of the base64url alphabet (RFC 4648 §5), the first in its highest bit.
        """
        positions = min(PERIOD, -(-segments // POSITIONS_PER_CHARACTER) * POSITIONS_PER_CHARACTER)
        bits = 0
        for bit in map(operator.lt, self.drawn(holder, positions), self.chances):
            bits = bits << 1 | bit
        padding = -positions % 24
        text = base64.urlsafe_b64encode((bits << padding).to_bytes((positions + padding) // 8, "big")).decode()
        return text[: positions // POSITIONS_PER_CHARACTER]


def bit_of(codeword: str, segment: int) -> int:
    """What a codeword says for a segment, counted from 1, as players count them.

    `services/policy/admission.lua` reads codewords in the same way.
    """
    position = (segment - 1) % (len(codeword) * POSITIONS_PER_CHARACTER)
    character, place = divmod(position, POSITIONS_PER_CHARACTER)
    return _ALPHABET.index(codeword[character]) >> (POSITIONS_PER_CHARACTER - 1 - place) & 1
