"""Licence servers that we own, in the place of Google's and of an operator's PlayReady server. They check every request against what is
documented, license to the players of `widevine_device` and `playready_device`, and fail when told to.

`python -m tests.support.licence_servers --secrets FOLDER` runs both for an install that is to be tried out: it makes the secrets that are missing
in the folder, and prints the settings that name it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import uvicorn
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey
from lxml import etree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support import playready_device, widevine_device
from tests.support.http_server import serving

Mood = Literal[
    "serves",
    "fails",
    "busy",
    "says when",
    "hangs",
    "drips",
    "floods",
    "squeezes",
    "babbles",
    "hangs up",
    "lies",
    "empty",
    "moved",
]
PROVIDER = "acme"
RETRY_AFTER = 7
FACTS = {"widevine": "/cenc/getlicense", "playready": "/rightsmanager.asmx"}


@dataclass
class Servers:
    """Both servers.

    Attributes:
        mood: what they do with the next requests.
        moods: what they do with the very next requests, one each, before `mood` counts.
        orders: messages that Widevine's took, and claims that PlayReady's did.
        bodies: of all requests, as they came.
        wrong: what in any request is not as it is documented.
        asked: how many requests came.
        elsewhere: how many came to an address that nobody named.
        at_end: what is to be closed before they are.
    """

    url: str = ""
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    signing_iv: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    stating_key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    mood: Mood = "serves"
    moods: list[Mood] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    asked: int = 0
    elsewhere: int = 0
    at_end: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def expect(self, what: str, found: object, expected: object) -> None:
        """Notes what is not as it should be."""
        if found != expected:
            self.wrong.append(f"{what}: {found!r}, not {expected!r}")

    @property
    def licensed(self) -> list[dict[str, Any]]:
        """Orders of licences."""
        return [order for order in self.orders if not order.get("parse_only") and not order.get("inspect")]

    def secrets_into(self, folder: Path) -> None:
        """Puts the secrets where the service reads them."""
        for name, content in (
            ("widevine_signing_key", self.signing_key.hex().encode() + b"\n"),
            ("widevine_signing_iv", self.signing_iv.hex().encode() + b"\n"),
            ("playready_secret", self.secret),
            ("playready_signing_key.pem", self.stating_key.as_pem(private=True)),
        ):
            (folder / name).touch(0o600)
            (folder / name).write_bytes(content)

    def take_secrets_from(self, folder: Path) -> None:
        """Goes on with the secrets of an earlier run, if there was one."""
        if (folder / "playready_secret").exists():
            self.signing_key = bytes.fromhex((folder / "widevine_signing_key").read_text())
            self.signing_iv = bytes.fromhex((folder / "widevine_signing_iv").read_text())
            self.secret = (folder / "playready_secret").read_bytes()
            self.stating_key = ECKey.import_key((folder / "playready_signing_key.pem").read_bytes())

    def settings(self) -> dict[str, str]:
        """Settings that name the servers."""
        return {
            "drm_widevine_url": self.url + FACTS["widevine"],
            "drm_widevine_provider": PROVIDER,
            "drm_playready_url": self.url + FACTS["playready"],
        }

    # What goes wrong, whichever is asked.

    async def _mishap(self, mood: Mood) -> Response | None:
        match mood:
            case "fails":
                return Response("<html>oops, at line 1 of /srv/secret.cs</html>", 500)
            case "busy":
                return Response(status_code=503)
            case "says when":
                return Response(status_code=429, headers={"retry-after": str(RETRY_AFTER)})
            case "hangs":
                await asyncio.sleep(30)
            case "drips":
                return StreamingResponse(_dripping())
            case "floods":
                return StreamingResponse(_flooding())
            case "squeezes":
                return Response(gzip.compress(bytes(50_000_000)), headers={"content-encoding": "gzip"})
            case "babbles":
                return Response("<html>this is a login page</html>")
            case "hangs up":
                return StreamingResponse(_hanging_up(), headers={"content-length": "1000"})
            case "moved":
                return Response(status_code=307, headers={"location": self.url + "/elsewhere"})
        return None

    async def _taken(self, request: Request) -> tuple[Mood, Response | None]:
        self.asked += 1
        self.bodies.append(await request.body())
        mood = self.moods.pop(0) if self.moods else self.mood
        return mood, await self._mishap(mood)

    # Widevine.

    async def widevine(self, request: Request) -> Response:
        mood, mishap = await self._taken(request)
        if mishap is not None:
            return mishap
        self.expect("content type", request.headers["content-type"], "application/json")
        self.expect("provider", request.path_params["provider"], PROVIDER)
        envelope = json.loads(self.bodies[-1])
        self.expect("fields", set(envelope), {"request", "signature", "signer"})
        self.expect("signer", envelope["signer"], PROVIDER)
        message = base64.b64decode(envelope["request"], validate=True)
        if not self._signed(message, base64.b64decode(envelope["signature"], validate=True)):
            return JSONResponse({"status": "SIGNATURE_FAILED", "status_message": f"key {self.signing_key.hex()}"})
        order = json.loads(message)
        self.orders.append(order)
        payload = base64.b64decode(order["payload"], validate=True)
        if payload == widevine_device.CERTIFICATE_REQUEST:
            self.expect("order of a certificate", set(order), {"payload"})
            certificate = widevine_device.signed(5, b"certificate of " + PROVIDER.encode())
            return JSONResponse({"status": "OK", "license": base64.b64encode(certificate).decode()})
        self.expect("provider", order["provider"], PROVIDER)
        return JSONResponse(self._widevine_licence(payload, order, mood))

    def _signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature opens to the digest, filled up in either way."""
        decryptor = Cipher(algorithms.AES(self.signing_key), modes.CBC(self.signing_iv)).decryptor()
        if len(signature) != 32:
            return False
        opened = decryptor.update(signature) + decryptor.finalize()
        return opened[:20] == hashlib.sha1(message).digest() and opened[20:] in {bytes(12), bytes([12]) * 12}

    def _widevine_licence(self, payload: bytes, order: dict[str, Any], mood: Mood) -> dict[str, Any]:
        about = payload[payload.index(b'{"level"') : payload.index(b"}") + 1]
        device = json.loads(about)
        if device["state"] != "OK":
            return {"status": device["state"], "status_message": "device 1234 of build farm 7"}
        answer = {
            "status": "OK",
            "security_level": 3 if mood == "lies" and not order.get("parse_only") else device["level"],
            "client_max_hdcp_version": device["hdcp"],
            "make": "Reelmesh",
            "model": "Stand-in",
            "session_state": {"signing_key": "c2Vzc2lvbiBzaWduaW5nIGtleQ=="},
        }
        if order.get("parse_only"):
            self.expect("order of an inspection", set(order), {"payload", "provider", "parse_only"})
            return answer
        keys = {}
        for spec in order.get("content_key_specs", []):
            self.expect(
                "key spec",
                set(spec),
                {"track_type", "key_id", "key", "security_level", "required_output_protection"},
            )
            keys[base64.b64decode(spec["key_id"]).hex()] = base64.b64decode(spec["key"]).hex()
        content = {"keys": keys, "policy": order.get("policy_overrides", {})}
        licence = b"" if mood == "empty" else widevine_device.licence_for(about, content)
        return {**answer, "license": base64.b64encode(licence).decode()}

    # PlayReady.

    async def playready(self, request: Request) -> Response:
        mood, mishap = await self._taken(request)
        if mishap is not None:
            return mishap
        body = self.bodies[-1]
        self.expect("content type", request.headers["content-type"], "text/xml; charset=utf-8")
        action = '"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"'
        self.expect("action", request.headers["soapaction"], action)
        claims = self._stated(request.headers["x-reelmesh-licence-statement"], body)
        if claims is None:
            return Response("who are you", 403)
        self.orders.append(claims)
        device = playready_device.about(body)
        if device["state"] != "OK":
            return Response(_fault(device["state"]), 500, media_type="text/xml")
        lied = mood == "lies" and not claims.get("inspect")
        level = {"x-reelmesh-security-level": "2000" if lied else str(device["level"])}
        if claims.get("inspect"):
            return Response(status_code=204, headers=level)
        named = {key["key_id"] for key in claims["keys"]}
        self.expect("keys that the challenge asks for", named - _asked_for(body), set())
        licences = [
            {
                "key_id": uuid.UUID(key["key_id"]).hex,
                "key": base64.urlsafe_b64decode(key["key"] + "==").hex(),
                "licence": claims["licence"],
                "restrictions": claims["restrictions"][key["label"]],
            }
            for key in claims["keys"]
        ]
        answer = playready_device.answer(base64.b64decode(device["secret"]), [] if mood == "empty" else licences)
        return Response(answer, headers=level, media_type="text/xml")

    def _stated(self, token: str, body: bytes) -> dict[str, Any] | None:
        """The claims of a statement; None when it is not good."""
        try:
            opened = jwe.decrypt_compact(token, OctKey.import_key(self.secret), algorithms=["dir", "A128CBC-HS256"])
            assert opened.plaintext is not None
            signed = jws.deserialize_compact(opened.plaintext, self.stating_key, algorithms=["ES256"])
        except Exception:  # whatever does not open was not made for this server
            return None
        claims: dict[str, Any] = json.loads(signed.payload)
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
        good = claims["iss"] == "reelmesh" and claims["aud"] == self.url + FACTS["playready"]
        return claims if good and claims["challenge_sha256"] == digest and claims["exp"] - claims["iat"] == 60 else None

    async def _elsewhere(self, request: Request) -> Response:
        self.elsewhere += 1
        return Response()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route(FACTS["widevine"] + "/{provider}", self.widevine, methods=["POST"]),
                Route(FACTS["playready"], self.playready, methods=["POST"]),
                Route("/elsewhere", self._elsewhere, methods=["POST"]),
            ]
        )


