"""Signatures of webhooks: `t=<seconds>,v1=<hex of HMAC-SHA256 over "t.body">`, as Stripe and the stand-in write them, and the age of what was signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.compliance.age import refusals

WINDOW_SECONDS: Final = 300
"""How far the signed moment may be from now, into the past as into the future."""
_MOST_SIGNATURES: Final = 8


def signature(secret: str, body: bytes, moment: datetime) -> str:
    """The header's value for a body that is sent now."""
    seconds = int(moment.timestamp())
    return f"t={seconds},v1={_digest(secret, str(seconds), body)}"


def is_signed(secret: str, body: bytes, header: str, now: datetime) -> bool:
    """Whether a body was signed with the secret, and of late. While a secret is changed there may be several signatures."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    shown = [value for name, _, value in parts if name == "v1"][:_MOST_SIGNATURES]
    if len(moments) != 1 or not (moments[0].isascii() and moments[0].isdecimal() and len(moments[0]) <= 12):
        return False
    good = _digest(secret, moments[0], body).encode()
    matched = [hmac.compare_digest(good, one.encode()) for one in shown]
    return any(matched) and abs(now.timestamp() - int(moments[0])) <= WINDOW_SECONDS


def is_hex_digest(secret: str, body: bytes, header: str) -> bool:
    """Whether a header is the HMAC-SHA256 of the body in hexadecimal digits, whichever their case."""
    good = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(good.encode(), header.strip().lower().encode())


def json_object(provider: str, body: bytes) -> Mapping[str, Any]:
    """A body that is a JSON object.

    Raises:
        Refusal: AGE_DELIVERY_MALFORMED.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise refusals.age_delivery_malformed(provider, "the body is no JSON") from None
    return inner(provider, found)


def inner(provider: str, value: object) -> Mapping[str, Any]:
    """A value that is a JSON object.

    Raises:
        Refusal: AGE_DELIVERY_MALFORMED.
    """
    if not isinstance(value, dict):
        raise refusals.age_delivery_malformed(provider, "an object is missing in it")
    return value


def _digest(secret: str, seconds: str, body: bytes) -> str:
    return hmac.new(secret.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
