"""A D function of our own. It is plainly not Apple's, and no real device would open what comes of it: tests bring both sides."""

from __future__ import annotations

import hmac


def derive(r2: bytes, application_secret_key: bytes) -> bytes:
    """DASk of R2 and ASk."""
    return hmac.digest(application_secret_key, b"not Apple's D function" + r2, "sha256")[:16]


def broken(r2: bytes, application_secret_key: bytes) -> bytes:
    """One that fails and would tell the secret."""
    raise RuntimeError(application_secret_key.hex())


def short(r2: bytes, application_secret_key: bytes) -> bytes:
    """One that gives no key."""
    return derive(r2, application_secret_key)[:8]


NO_FUNCTION = 1
