"""The companies that have ages proved, as far as their interfaces are documented: each as an HTTP application that notes what it was asked."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.compliance.age.contract import Asked, Delivery, Pending
from services.compliance.age.refusals import age_check_not_found
from services.kit.ids import new_id

API_KEY, SECRET = "key-of-the-api", "secret-of-the-webhooks"


@dataclass
class Company:
    """Answers what it was told to answer, by path, and notes the requests."""

    answers: dict[str, Any]
    status: int = 200
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "POST"])])

    async def _serve(self, request: Request) -> Response:
        self.asked.append((request.url.path, dict(request.headers), (await request.body()).decode()))
        return JSONResponse(self.answers[request.url.path], self.status)


@dataclass
class Opened:
    """A check that is open, as the core knows it."""

    now: datetime
    method: str
    threshold: int = 18
    nonce: str = "n" * 43
    check_id: str = field(default_factory=lambda: new_id("agc"))
    secret: bytes = b""

    @property
    def asked(self) -> Asked:
        return Asked(
            check_id=self.check_id,
            method=self.method,
            threshold=self.threshold,
            nonce=self.nonce,
            return_url=f"https://films.example/proved/{self.check_id}",
            delivery_url="https://films.example/age/them",
            now=self.now,
            expire_time=self.now,
        )

    async def find(self, check_id: str) -> Pending:
        if check_id != self.check_id:
            raise age_check_not_found(check_id)
        asked = self.asked
        return Pending(
            check_id=check_id,
            method=self.method,
            threshold=self.threshold,
            secret=self.secret,
            delivery_url=asked.delivery_url,
            return_url=asked.return_url,
            create_time=self.now,
            expire_time=self.now,
        )

    def delivery(
        self, path: str, body: bytes = b"", *, query: str = "", method: str = "POST", **headers: str
    ) -> Delivery:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Delivery(path, method, named, query, body, self.now)


def veriff_decision(token: str, status: str = "approved", born: Any = "1990-02-28", **changes: Any) -> bytes:
    """What Veriff posts, with personal data in it."""
    person = {"firstName": "Ada", "lastName": "Lovelace", "dateOfBirth": born}
    verification = {"id": "5b6e", "code": 9001, "status": status, "vendorData": token, "person": person} | changes
    return json.dumps({"status": "success", "verification": verification}).encode()


def hex_digest(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def stripe_event(token: str, kind: str = "checkout.session.completed", **changes: Any) -> bytes:
    """What Stripe posts."""
    session = {"id": "cs_1", "setup_intent": "seti_1", "metadata": {"age_check": token}} | changes
    return json.dumps({"id": "evt_1", "type": kind, "data": {"object": session}}).encode()


def stripe_signature(body: bytes, moment: datetime, secret: str = SECRET) -> str:
    seconds = int(moment.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={'0' * 64},v1={digest},v0=ignored"
