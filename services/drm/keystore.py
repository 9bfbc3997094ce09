"""Where the root key lives. Everything else is stored wrapped, in layers: root key → key-encryption key of an organisation → content key.

A keystore never hands out a key-encryption key, only the use of one; so one that keeps keys in hardware can take this one's place.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

ROOT_KEY_FILE: Final = "root_key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Locked(Exception):
    """Something stored does not open: the key above it is another one, or it was altered."""


class KeyEncryptionKey(Protocol):
    """The use of one organisation's key."""

    def seal(self, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypts a secret. It opens only with the same `bound_to`."""
        ...

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypts a secret.

        Raises:
            Locked: it was sealed with another key, bound to something else, or altered.
        """
        ...


class Keystore(Protocol):
    """The use of the root key."""

    def new_key_encryption_key(self) -> bytes:
        """Makes a key-encryption key and returns it wrapped."""
        ...

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        """Unwraps a key-encryption key for use.

        Raises:
            Locked: the root key is another one.
        """
        ...


class FileKeystore:
    """A keystore with its root key in a file: AES-KW (RFC 3394) around key-encryption keys of 256 bits."""

    def __init__(self, root_key: bytes) -> None:
        if len(root_key) != _KEY_BYTES:
            raise ValueError(f"the root key must be {_KEY_BYTES} bytes long, not {len(root_key)}")
        self._root_key = root_key

    def new_key_encryption_key(self) -> bytes:
        return aes_key_wrap(self._root_key, secrets.token_bytes(_KEY_BYTES))

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        try:
            return AesGcmKey(aes_key_unwrap(self._root_key, wrapped))
        except (InvalidUnwrap, ValueError):
            # Without the cause: its traceback would hold the keys.
            raise Locked("the root key does not open this key-encryption key") from None


class AesGcmKey:
    """A key-encryption key in memory: AES-256-GCM (NIST SP 800-38D), nonce of 96 random bits before the ciphertext."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, bound_to: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, bound_to)

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError):
            raise Locked("the secret does not open with this key") from None
