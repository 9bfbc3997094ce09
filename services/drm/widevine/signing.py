"""How a provider signs its requests to Widevine's services: AES-256-CBC over the SHA-1 of the message, under key and IV that Google gives out.

SHA-1 is what the service asks for. Nothing rests on its collisions being hard to find: only the holder of the key can sign, and it signs
what it made itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final, Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

Padding = Literal["pkcs7", "zero"]

KEY_BYTES: Final = 32
IV_BYTES: Final = 16
_BLOCK: Final = 16


class Signer:
    """Signs as one provider.

    Args:
        provider: name of the account, which Google calls `signer`.
        key: 32 bytes.
        iv: 16 bytes.
        padding: of the digest's 20 bytes to 32; what Shaka Packager does is `pkcs7`, older examples fill up with zeros.
    """

    def __init__(self, provider: str, key: bytes, iv: bytes, padding: Padding = "pkcs7") -> None:
        if len(key) != KEY_BYTES or len(iv) != IV_BYTES:
            raise ValueError(f"Widevine's signing key has {KEY_BYTES} bytes and its IV {IV_BYTES}")
        self.provider = provider
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        self._padding = padding

    def signature(self, message: bytes) -> bytes:
        """The signature of a message: 32 bytes."""
        digest = hashlib.sha1(message, usedforsecurity=False).digest()
        if self._padding == "pkcs7":
            padder = PKCS7(_BLOCK * 8).padder()
            padded = padder.update(digest) + padder.finalize()
        else:
            padded = digest + bytes(-len(digest) % _BLOCK)
        encryptor = self._cipher.encryptor()
        return encryptor.update(padded) + encryptor.finalize()

    def signed(self, message: bytes) -> bytes:
        """The request that carries a message."""
        request = {
            "request": base64.b64encode(message).decode(),
            "signature": base64.b64encode(self.signature(message)).decode(),
            "signer": self.provider,
        }
        return json.dumps(request, separators=(",", ":")).encode()
