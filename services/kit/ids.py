"""Prefixed, sortable ids (TypeID 0.3): `ast_01j…`, a prefix and a UUIDv7 in Crockford's base 32."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from typeid import TypeID
from typeid.errors import TypeIDException

SUFFIX_PATTERN: Final = r"[0-7][0-9a-hjkmnp-tv-z]{25}"


def new_id(prefix: str) -> str:
    """Makes a new id such as `ast_01j9…`. Ids made later sort later, to the millisecond."""
    return str(TypeID(prefix=prefix))


def is_id(prefix: str, text: str) -> bool:
    """Tells whether `text` has the form of an id with this prefix."""
    return re.fullmatch(rf"{prefix}_{SUFFIX_PATTERN}", text) is not None


def time_of(text: str) -> datetime | None:
    """When an id was made, to the millisecond (the first 48 bits of a UUIDv7, RFC 9562 §5.7); None for what is no such id."""
    try:
        milliseconds = int(TypeID.from_string(text).uuid.hex[:12], 16)
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (TypeIDException, ValueError, OverflowError, OSError):
        return None
