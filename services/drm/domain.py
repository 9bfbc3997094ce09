"""Rules of key ids and Clear Key licences. No input, no output."""

from __future__ import annotations

import base64
import binascii
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "drm.reelmesh"
CLEAR_KEY: Final = "org.w3.clearkey"
HLS_IDENTITY: Final = "hls.identity"


@dataclass(frozen=True, slots=True)
class ContentKey:
    """One content key in the clear. It is held no longer than one call takes, and prints without its secrets.

    Attributes:
        label: kind of track it encrypts.
        key_id: 16 bytes, a random UUID.
        key: 16 bytes.
        iv: constant initialization vector for cbcs, 16 bytes.
    """

    label: str
    key_id: bytes
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    @classmethod
    def new(cls, label: str) -> ContentKey:
        """A new random key."""
        return cls(label, uuid.uuid4().bytes, secrets.token_bytes(16), secrets.token_bytes(16))


def key_id_of(kid: str) -> bytes:
    """Reads a key id as players write it: base64url of 16 bytes without padding (W3C EME §9.1.3).

    Raises:
        Refusal: KEY_ID_MALFORMED.
    """
    try:
        key_id = base64.urlsafe_b64decode(kid + "==")
    except (binascii.Error, ValueError) as error:
        raise _malformed(kid) from error
    if len(key_id) != 16 or kid_of(key_id) != kid:  # decoding skips what it does not know, and ignores spare bits
        raise _malformed(kid)
    return key_id


def kid_of(value: bytes) -> str:
    """16 bytes as players write them: base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def key_not_found(package_id: str) -> Refusal:
    """None of the asked keys exists in the package."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "KEY_NOT_FOUND",
        f"none of the keys asked for is kept for {package_id}; if its manifest names them they were lost, so package the asset again",
        domain=DOMAIN,
        metadata={"package_id": package_id},
    )


def keystore_locked(kek_id: str) -> Refusal:
    """The root key does not open what is stored."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "KEYSTORE_LOCKED",
        f"the stored keys under {kek_id} cannot be opened: the root key is another one than they were stored with, or they were altered; "
        "give the service the root key of this installation, or restore both from one backup",
        domain=DOMAIN,
        metadata={"kek_id": kek_id},
    )


def _malformed(kid: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "KEY_ID_MALFORMED",
        "a key id must be base64url of 16 bytes without padding: 22 characters",
        domain=DOMAIN,
        metadata={"kid": kid},
    )


def keystore_unreachable(why: str) -> Refusal:
    """What holds the root key does not answer now."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "KEYSTORE_UNREACHABLE",
        f"what holds the root key cannot be asked: {why}; nothing is lost, it goes on when that is back",
        domain=DOMAIN,
        retry_after=timedelta(seconds=2),
    )


def keys_revoked(package_id: str) -> Refusal:
    """The keys of a package were destroyed."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "KEYS_REVOKED",
        f"the keys of {package_id} were destroyed because they are thought to be stolen; play the package that took its place",
        domain=DOMAIN,
        metadata={"package_id": package_id},
    )


def operator_only() -> Refusal:
    """The call concerns the whole install."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_ONLY",
        "this concerns the keys of every organisation of the install; use the operator's key, which `reelmesh key` prints",
        domain=DOMAIN,
    )


def keystore_unable(why: str) -> Refusal:
    """The keystore cannot do what is asked."""
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, "KEYSTORE_UNABLE", why, domain=DOMAIN)
