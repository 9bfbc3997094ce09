"""What is kept of a webhook: what is named here, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_MOST_CHARACTERS: Final = 200
_PERSONAL: Final = re.compile(r"\S*@\S*|\+?[0-9][0-9 ().-]{6,}[0-9]", re.ASCII)


def kept(document: Mapping[str, Any], names: Iterable[str]) -> bytes:
    """The named leaves of an object, as JSON with sorted names.

    Args:
        document: as parsed.
        names: paths such as `data.object.id`; lists on the way are walked through.
    """
    found: dict[str, Any] = {}
    for name in names:
        _copy(document, found, name.split("."))
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def _copy(source: Any, target: dict[str, Any], path: list[str]) -> None:
    name, rest = path[0], path[1:]
    if not isinstance(source, dict) or name not in source:
        return
    value = source[name]
    if not rest:
        if isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _MOST_CHARACTERS):
            target[name] = value
    elif isinstance(value, list):
        places = target.setdefault(name, [{} for _ in value])
        for item, place in zip(value, places, strict=True):
            _copy(item, place, rest)
    elif isinstance(value, dict):
        _copy(value, target.setdefault(name, {}), rest)


def words(text: object) -> str:
    """A processor's words for why, without addresses and long numbers, which it may have put in; up to 200 characters."""
    plain = "".join(character if character.isprintable() else " " for character in str(text or ""))
    return _PERSONAL.sub("…", plain).strip()[:_MOST_CHARACTERS]
