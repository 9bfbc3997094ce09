"""A server that we own in the place of Apple's: JSON by HTTP as the SDK's documentation has it. It answers SPCs of version 2, which here are bytes
of no meaning, with the request itself as the CKC, so that tests see what arrived."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support.http_server import serving

MEMBERS = {"content-key", "content-iv", "encryption-scheme", "hdcp-type", "lease-duration", "offline-hls"}
OFFLINE_MEMBERS = {"stream-id", "title-id", "rental-duration", "playback-duration"}


@dataclass
class SdkServer:
    """One server.

    Attributes:
        status: that it answers SPCs with; 0: with a CKC.
        mood: `serves`, `fails` (HTTP 500), `babbles` (no JSON) or `lies` (a CKC that is none).
        asked: what it was asked for, in order.
        wrong: what in any request is not as it is documented.
    """

    url: str = ""
    status: int = 0
    mood: str = "serves"
    asked: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        """Answers one request."""
        await asyncio.sleep(0)
        if self.mood == "fails":
            return PlainTextResponse("trouble", 500)
        if self.mood == "babbles":
            return PlainTextResponse("<ckc/>")
        (create,) = self._checked(json.loads(await request.body()))["create-ckc"]
        self.asked.append(create)
        created: dict[str, Any] = {"id": create["id"], "status": self.status}
        if not self.status:
            created["ckc"] = (
                "%" if self.mood == "lies" else base64.b64encode(b"CKC of " + base64.b64decode(create["spc"])).decode()
            )
        return JSONResponse({"fairplay-streaming-response": {"create-ckc": [created]}})

    def _checked(self, document: dict[str, Any]) -> dict[str, Any]:
        asked: dict[str, Any] = document["fairplay-streaming-request"]
        self._expect("version", asked["version"], 1)
        for create in asked["create-ckc"]:
            (asset,) = create["asset-info"]
            self._expect("members", set(asset) - MEMBERS, set())
            self._expect("offline", set(asset.get("offline-hls", {})) - OFFLINE_MEMBERS, set())
            self._expect("key", (len(asset["content-key"]), len(asset["content-iv"])), (32, 32))
            self._expect("hdcp", asset["hdcp-type"] in {-1, 0, 1}, expected=True)
        return asked

    def _expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.wrong.append(f"{what}: {found!r}, not {expected!r}")


@contextlib.asynccontextmanager
async def sdk_server() -> AsyncIterator[SdkServer]:
    """Runs one for the length of the block."""
    server = SdkServer()
    async with serving(Starlette(routes=[Route("/fps", server.answer, methods=["POST"])])) as address:
        server.url = f"{address}/fps"
        yield server
