"""How a claim of a token compares a text: exactly, by its ends, by what it contains, by a regular expression or by a digest."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

_LONGEST_EXPRESSION: Final = 256
_LONGEST_MATCHED: Final = 1024
"""Characters of a text that an expression is tried on. A quantifier, and a beginning that is not fixed, each take time by their number; two of
these take a few milliseconds at most, three would take seconds."""
# Plain characters, escapes that are no references, classes without brackets inside; no `(?`, and nothing repeats a group.
_ATOM: Final = r"(?:\\[AZbdDwWsS.^$*+?{}()|/\\\[\]-]|\[\^?[^\]\[\\]+\]|[^\\\[\](){}*+?|])"
_EXPRESSION: Final = re.compile(rf"(?:{_ATOM}(?:[*+?]|\{{\d{{1,2}}(?:,\d{{0,2}})?\}})?|\((?!\?)|\)(?![*+?{{])|\|)*")
_QUANTIFIER: Final = re.compile(r"(?:[^\\]|^)(?:\\\\)*(?:[*+?]|\{\d)")


class Unsupported(Exception):
    """A condition that cannot be checked here."""


class Match(IntEnum):
    """Ways to compare; the numbers are those of tokens."""

    EXACT = 0
    PREFIX = 1
    SUFFIX = 2
    CONTAINS = 3
    REGEX = 4
    SHA256 = -1
    SHA512_256 = -2


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison.

    Attributes:
        wanted: what the text is compared with; of a digest its bytes in lower-case hex.
    """

    match: Match
    wanted: str

    def __post_init__(self) -> None:
        """Refuses what could not be compared.

        Raises:
            Unsupported: an expression that could take for ever, or a digest that is none.
        """
        if self.match is Match.REGEX:
            _compiled(self.wanted)
        if self.match in {Match.SHA256, Match.SHA512_256} and not re.fullmatch(r"[0-9a-f]{64}", self.wanted):
            raise Unsupported("a digest of 32 bytes is needed")

    def met_by(self, text: str) -> bool:
        """Compares."""
        match self.match:
            case Match.EXACT:
                return text == self.wanted
            case Match.PREFIX:
                return text.startswith(self.wanted)
            case Match.SUFFIX:
                return text.endswith(self.wanted)
            case Match.CONTAINS:
                return self.wanted in text
            case Match.REGEX:
                return len(text) <= _LONGEST_MATCHED and _compiled(self.wanted).search(text) is not None
            case Match.SHA256:
                return hmac.compare_digest(hashlib.sha256(text.encode()).hexdigest(), self.wanted)
            case Match.SHA512_256:
                return hmac.compare_digest(hashlib.new("sha512_256", text.encode()).hexdigest(), self.wanted)

    @property
    def value(self) -> object:
        """As it stands in a token."""
        if self.match is Match.REGEX:
            return [self.wanted]
        return bytes.fromhex(self.wanted) if self.match in {Match.SHA256, Match.SHA512_256} else self.wanted


def conditions(value: Any) -> tuple[Condition, ...]:
    """Reads a map from ways to compare to what is compared with. All of them must hold.

    Raises:
        Unsupported: it is no such map, is empty, or says something that is not known here.
    """
    if not isinstance(value, Mapping) or not value:
        raise Unsupported("conditions are a map")
    found = []
    for number, wanted in value.items():
        if type(number) is not int or number not in Match.__members__.values():
            raise Unsupported("not a known way to compare")
        found.append(Condition(Match(number), _wanted(Match(number), wanted)))
    return tuple(found)


def _wanted(match: Match, value: Any) -> str:
    if match is Match.REGEX:
        # What follows the expression would be conditions on its groups.
        if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
            return value[0]
    elif match in {Match.SHA256, Match.SHA512_256} and isinstance(value, bytes):
        return value.hex()
    elif isinstance(value, str):  # node-cat writes digests so
        return value
    raise Unsupported("not of the right type")


def _compiled(expression: str) -> re.Pattern[str]:
    if (
        len(expression) > _LONGEST_EXPRESSION
        or not _EXPRESSION.fullmatch(expression)
        or len(_QUANTIFIER.findall(expression)) > (2 if expression.startswith("^") and "|" not in expression else 1)
    ):
        raise Unsupported("an expression that could take for ever")
    try:
        return re.compile(expression, re.ASCII)
    except (re.error, OverflowError) as error:
        raise Unsupported("not an expression") from error
