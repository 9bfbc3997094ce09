"""The stand-in over HTTP: an API for the merchant, pages for buyers."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import httpx
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.payments.processors.stand_in.signing import HEADER, signature
from tools.stand_in_processor import pages
from tools.stand_in_processor.books import Books, Declined

log = structlog.stdlib.get_logger()

_PATIENCE: Final = 5.0
_IDLE: Final = 0.25
_STATES: Final = {True: "PAID", False: "REFUNDED"}


class StandInProcessor:
    """The stand-in.

    Args:
        url: where people reach it.
        api_key: opens its API.
        webhook_secret: signs its webhooks.
    """

    def __init__(self, books: Books, *, url: str, api_key: str, webhook_secret: str) -> None:
        self._books = books
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._secret = webhook_secret
        self._news = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/pages", self._api(self._open_page), methods=["POST"]),
                Route("/v1/charges", self._api(self._charge), methods=["POST"]),
                Route("/v1/transactions/{id}", self._api(self._transaction), methods=["GET"]),
                Route("/v1/transactions/{id}/refunds", self._api(self._refund), methods=["POST"]),
                Route("/v1/reports/{day}", self._api(self._report), methods=["GET"]),
                Route("/pay/{page}", self._shown, methods=["GET"]),
                Route("/pay/{page}", self._acted, methods=["POST"]),
            ]
        )

    def _api(self, serve: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def served(request: Request) -> Response:
            shown = request.headers.get("authorization", "")
            if not hmac.compare_digest(shown.encode(), f"Bearer {self._api_key}".encode()):
                return JSONResponse({"reason": "the API key is not good"}, 401)
            try:
                return await serve(request)
            except Declined as declined:
                return JSONResponse({"reason": str(declined), "retryable": declined.retryable}, 402)
            except (KeyError, ValueError, TypeError) as error:
                return JSONResponse({"reason": f"the request makes no sense: {type(error).__name__}"}, 400)

        return served

    async def _open_page(self, request: Request) -> Response:
        page = self._books.open_page(await request.json())
        return JSONResponse({"page": page, "url": f"{self._url}/pay/{page}"})

    async def _charge(self, request: Request) -> Response:
        reference = self._books.charge(await request.json(), request.headers["idempotency-key"])
        self._news.set()
        return JSONResponse({"transaction": reference})

    async def _refund(self, request: Request) -> Response:
        asked = await request.json()
        key = request.headers["idempotency-key"]
        reference = self._books.refund(request.path_params["id"], int(asked["minor_units"]), key)
        self._news.set()
        return JSONResponse({"transaction": reference})

    async def _transaction(self, request: Request) -> Response:
        reference = request.path_params["id"]
        found = self._books.transaction(reference)
        if found is None:
            page = self._books.page(reference)
            if page is None:
                return JSONResponse({"reason": "there is none"}, 404)
            return JSONResponse(
                _standing({**page, "id": "", "time": 0, "refunded": 0, "payment_method": ""}, "PENDING")
            )
        return JSONResponse(_standing(found, _STATES[not found["refunded"]]))

    async def _report(self, request: Request) -> Response:
        day = date.fromisoformat(request.path_params["day"])
        made = self._books.report(day, request.query_params.get("notify_url", ""))
        return JSONResponse({"date": day.isoformat(), "transactions": made})

    async def _shown(self, request: Request) -> Response:
        return self._page(request.path_params["page"])

    async def _acted(self, request: Request) -> Response:
        name = request.path_params["page"]
        page = self._books.page(name)
        async with request.form(max_files=0, max_fields=4) as form:
            action = form.get("action")
        if page is None:
            return self._page(name)
        match action:
            case "approve":
                self._books.approve(name)
                self._news.set()
                return RedirectResponse(page["return_url"], 303)
            case "decline":
                self._books.decline(name)
                self._news.set()
                return self._page(name, declined=True)
            case "refund" | "chargeback":
                if sale := self._books.sale_of(name):
                    self._books.refund(sale["id"], None, f"page/{name}/back", str(action))
                    self._news.set()
        return RedirectResponse(f"{self._url}/pay/{name}", 303)

    def _page(self, name: str, *, declined: bool = False) -> Response:
        headers = {
            "content-security-policy": pages.POLICY,
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
        }
        page = self._books.page(name)
        if page is None:
            return HTMLResponse(pages.missing(), 404, headers)
        if page["state"] != "paid":
            return HTMLResponse(pages.payment(page, declined=declined), 200, headers)
        sale = self._books.transaction(name)
        assert sale is not None
        return HTMLResponse(pages.receipt(page, sale), 200, headers)

    async def deliver(self) -> None:
        """Delivers webhooks until cancelled: each until it is acknowledged, at ever longer intervals."""
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as http:
            while True:
                self._news.clear()
                while delivery := self._books.due():
                    if await self._acknowledged(http, delivery["url"], delivery["body"].encode()):
                        self._books.delivered(delivery["id"])
                    else:
                        self._books.undelivered(delivery)
                try:
                    async with asyncio.timeout(_IDLE):
                        await self._news.wait()
                except TimeoutError:
                    pass

    async def _acknowledged(self, http: httpx.AsyncClient, url: str, body: bytes) -> bool:
        headers = {HEADER: signature(self._secret, body, datetime.now(UTC)), "content-type": "application/json"}
        try:
            response = await http.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            log.info("a webhook could not be delivered", trouble=type(error).__name__)
            return False
        if not response.is_success:
            log.info("a webhook was not taken", status=response.status_code)
        return response.is_success


def _standing(about: Mapping[str, Any], state: str) -> dict[str, object]:
    return {
        "state": state,
        "transaction": about["id"],
        "minor_units": about["minor_units"],
        "currency": about["currency"],
        "refunded": about["refunded"],
        "time": about["time"],
        "payment_method": about["payment_method"],
    }
