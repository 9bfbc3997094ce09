"""What Shaka Packager asks, and what it makes of an answer."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

TYPES = ["SD", "HD", "UHD1", "UHD2", "AUDIO"]


@dataclass(frozen=True)
class Key:
    """A key of an answer; `iv` is empty where none came."""

    key_id: bytes
    key: bytes
    iv: bytes


def said(**changed: Any) -> dict[str, Any]:
    """What Shaka Packager 3.8 asks; None leaves something out."""
    whole = {
        "content_id": base64.b64encode(b"film-1").decode(),
        "policy": "",
        "tracks": [{"type": kind} for kind in TYPES],
        "drm_types": ["WIDEVINE"],
        "protection_scheme": "CBCS",
    } | changed
    return {name: value for name, value in whole.items() if value is not None}


def rotating(first: int, count: int = 10, **changed: Any) -> dict[str, Any]:
    """What it asks when keys rotate."""
    periods = {"first_crypto_period_index": first, "crypto_period_count": count, "crypto_period_seconds": 4}
    return said(**periods, **changed)


def keys_of(answer: dict[str, Any], period: int | None = None) -> dict[str, Key]:
    """The keys of one period by kind of track."""
    return {
        track["type"]: Key(*(base64.b64decode(track.get(name, "")) for name in ("key_id", "key", "iv")))
        for track in answer["tracks"]
        if track.get("crypto_period_index") == period
    }
