"""What every keystore does. Everything else is stored wrapped, in layers: root key → key-encryption key of an organisation → content key.

A keystore never hands out the root key, and a key-encryption key only as the use of one; so one that keeps keys in hardware can take the
place of another. `tests/drm/test_keystores.py` is the suite that each passes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Locked(Exception):
    """Something stored does not open: the key above it is another one, or it was altered."""


class Unreachable(Exception):
    """What holds the root key does not answer, or answers that it cannot now. Nothing is wrong with what is stored."""


class WrongKeystore(Exception):
    """The keystore cannot be used as it is set up; the message says what to mend. Raised at start."""


class KeyEncryptionKey(Protocol):
    """The use of one organisation's key."""

    def seal(self, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypts a secret. It opens only with the same `bound_to`.

        Raises:
            Unreachable: see there.
        """
        ...

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Decrypts a secret.

        Raises:
            Locked: it was sealed with another key, bound to something else, or altered.
            Unreachable: see there.
        """
        ...

    def close(self) -> None:
        """Gives it up: what it holds in hardware is removed there. It may be used no more."""
        ...


class Keystore(Protocol):
    """The use of the root key. Any number of threads may use one at the same time.

    Attributes:
        waits: whether sealing and unsealing leave the process, so that they are not for an event loop's thread.
    """

    waits: bool

    def root_id(self) -> str:
        """Names the root key that wraps new key-encryption keys, and tells nothing about it.

        Raises:
            Unreachable: see there.
        """
        ...

    def new_key_encryption_key(self) -> bytes:
        """Makes a key-encryption key and returns it wrapped.

        Raises:
            Unreachable: see there.
        """
        ...

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        """Unwraps a key-encryption key for use, by the root key of today or one before it.

        Raises:
            Locked: the root key is another one.
            Unreachable: see there.
        """
        ...

    def rewrapped(self, wrapped: bytes) -> bytes:
        """The same key-encryption key, wrapped by the root key of today.

        Raises:
            Locked: the root key is another one.
            Unreachable: see there.
        """
        ...

    def wrapped(self, key: bytes) -> bytes:
        """Takes in a key-encryption key of 32 bytes that comes out of an escrow.

        Raises:
            Unreachable: see there.
        """
        ...

    def escrowed(self, wrapped: bytes, public_key: bytes) -> bytes:
        """A key-encryption key encrypted to an escrow's public key (RSA, DER of PKCS #1) by RSA-OAEP with SHA-1, the one
        parameter set that PKCS#11 modules have in common; nothing there rests on collisions (RFC 8017, appendix B.1).

        Raises:
            Locked: the root key is another one.
            Unreachable: see there.
        """
        ...

    def add_root(self) -> str:
        """Makes a new root key, which wraps from then on; the old one still opens. Returns its `root_id`.

        Raises:
            Unreachable: see there.
            WrongKeystore: a new root key is made elsewhere; the message says where.
        """
        ...

    def drop_former_roots(self) -> Sequence[str]:
        """Removes root keys before that of today, once nothing is wrapped by them. Returns their names.

        Raises:
            Unreachable: see there.
        """
        ...

    def close(self) -> None:
        """Ends whatever connections there are."""
        ...


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

    def close(self) -> None:
        """Its memory goes with the last reference to it."""
