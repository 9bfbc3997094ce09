"""Keys of access tokens, in one secret file: those of this installation, older ones, and those of other issuers whose tokens are taken.

The file is JSON, `{"keys": [{"key_id", "algorithm", "private_key" | "public_key" | "secret", "issuers"}, …]}`: PEM for ES256, base64url for
HS256. Of each algorithm the first key that can signs; to change keys, put a new one before the old one and restart, and take the old one out
when its last token has ended, a day later.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.policy.cat.cose import Algorithm, Key, KeyRing, MacKey, SignatureKey

CAT_KEYS_FILE: Final = "cat_keys.json"
ISSUER: Final = "policy.reelmesh"
_SHORTEST_SECRET: Final = 32
"""Bytes: as many as the digest has (RFC 9053 §3.1)."""


def new_key_file() -> bytes:
    """Content of the file of a new installation: one key of each algorithm."""
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    secret = base64.urlsafe_b64encode(secrets.token_bytes(_SHORTEST_SECRET)).decode()
    entries = [
        {"key_id": _new_name(), "algorithm": "ES256", "private_key": pem, "issuers": [ISSUER]},
        {"key_id": _new_name(), "algorithm": "HS256", "secret": secret, "issuers": [ISSUER]},
    ]
    return json.dumps({"keys": entries}, indent=1).encode()


def key_ring(content: bytes) -> KeyRing:
    """Reads the file.

    Raises:
        ValueError: it is not as described; the message holds no key.
    """
    try:
        entries = json.loads(content)["keys"]
        return KeyRing([_key(entry) for entry in entries])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{CAT_KEYS_FILE} is not as documented") from error


def public_pem(key: SignatureKey) -> str:
    """The public half, as others read it."""
    return key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _key(entry: dict[str, Any]) -> Key:
    name, issuers = str(entry["key_id"]), frozenset(str(issuer) for issuer in entry.get("issuers", ()))
    if Algorithm[entry["algorithm"]] is Algorithm.HS256:
        secret = base64.urlsafe_b64decode(entry["secret"])
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"the secret of {name} in {CAT_KEYS_FILE} is shorter than {_SHORTEST_SECRET} bytes")
        return MacKey(name, secret, issuers)
    if "private_key" in entry:
        private = load_pem_private_key(entry["private_key"].encode(), password=None)
        if isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
            return SignatureKey(name, private.public_key(), private, issuers)
    else:
        public = load_pem_public_key(entry["public_key"].encode())
        if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
            return SignatureKey(name, public, None, issuers)
    raise ValueError(f"{name} in {CAT_KEYS_FILE} is no key on P-256")


def _new_name() -> str:
    return secrets.token_hex(6)
