"""The stand-in over HTTP: an API for the platform, pages for viewers."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.compliance.age.signing import signature
from services.compliance.age.stand_in import HEADER
from tools.stand_in_age_provider import pages

log = structlog.stdlib.get_logger()

_RESULTS: Final = frozenset({"over", "under", "unsure"})
_ASKED: Final = {"token": str, "method": str, "threshold": int, "return_url": str, "notify_url": str}


class StandInAgeProvider:
    """The stand-in.

    Args:
        http: delivers its webhooks.
        url: where people reach it.
        api_key: opens its API, and signs addresses of pages.
        webhook_secret: signs its webhooks.
    """

    def __init__(self, http: httpx.AsyncClient, *, url: str, api_key: str, webhook_secret: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._secret = webhook_secret
        self.app = Starlette(
            routes=[
                Route("/v1/checks", self._begin, methods=["POST"]),
                Route("/check/{page}", self._shown, methods=["GET"]),
                Route("/check/{page}", self._acted, methods=["POST"]),
            ]
        )

    async def _begin(self, request: Request) -> Response:
        shown = request.headers.get("authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {self._api_key}".encode()):
            return JSONResponse({"reason": "the API key is not good"}, 401)
        try:
            asked = await request.json()
            wanted = {name: kind(asked[name]) for name, kind in _ASKED.items()}
        except (KeyError, ValueError, TypeError):
            return JSONResponse({"reason": "the request makes no sense"}, 400)
        return JSONResponse({"url": f"{self._url}/check/{self._page(wanted)}"})

    async def _shown(self, request: Request) -> Response:
        asked = self._asked(request.path_params["page"])
        return _html(pages.missing(), 404) if asked is None else _html(pages.question(asked))

    async def _acted(self, request: Request) -> Response:
        asked = self._asked(request.path_params["page"])
        async with request.form(max_files=0, max_fields=4) as form:
            result = str(form.get("result"))
        if asked is None or result not in _RESULTS:
            return _html(pages.missing(), 404)
        if not await self._told(asked, result):
            return _html(pages.question(asked, troubled=True), 502)
        return RedirectResponse(asked["return_url"], 303)

    async def _told(self, asked: Mapping[str, Any], result: str) -> bool:
        said = {name: asked[name] for name in ("token", "method", "threshold")} | {"result": result}
        body = json.dumps(said).encode()
        headers = {HEADER: signature(self._secret, body, datetime.now(UTC)), "content-type": "application/json"}
        try:
            response = await self._http.post(asked["notify_url"], content=body, headers=headers)
        except httpx.HTTPError as error:
            log.info("a webhook could not be delivered", trouble=type(error).__name__)
            return False
        return response.is_success

    def _page(self, asked: Mapping[str, Any]) -> str:
        written = base64.urlsafe_b64encode(json.dumps(asked).encode()).decode().rstrip("=")
        return f"{written}.{self._mark(written)}"

    def _asked(self, page: str) -> Mapping[str, Any] | None:
        written, _, mark = page.partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark(written).encode()):
            return None
        found: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(written + "=" * (-len(written) % 4)))
        return found

    def _mark(self, written: str) -> str:
        return hmac.digest(self._api_key.encode(), b"page " + written.encode(), "sha256").hex()


def _html(page: str, status: int = 200) -> Response:
    headers = {"content-security-policy": pages.POLICY, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return HTMLResponse(page, status, headers)
