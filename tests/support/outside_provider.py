"""An OpenID provider of our own, on a port of this machine, that can be told to lie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.kit.clock import Clock, SystemClock

CLIENT_ID = "reelmesh-at-acme"
SECRET = "the-secret-of-reelmesh-at-acme"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@dataclass
class OutsideProvider:
    """What the provider says of whoever comes; `claims` are put over what is true, `header` over the token's. Its `clock` should be that of
    whom it says it to: one that stands still is soon too far from the time of day for a token to be good."""

    issuer: str
    subject: str = "acme-1"
    email: str = "ada@acme.example"
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    answer_error: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})

    def rotate(self) -> None:
        """Signs by another key from now on."""
        self.key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig"})

    async def discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    async def jwks(self, _request: Request) -> Response:
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def authorize(self, request: Request) -> Response:
        """The person is signed in there and says yes."""
        asked = dict(request.query_params)
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        if self.answer_error:
            back = {"error": self.answer_error, "state": asked["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            back = {"code": code, "state": asked["state"]}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

    async def token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        asked = self.codes.pop(form["code"], None)
        shown = extract_basic_authorization(request.headers)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or shown != (CLIENT_ID, SECRET) or challenge != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "email": self.email,
            "email_verified": True,
            "name": "Ada Acme",
        } | self.claims
        header = {"alg": "ES256", "kid": self.key.kid} | self.header
        if header["alg"] == "ES256":
            id_token = jwt.encode(header, claims, self.key, ["ES256"])
        else:
            id_token = self._forged(header, claims)
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": id_token})

    def _forged(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Signed by nobody, or with the public key taken for a shared secret."""
        signed = f"{_part(header)}.{_part(claims)}"
        if header["alg"] == "none":
            return f"{signed}."
        mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/jwks", self.jwks),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
            ]
        )


@contextlib.asynccontextmanager
async def running_provider() -> AsyncIterator[OutsideProvider]:
    """Runs one on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    provider = OutsideProvider(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(provider.app(), log_config=None, lifespan="off", ws="none"))
    # `serve` would take the signal handlers of the test process over.
    serving = asyncio.create_task(server._serve(sockets=[listener]))
    try:
        yield provider
    finally:
        server.should_exit = True
        await serving
        listener.close()
