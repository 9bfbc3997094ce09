"""Shares of an escrow: made and brought together where whoever holds them is, and nowhere else.

The secret is 256 random bits, divided by SLIP-39 (https://github.com/satoshilabs/slips/blob/master/slip-0039.md) into shares of words with
check digits. Under it lies the private key to which a mesh encrypts its key-encryption keys; that, sealed, the mesh may keep.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from services.drm.keystores.escrow_key import oaep
from services.drm.keystores.keystore import AesGcmKey, Locked

SECRET_BYTES: Final = 32
KEY_BITS: Final = 3072
_NONCE_BYTES: Final = 12


class WrongShares(Exception):
    """The shares do not open the escrow; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class NewEscrow:
    """An escrow that was just made.

    Attributes:
        shares: to be shown once and kept by nobody but their holders.
    """

    public_key: bytes
    sealed_private_key: bytes
    shares: Sequence[str] = field(repr=False)


def new_escrow(threshold: int, count: int) -> NewEscrow:
    """Makes a key pair and the shares that open its private key.

    Args:
        threshold: how many shares are needed, 2 to 16.
        count: how many there are, 2 to 16.

    Raises:
        ValueError: more are needed than there are, or so few that one alone opens everything.
    """
    if not 2 <= threshold <= count <= 16:
        raise ValueError("take 2 to 16 shares, and let 2 or more of them be needed, but not more than there are")
    private = rsa.generate_private_key(65537, KEY_BITS)
    public_key = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    secret, nonce = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(_NONCE_BYTES)
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    sealed = nonce + AESGCM(secret).encrypt(nonce, plain, _bound_to(public_key))
    (shares,) = generate_mnemonics(1, [(threshold, count)], secret)
    return NewEscrow(public_key, sealed, shares)


class OpenEscrow:
    """An escrow whose shares came together.

    Args:
        shares: as many as are needed or more, in any order; the case of letters, the space between words and
            numbers before them do not matter.
        public_key: the escrow's, DER of SubjectPublicKeyInfo.
        sealed_private_key: the escrow's.
        threshold: how many of them are needed.

    Raises:
        WrongShares: there are too few of them, one is mistyped, or they belong to another escrow.
    """

    def __init__(self, shares: Sequence[str], public_key: bytes, sealed_private_key: bytes, threshold: int) -> None:
        told = list(dict.fromkeys(_words(share) for share in shares if share.strip()))
        if len(told) < threshold:
            raise WrongShares(f"{threshold} different shares are needed, and {len(told)} came together")
        try:
            # More than are needed are no help to the arithmetic, which refuses them.
            secret = combine_mnemonics(told[:threshold])
        except (MnemonicError, ValueError, IndexError) as error:
            raise WrongShares(f"the shares do not fit together: {str(error)[:200].rstrip('.')}") from None
        try:
            plain = AESGCM(secret).decrypt(
                sealed_private_key[:_NONCE_BYTES], sealed_private_key[_NONCE_BYTES:], _bound_to(public_key)
            )
        except (InvalidTag, ValueError):
            raise WrongShares(
                "the shares are whole, but they belong to another escrow than that of this install"
            ) from None
        private = load_der_private_key(plain, None)
        assert isinstance(private, rsa.RSAPrivateKey)
        self._private = private

    def key(self, kek_id: str, encrypted: bytes, check_value: bytes) -> bytes:
        """A key-encryption key that was encrypted to the escrow.

        Raises:
            WrongShares: it does not open, or is not the key of this id.
        """
        try:
            key = self._private.decrypt(encrypted, oaep())
            if check_value:
                AesGcmKey(key).unseal(check_value, kek_id.encode())
        except (ValueError, Locked):
            raise WrongShares(f"{kek_id} does not open: what is kept of it was altered") from None
        return key


def _words(share: str) -> str:
    return " ".join(word for word in share.lower().split() if not word.isdigit())


def _bound_to(public_key: bytes) -> bytes:
    return b"reelmesh escrow|" + hashlib.sha256(public_key).digest()
