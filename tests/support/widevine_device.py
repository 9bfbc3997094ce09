"""A Widevine player of ours. It speaks the outer protocol, and for what Google keeps to itself it has something of its own: who it is stands in the
clear, and licences are sealed under a secret of its."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CERTIFICATE_REQUEST = b"\x08\x04"


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field_number: int, value: int) -> bytes:
    return varint(field_number << 3) + varint(value)


def blob(field_number: int, value: bytes) -> bytes:
    return varint(field_number << 3 | 2) + varint(len(value)) + value


def signed(kind: int, message: bytes, signature: bytes = b"s" * 32) -> bytes:
    """A SignedMessage."""
    return number(1, kind) + blob(2, message) + blob(3, signature)


@dataclass(frozen=True)
class Device:
    """One player.

    Attributes:
        level: 1 for L1, 3 for L3.
        state: what the licence service thinks of it, `OK` or a status that it refuses it with.
    """

    level: int = 3
    state: str = "OK"
    hdcp: str = "HDCP_V2_2"
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def about(self) -> bytes:
        facts = {"level": self.level, "state": self.state, "hdcp": self.hdcp}
        return json.dumps({**facts, "secret": base64.b64encode(self.secret).decode()}).encode()

    def challenge(self, *key_ids: bytes, offline: bool = False, wish: int = 1) -> bytes:
        """Asks for keys; a renewal (2) and a release (3) name a licence instead."""
        kept = 2 if offline else 1
        if wish == 1:
            pssh = number(1, 1) + b"".join(blob(2, key_id) for key_id in key_ids) + blob(4, b"content")
            content = blob(1, blob(1, pssh) + number(2, kept) + blob(3, b"r" * 16))
        else:
            content = blob(3, blob(1, blob(1, b"r" * 16) + blob(2, b"s" * 16) + number(4, kept)) + number(2, 60))
        return self.asking(content, wish)

    def asking(self, content: bytes, wish: int = 1) -> bytes:
        """A challenge about content that is named in any way."""
        request = blob(1, self.about()) + blob(2, content) + number(3, wish) + number(4, 1_790_000_000) + number(6, 21)
        return signed(1, request, hmac.digest(self.secret, request, "sha256"))

    def opened(self, licence: bytes) -> dict[str, Any]:
        """What is in a licence."""
        prefix = number(1, 2)
        assert licence.startswith(prefix), "a SignedMessage of type LICENSE"
        start, length, shift = len(prefix) + 1, 0, 0  # behind the tag of what is sealed stands its length as a varint
        while True:
            length |= (licence[start] & 0x7F) << shift
            start, shift = start + 1, shift + 7
            if not licence[start - 1] & 0x80:
                break
        sealed = licence[start : start + length]
        content = json.loads(AESGCM(self.secret).decrypt(sealed[:12], sealed[12:], None))
        assert isinstance(content, dict)
        return content

    def keys(self, licence: bytes) -> dict[bytes, bytes]:
        """Its keys by their ids."""
        return {bytes.fromhex(key_id): bytes.fromhex(key) for key_id, key in self.opened(licence)["keys"].items()}


def licence_for(about: bytes, content: dict[str, Any]) -> bytes:
    """A licence that only the player opens which `about` is of."""
    nonce = secrets.token_bytes(12)
    secret = base64.b64decode(json.loads(about)["secret"])
    sealed = nonce + AESGCM(secret).encrypt(nonce, json.dumps(content).encode(), None)
    return number(1, 2) + blob(2, sealed)
