"""A Vault that we own: the calls of the transit engine that are used, as its documentation describes them."""

from __future__ import annotations

import json
import secrets
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class TransitDouble:
    """Keys by name, each with its versions.

    Attributes:
        away: answers 503, as a sealed Vault does.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.away = False
        self.keys: dict[str, list[AESGCM]] = {}

    def make(self, name: str) -> None:
        self.keys[name] = [AESGCM(secrets.token_bytes(32))]

    def asked(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and data of an answer."""
        if self.away:
            return 503, {"errors": ["Vault is sealed"]}
        *words, name = path.removeprefix("/v1/transit/").split("/")
        if words == ["keys", name] or name == "rotate":
            name = words[-1]
        if name not in self.keys:
            return 404, {"errors": []}
        versions = self.keys[name]
        match [method, *words]:
            case ["GET", "keys"]:
                return 200, {"data": {"type": "aes256-gcm96", "latest_version": len(versions)}}
            case ["POST", "keys", _]:
                versions.append(AESGCM(secrets.token_bytes(32)))
                return 204, {}
            case ["POST", "datakey", "wrapped"]:
                return 200, {"data": {"ciphertext": self._sealed(name, secrets.token_bytes(body["bits"] // 8))}}
            case ["POST", "encrypt"]:
                return 200, {"data": {"ciphertext": self._sealed(name, b64decode(body["plaintext"]))}}
        try:
            plain = self._opened(name, body["ciphertext"])
        except (InvalidTag, ValueError, IndexError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        if words == ["rewrap"]:
            return 200, {"data": {"ciphertext": self._sealed(name, plain)}}
        return 200, {"data": {"plaintext": b64encode(plain).decode()}}

    def _sealed(self, name: str, plain: bytes) -> str:
        nonce, versions = secrets.token_bytes(12), self.keys[name]
        return f"vault:v{len(versions)}:{b64encode(nonce + versions[-1].encrypt(nonce, plain, None)).decode()}"

    def _opened(self, name: str, text: str) -> bytes:
        _, version, rest = text.split(":")
        sealed = b64decode(rest, validate=True)
        return self.keys[name][int(version[1:]) - 1].decrypt(sealed[:12], sealed[12:], None)


@contextmanager
def running_vault() -> Iterator[TransitDouble]:
    """Serves on loopback for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            self._answer(json.loads(self.rfile.read(length) or b"{}"))

        def _answer(self, body: dict[str, Any]) -> None:
            allowed = self.headers.get("X-Vault-Token") == double.token
            status, answer = double.asked(self.command, self.path, body) if allowed else (403, {"errors": ["denied"]})
            content = json.dumps(answer).encode() if answer else b""
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    double = TransitDouble(f"http://127.0.0.1:{server.server_port}", secrets.token_urlsafe(16))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
