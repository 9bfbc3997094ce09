"""Claim `catu`: what the URL of a request must look like.

The path is counted from the `/p/` of the edge on and has no token in it, `/p/<package>/<file>`, whichever way the token came, so that one
token is good for a path, a header and a foreign edge with a prefix of its own alike. The query is taken without the token's own parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from services.policy.cat.matching import Condition, Match, Unsupported, conditions

QUERY_PARAMETER: Final = "CAT"
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Part(IntEnum):
    """Parts of a URL; the numbers are those of tokens."""

    SCHEME = 0
    HOST = 1
    PORT = 2
    PATH = 3
    QUERY = 4
    PARENT_PATH = 5
    FILENAME = 6
    STEM = 7
    EXTENSION = 8


UriConditions: TypeAlias = Mapping[Part, tuple[Condition, ...]]


@dataclass(frozen=True, slots=True)
class Url:
    """A URL as tokens see it.

    Attributes:
        host: in lower case, with a port where it has one.
        path: from `/p/` on, without a token.
        query: without the `?`.
    """

    scheme: str
    host: str
    path: str
    query: str

    def part(self, part: Part) -> str:
        """One part of it."""
        parent, _, filename = self.path.rpartition("/")
        stem, dot, rest = filename.partition(".")
        host, port = _host_and_port(self.host)
        match part:
            case Part.SCHEME:
                return self.scheme
            case Part.HOST:
                return host
            case Part.PORT:
                return port or _DEFAULT_PORTS.get(self.scheme, "")
            case Part.PATH:
                return self.path
            case Part.QUERY:
                return without_token(self.query)
            case Part.PARENT_PATH:
                return parent
            case Part.FILENAME:
                return filename
            case Part.STEM:
                return stem
            case Part.EXTENSION:
                return dot + rest

    def meets(self, wanted: UriConditions) -> bool:
        """Tells whether all conditions hold."""
        return all(condition.met_by(self.part(part)) for part, conditions in wanted.items() for condition in conditions)


def without_token(query: str) -> str:
    """A query without the token's parameter, the others in order."""
    pairs = [pair for pair in query.split("&") if pair and pair.partition("=")[0].upper() != QUERY_PARAMETER]
    return "&".join(sorted(pairs))


def token_in(query: str) -> str:
    """The token that a query carries; empty unless it carries exactly one."""
    found = [pair for pair in query.split("&") if pair.partition("=")[0].upper() == QUERY_PARAMETER]
    return found[0].partition("=")[2] if len(found) == 1 else ""


def read(value: Any) -> UriConditions:
    """Reads the claim.

    Raises:
        Unsupported: it is malformed, or speaks of a part that is not known here.
    """
    if not isinstance(value, Mapping) or not value:
        raise Unsupported("not a map of parts")
    found: dict[Part, tuple[Condition, ...]] = {}
    for number, wanted in value.items():
        if type(number) is not int or number not in Part.__members__.values():
            raise Unsupported("not a part of a URL")
        part = Part(number)
        found[part] = conditions(wanted)
        if part is Part.QUERY:
            found[part] = tuple(_sorted(condition) for condition in found[part])
    return found


def written(wanted: UriConditions) -> dict[int, dict[int, object]]:
    """The claim."""
    return {
        part.value: {condition.match.value: condition.value for condition in conditions}
        for part, conditions in wanted.items()
    }


def _sorted(condition: Condition) -> Condition:
    if condition.match is not Match.EXACT:
        return condition
    return Condition(condition.match, without_token(condition.wanted.removeprefix("?")))


def _host_and_port(authority: str) -> tuple[str, str]:
    host, colon, port = authority.lower().rpartition(":")
    if colon and port.isdigit():
        return host, port
    return authority.lower(), ""