def _asked_for(challenge: bytes) -> set[str]:
    """Key ids of a challenge."""
    found = etree.fromstring(challenge).iter(f"{{{playready_device.HEADER}}}KID")
    return {str(uuid.UUID(bytes_le=base64.b64decode(kid.get("VALUE") or kid.text or ""))) for kid in found}


def _fault(code: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        "<soap:Fault><faultcode>soap:Server</faultcode><faultstring>System.Web.Services.Protocols.SoapException: no, at line 12 of "
        "/srv/secret.cs</faultstring><faultactor>http://10.0.0.7/internal</faultactor><detail><Exception>"
        f"<StatusCode>{code}</StatusCode></Exception></detail></soap:Fault></soap:Body></soap:Envelope>"
    )


async def _dripping() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def _flooding() -> AsyncIterator[bytes]:
    for _ in range(100):
        yield b"x" * 65536
        await asyncio.sleep(0)


async def _hanging_up() -> AsyncIterator[bytes]:
    yield b'{"status":'
    raise ConnectionResetError


@contextlib.asynccontextmanager
async def licence_servers() -> AsyncIterator[Servers]:
    """Runs both on a free port."""
    servers = Servers()
    async with serving(servers.app()) as servers.url:
        try:
            yield servers
        finally:
            for close in servers.at_end:
                await close()


def main() -> None:
    """Runs both until told to stop."""
    parser = argparse.ArgumentParser(
        description="Licence servers of Reelmesh's own, to try out Widevine and PlayReady."
    )
    parser.add_argument("--port", type=int, default=8191)
    parser.add_argument("--secrets", type=Path, required=True, help="`secrets` of the install's data folder")
    options = parser.parse_args()
    servers = Servers(url=f"http://127.0.0.1:{options.port}")
    servers.take_secrets_from(options.secrets)
    servers.secrets_into(options.secrets)
    for name, value in servers.settings().items():
        print(f"export REELMESH_{name.upper()}={value}", flush=True)
    uvicorn.run(servers.app(), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
