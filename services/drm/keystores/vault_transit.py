"""The keystore with its root key in HashiCorp Vault's (or OpenBao's) transit engine. Key-encryption keys are data keys: made there, kept
wrapped here, opened there, used in memory.

Five calls of plain HTTP (https://developer.hashicorp.com/vault/api-docs/secret/transit), so no library of its own is needed.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from services.drm.keystores.escrow_key import encrypted
from services.drm.keystores.keystore import AesGcmKey, KeyEncryptionKey, Locked, Unreachable, WrongKeystore

_TIMEOUT: Final = 5.0
_VERSION_KEPT: Final = 60.0


class VaultTransitKeystore:
    """Uses a key of the transit engine, of the type `aes256-gcm96`.

    Args:
        address: Vault's address, such as `https://vault.example.com:8200`.
        mount: where the engine is mounted.
        key: name of the key.
        token: gives the token; asked for each call, so that an agent may renew the file that it stands in.
        authorities: file of certificate authorities to believe; empty for the system's.
    """

    waits = False

    def __init__(self, address: str, mount: str, key: str, token: Callable[[], str], authorities: str = "") -> None:
        self._key, self._token = key, token
        self._http = httpx.Client(
            base_url=f"{address.rstrip('/')}/v1/{mount.strip('/')}", timeout=_TIMEOUT, verify=authorities or True
        )
        self._version = (0, 0.0)
        try:
            self.root_id()
        except Unreachable as error:
            self._http.close()
            raise WrongKeystore(
                f"Vault cannot be used: {error}; check REELMESH_DRM_VAULT_ADDRESS, …_MOUNT, …_KEY and the token"
            ) from None

    def root_id(self) -> str:
        version, known_until = self._version
        if time.monotonic() >= known_until:
            answer = self._asked("GET", f"/keys/{self._key}")
            if not str(answer.get("type", "")).startswith("aes256"):
                raise Unreachable(f"the key {self._key!r} is of the type {answer.get('type')!r}, not aes256-gcm96")
            version = int(answer["latest_version"])
            self._version = (version, time.monotonic() + _VERSION_KEPT)
        return f"vault:{self._key}/{version}"

    def new_key_encryption_key(self) -> bytes:
        return self._wrapped(self._asked("POST", f"/datakey/wrapped/{self._key}", bits=256))

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        return AesGcmKey(self._unwrapped(wrapped))

    def rewrapped(self, wrapped: bytes) -> bytes:
        return self._wrapped(self._asked("POST", f"/rewrap/{self._key}", ciphertext=_text(wrapped)))

    def wrapped(self, key: bytes) -> bytes:
        return self._wrapped(self._asked("POST", f"/encrypt/{self._key}", plaintext=b64encode(key).decode()))

    def escrowed(self, wrapped: bytes, public_key: bytes) -> bytes:
        return encrypted(self._unwrapped(wrapped), public_key)

    def add_root(self) -> str:
        self._asked("POST", f"/keys/{self._key}/rotate")
        self._version = (0, 0.0)
        return self.root_id()

    def drop_former_roots(self) -> Sequence[str]:
        """Vault keeps old versions; `min_decryption_version` there forgets them, which is for whoever owns the key."""
        return []

    def close(self) -> None:
        self._http.close()

    def _unwrapped(self, wrapped: bytes) -> bytes:
        return b64decode(self._asked("POST", f"/decrypt/{self._key}", ciphertext=_text(wrapped))["plaintext"])

    @staticmethod
    def _wrapped(answer: dict[str, Any]) -> bytes:
        return str(answer["ciphertext"]).encode()

    def _asked(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        """One call. What Vault answers to bytes that do not open is the same 400 as to other bad requests, of which we send none."""
        try:
            answer = self._http.request(
                method, path, json=fields or None, headers={"X-Vault-Token": self._token(), "X-Vault-Request": "true"}
            )
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"Vault cannot be asked: {type(error).__name__}") from None
        if answer.status_code == httpx.codes.BAD_REQUEST and "ciphertext" in fields:
            raise Locked("Vault does not open this key-encryption key")
        if answer.is_error:
            raise Unreachable(f"Vault answers {answer.status_code} to {method} {path}")
        if answer.status_code == httpx.codes.NO_CONTENT or not answer.content:
            return {}
        data = answer.json().get("data")
        return data if isinstance(data, dict) else {}


def _text(wrapped: bytes) -> str:
    try:
        text = wrapped.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if not text.startswith("vault:v"):
        raise Locked("this was never wrapped by Vault")
    return text
