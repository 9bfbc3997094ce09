"""Epoch's digest: HMAC-MD5 in hex over the names and values of all parameters but itself, sorted by name, without separators."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

FIELD: Final = "epoch_digest"


def digest(key: str, fields: Mapping[str, str]) -> str:
    """The digest of a request's parameters."""
    text = "".join(f"{name}{value}" for name, value in sorted(fields.items()) if name != FIELD)
    return hmac.new(key.encode(), text.encode(), hashlib.md5).hexdigest()
