"""A software authenticator (WebAuthn Level 3 §6): it makes passkeys and signs with them as a phone or a security key does.

ES256, attestation `none`, discoverable credentials. It does what it is told, wrong things included: the user may be absent or not verified,
the counter may stand still, the page may be another.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

_PRESENT, _VERIFIED, _BACKUP_ELIGIBLE, _BACKED_UP, _ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
MODEL: Final = bytes.fromhex("5ee1a5b0c0de4f0b8d0900000000cafe")


@dataclass(slots=True)
class Key:
    """One passkey in it."""

    rp_id: str
    credential_id: bytes
    user_handle: bytes
    private: ec.EllipticCurvePrivateKey
    sign_count: int = 0


@dataclass(frozen=True, slots=True)
class Manner:
    """How it behaves.

    Attributes:
        origin: page that asks.
        present: whether the user touched it.
        verified: whether the user showed who they are.
        step: by how much the counter goes on with each signature.
        backed_up: whether a key ring of several devices holds its keys.
        cross_origin: whether the page is framed by another site.
        credential_id: by which it knows the next passkey; empty for a random one.
        client_data: changes what the browser says, for answers that are wrong.
    """

    origin: str
    present: bool = True
    verified: bool = True
    step: int = 1
    backed_up: bool = False
    cross_origin: bool = False
    credential_id: bytes = b""
    client_data: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda said: said)

    @property
    def flags(self) -> int:
        """As they stand in authenticator data."""
        said = (_PRESENT if self.present else 0) | (_VERIFIED if self.verified else 0)
        return said | (_BACKUP_ELIGIBLE | _BACKED_UP if self.backed_up else 0)


class Authenticator:
    """Holds passkeys of one person."""

    def __init__(self, origin: str) -> None:
        self.manner = Manner(origin)
        self.keys: list[Key] = []

    def behave(self, **changed: Any) -> None:
        """Behaves otherwise from now on."""
        self.manner = replace(self.manner, **changed)

    def create(self, options: str) -> str:
        """`navigator.credentials.create()`: a new passkey, as `RegistrationResponseJSON`."""
        asked = json.loads(options)
        key = Key(
            rp_id=asked["rp"]["id"],
            credential_id=self.manner.credential_id or secrets.token_bytes(32),
            user_handle=base64url_to_bytes(asked["user"]["id"]),
            private=ec.generate_private_key(ec.SECP256R1()),
        )
        known = {one["id"] for one in asked["excludeCredentials"]}
        assert not any(bytes_to_base64url(one.credential_id) in known for one in self.keys), "it is held already"
        self.keys.append(key)
        attested = MODEL + struct.pack(">H", len(key.credential_id)) + key.credential_id + _cose(key.private)
        data = self._data(key, self.manner.flags | _ATTESTED) + attested
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(
            key,
            {
                "clientDataJSON": bytes_to_base64url(self._client_data("webauthn.create", asked["challenge"])),
                "attestationObject": bytes_to_base64url(attestation),
                "transports": ["internal"],
            },
        )

    def get(self, options: str) -> str:
        """`navigator.credentials.get()`: a signature with its newest passkey of the site, as `AuthenticationResponseJSON`."""
        asked = json.loads(options)
        assert not asked.get("allowCredentials"), "nobody's passkeys are named"
        key = next(one for one in reversed(self.keys) if one.rp_id == asked["rpId"])
        key.sign_count += self.manner.step
        data = self._data(key, self.manner.flags)
        client_data = self._client_data("webauthn.get", asked["challenge"])
        signature = key.private.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return self._credential(
            key,
            {
                "clientDataJSON": bytes_to_base64url(client_data),
                "authenticatorData": bytes_to_base64url(data),
                "signature": bytes_to_base64url(signature),
                "userHandle": bytes_to_base64url(key.user_handle),
            },
        )

    def _data(self, key: Key, flags: int) -> bytes:
        """Authenticator data without what only a new passkey has (WebAuthn Level 3 §6.1)."""
        return hashlib.sha256(key.rp_id.encode()).digest() + struct.pack(">BI", flags, key.sign_count)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        said = {
            "type": kind,
            "challenge": challenge,
            "origin": self.manner.origin,
            "crossOrigin": self.manner.cross_origin,
        }
        return json.dumps(self.manner.client_data(said)).encode()

    def _credential(self, key: Key, response: dict[str, Any]) -> str:
        shown = bytes_to_base64url(key.credential_id)
        return json.dumps(
            {
                "id": shown,
                "rawId": shown,
                "type": "public-key",
                "authenticatorAttachment": "platform",
                "clientExtensionResults": {},
                "response": response,
            }
        )


def _cose(private: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as a COSE_Key (RFC 9053 §7.1.1): EC2, ES256, P-256."""
    numbers = private.public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    return encode_cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})
