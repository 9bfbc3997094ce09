"""Servers of ours that answer in processors' forms, and the processors that call them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.payments.processors.adyen.adapter import Adyen
from services.payments.processors.btcpay.adapter import BTCPay
from services.payments.processors.ccbill.adapter import CCBill
from services.payments.processors.coinbase.adapter import Coinbase
from services.payments.processors.contract import Processor
from services.payments.processors.epoch.adapter import Epoch
from services.payments.processors.paypal.adapter import PayPal
from services.payments.processors.segpay.adapter import Segpay
from services.payments.processors.stripe.adapter import Stripe
from tests.payments.processors.accounts import account, means, tls
from tests.support.http_server import serving

LONG = 20.0
"""Seconds for which a processor of these tests is waited for, where it is not about waiting."""


@dataclass(frozen=True)
class Asked:
    """A call as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


Answering = Callable[[Asked], Response] | Response


def says(content: Any, status: int = 200, **headers: str) -> Response:
    """An answer: JSON, or a text as it is."""
    text = content if isinstance(content, str) else json.dumps(content)
    return Response(text, status, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Counterpart:
    """A server that says what it is told to say.

    Attributes:
        answers: by method and path; PayPal's token is always there.
        asked: what it was asked, without tokens.
        hangs: whether it takes a call and says nothing, until the test is over.
    """

    answers: dict[str, Answering] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    hangs: bool = False
    everything: Answering | None = None
    tokens: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request, path: str) -> Response:
        """Says it."""
        asked = Asked(request.method, f"/{path}", request.headers, request.query_params, await request.body())
        if asked.path == "/v1/oauth2/token":
            self.tokens += 1
            return says({"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"})
        self.asked.append(asked)
        if self.hangs:
            await self.over.wait()
        answer = self.everything or self.answers.get(f"{asked.method} {asked.path}") or says("no such thing", 404)
        return answer(asked) if not isinstance(answer, Response) else answer


MAKERS: dict[str, Callable[[str, httpx.AsyncClient], Processor]] = {
    "adyen": lambda url, http: Adyen(means(http), account("adyen"), url=url),
    "btcpay": lambda url, http: BTCPay(means(http), account("btcpay", url=url)),
    "ccbill": lambda url, http: CCBill(means(http), account("ccbill"), datalink_url=url),
    "coinbase": lambda url, http: Coinbase(means(http), account("coinbase"), url=url),
    "epoch": lambda url, http: Epoch(means(http), account("epoch"), search_url=url),
    "paypal": lambda url, http: PayPal(means(http), account("paypal"), url=url),
    "segpay": lambda url, http: Segpay(means(http), account("segpay"), srs_url=url),
    "stripe": lambda url, http: Stripe(means(http), account("stripe"), url=url),
}


class House:
    """One server for all counterparts of a run, each under a number of its own: to start one for each takes longer than what they are for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.counterparts: dict[str, Counterpart] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[House]:
        """Serves until it is left."""
        house = cls("")

        async def answer(request: Request) -> Response:
            return await house.counterparts[request.path_params["number"]].answer(request, request.path_params["path"])

        app = Starlette(routes=[Route("/{number}/{path:path}", answer, methods=["GET", "POST", "DELETE", "PUT"])])
        async with serving(app) as house.url:
            yield house

    @contextlib.asynccontextmanager
    async def calling(self, name: str, counterpart: Counterpart, patience: float = LONG) -> AsyncIterator[Processor]:
        """A processor that calls a counterpart."""
        number = str(len(self.counterparts))
        self.counterparts[number] = counterpart
        async with httpx.AsyncClient(timeout=patience, verify=tls()) as http:
            try:
                yield MAKERS[name](f"{self.url}/{number}", http)
            finally:
                counterpart.over.set()


def captured(status: str, **more: Any) -> dict[str, Any]:
    capture = {
        "id": "cap1",
        "status": status,
        "amount": {"value": "9.99", "currency_code": "USD"},
        "create_time": "2026-11-28T12:00:00Z",
        **more,
    }
    return {"id": "ord1", "status": "COMPLETED", "purchase_units": [{"payments": {"captures": [capture]}}]}
