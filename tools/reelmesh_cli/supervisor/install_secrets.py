"""The secrets of one installation, made at its first start and kept in `<data>/secrets` (0700)."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

OPERATOR_KEY_PREFIX = "rmk_"

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def ensure(directory: Path) -> None:
    """Makes whatever is missing; never touches what is there."""
    directory.chmod(0o700)
    _once(directory / "service_token_key.pem", _signing_key)
    _once(directory / "ticket_key.pem", _signing_key)
    _once(directory / "root_key", lambda: secrets.token_bytes(32))
    _once(directory / "nats_token", lambda: secrets.token_urlsafe(32).encode())
    _once(directory / "operator_api_key", lambda: f"{OPERATOR_KEY_PREFIX}{_base62(secrets.token_bytes(32))}".encode())
    _once(directory / "api_keys.json", lambda: _api_keys((directory / "operator_api_key").read_text().strip()))


def _once(path: Path, make: Callable[[], bytes]) -> None:
    if path.exists():
        return
    partial = path.with_suffix(".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(make())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _signing_key() -> bytes:
    """A P-256 private key for ES256 (RFC 7518 §3.4), PKCS#8 PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec  # only needed at the very first start
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _api_keys(key: str) -> bytes:
    """What the servers know of the operator's key: its SHA-256. The key itself has 256 random bits, so no salt is needed."""
    from services.kit.ids import new_id

    entry = {
        "key_id": new_id("key"),
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "name": "operator",
        "organisation_id": new_id("org"),
        "permissions": ["*"],
    }
    return json.dumps([entry], indent=1).encode()


def _base62(raw: bytes) -> str:
    number = int.from_bytes(raw)
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(43, "0")
