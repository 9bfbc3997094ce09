"""Claim `catif`: what to answer with when a claim of the token is not met, such as a redirect to a page where a new one is had.

Taken are a status and a plain `Location`; a new token within it, which `catif` can also ask for, is not made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.policy.cat.matching import Unsupported

_STATUSES: Final = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 410, 451})
_LOCATION: Final = re.compile(r"https?://[!-~]{1,1024}")


@dataclass(frozen=True, slots=True)
class Otherwise:
    """An answer.

    Attributes:
        location: where to go instead; empty when nowhere.
    """

    status: int
    location: str


def read(value: Any) -> Mapping[int, Otherwise]:
    """Reads the claim: from the number of a claim to status, headers and, where a token is to be made, a key.

    Raises:
        Unsupported: it is malformed, or asks for more than that.
    """
    if not isinstance(value, Mapping) or not value or not all(type(number) is int for number in value):
        raise Unsupported("not a map of claims")
    return {number: _answer(answer) for number, answer in value.items()}


def _answer(value: Any) -> Otherwise:
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 3 or (len(value) == 3 and value[2] is not None):
        raise Unsupported("not a status and headers")
    status, headers = value[0], value[1]
    if type(status) is not int or status not in _STATUSES or not isinstance(headers, Mapping):
        raise Unsupported("not a status and headers")
    named = {name.lower(): text for name, text in headers.items() if isinstance(name, str)}
    if len(named) != len(headers) or not named.keys() <= {"location"}:
        raise Unsupported("not only a place to go to")
    location = named.get("location", "")
    if not isinstance(location, str) or (location and not _LOCATION.fullmatch(location)):
        raise Unsupported("not a place to go to")
    if (300 <= status < 400) != bool(location):
        raise Unsupported("a redirect needs a place, and only a redirect does")
    return Otherwise(status, location)
