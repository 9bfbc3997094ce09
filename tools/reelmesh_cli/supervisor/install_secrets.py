"""The secrets of one installation, made at its first start and kept in `<data>/secrets` (0700)."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def ensure(directory: Path) -> None:
    """Makes whatever is missing; never touches what is there."""
    directory.chmod(0o700)
    _once(directory / "ticket_key.pem", _signing_key)
    _once(directory / "cat_keys.json", _access_token_keys)
    _once(directory / "preview_keys.json", _preview_keys)
    _once(directory / "root_key", lambda: _protected_root_key(directory))
    _once(directory / "identity_key", _root_key)
    _once(directory / "policy_key", _root_key)
    _once(directory / "payments_key", _root_key)
    _once(directory / "stand_in_key", _root_key)
    _once(directory / "compliance_key", _root_key)
    _once(directory / "audit_log_key", _root_key)
    _once(directory / "watermark_key", _root_key)
    _once(directory / "quarantine_key", _root_key)
    _once(directory / "hold_report_secret", lambda: b"whsec_" + base64.b64encode(secrets.token_bytes(32)))
    _once(directory / "nats_token", lambda: secrets.token_urlsafe(32).encode())
    _once(directory / "operator_api_key", _operator_key)
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


def _root_key() -> bytes:
    """256 random bits that do not end like a line, because readers of secret files forgive a line end."""
    while (key := secrets.token_bytes(32)).endswith(b"\n"):
        pass
    return key


def _protected_root_key(directory: Path) -> bytes:
    """As above, under the passphrase that the operator set, if any."""
    from services.drm.keystores.choice import KeystoreSettings  # only needed at the very first start
    from services.drm.keystores.root_files import under_passphrase

    word = KeystoreSettings(secrets_dir=directory).root_passphrase()
    return under_passphrase(_root_key(), word) if word else _root_key()


def _signing_key() -> bytes:
    """A P-256 private key for ES256 (RFC 7518 §3.4), PKCS#8 PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec  # only needed at the very first start
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _access_token_keys() -> bytes:
    from services.policy.cat.keys import new_key_file  # as above

    return new_key_file()


def _preview_keys() -> bytes:
    from services.policy.previews import new_key_file  # as above

    return new_key_file()


def _operator_key() -> bytes:
    from services.kit.access import new_api_key  # as above

    return new_api_key().encode()


def _api_keys(key: str) -> bytes:
    """What the servers know of the operator's key: its SHA-256."""
    from services.kit.access import api_key_entry
    from services.kit.ids import new_id

    entry = api_key_entry(key, key_id=new_id("key"), name="operator", organisation_id=new_id("org"), permissions=["*"])
    return json.dumps([entry], indent=1).encode()
