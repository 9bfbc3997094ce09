"""Encryption of a key-encryption key to an escrow, where the key is in the process's memory anyway."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.serialization import load_der_public_key


def oaep() -> OAEP:
    """RSA-OAEP with SHA-1: what PKCS#11 modules have in common. Its security does not rest on collisions (RFC 8017)."""
    return OAEP(MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 — see above


def encrypted(key: bytes, public_key: bytes) -> bytes:
    """A key encrypted to a public key, DER of PKCS #1."""
    loaded = load_der_public_key(public_key)
    assert isinstance(loaded, rsa.RSAPublicKey)
    return loaded.encrypt(key, oaep())
