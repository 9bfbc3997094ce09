"""Sealing of what a database may keep but not read: AES-256-GCM under a key of the install, and keyed digests."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Unreadable(Exception):
    """The sealed bytes were changed, belong to something else, or were sealed under another key."""


class Seal:
    """Seals and digests.

    Args:
        key: 32 random bytes. One key is derived of it for sealing and another for digests (HKDF, RFC 5869).
        owner: the service, so that the same bytes as another's key would seal differently.
    """

    def __init__(self, key: bytes, owner: str) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"the key of {owner} must have {_KEY_BYTES} bytes, not {len(key)}")
        self._aead = AESGCM(_derived(key, f"reelmesh {owner} seal"))
        self._digest_key = _derived(key, f"reelmesh {owner} digest")

    def seal(self, secret: bytes, bound_to: str) -> bytes:
        """Seals bytes for one place, such as a row's id: they cannot be opened as another's."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Opens what was sealed.

        Raises:
            Unreadable: see there.
        """
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError) as error:
            raise Unreadable from error

    def digest(self, *parts: str) -> bytes:
        """HMAC-SHA256 of texts, for what is guessable and must be found or compared without being kept: codes, addresses."""
        return hmac.digest(self._digest_key, b"\0".join(part.encode() for part in parts), "sha256")


def _derived(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(key)
