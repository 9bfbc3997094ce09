"""A shop on real stores: the payments service, the stand-in processor over HTTP, and somebody who carries its webhooks over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from google.protobuf.duration_pb2 import Duration
from reelmesh.payments.v1 import (
    checkouts_service_pb2,
    checkouts_service_pb2_grpc,
    offers_service_pb2,
    payments_pb2,
    processor_accounts_service_pb2,
    processor_accounts_service_pb2_grpc,
    sales_service_pb2,
    webhooks_service_pb2,
    webhooks_service_pb2_grpc,
)

from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.payments.checkouts.asking import Asking
from services.payments.processors.accounts import PAYMENTS_KEY_FILE, Accounts
from services.payments.processors.calling import Calling
from services.payments.processors.contract import Means
from services.payments.processors.kinds import kinds
from services.payments.processors.stand_in.signing import HEADER, signature
from services.payments.wiring import CONTRACTS, PaymentsSettings
from tests.payments.scene import Books, books, money, once
from tests.support.running import connected
from tools.stand_in_processor import keys
from tools.stand_in_processor.app import StandInProcessor
from tools.stand_in_processor.books import Books as StandInBooks

ACCOUNT = "main"
if TYPE_CHECKING:
    Checkouts = checkouts_service_pb2_grpc.CheckoutsServiceAsyncStub
    AccountsStub = processor_accounts_service_pb2_grpc.ProcessorAccountsServiceAsyncStub
    Webhooks = webhooks_service_pb2_grpc.WebhooksServiceAsyncStub
State = webhooks_service_pb2.WebhookEventState
Message = MutableMapping[str, Any]


class Line:
    """The line to the stand-in, which can be cut: in front of it, or behind it so that only the answer is lost."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self.cut = ""

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        async def swallowed(_message: Message) -> None:
            """The answer goes nowhere."""

        if self.cut == "answer":
            await self._app(scope, receive, swallowed)
        if self.cut:
            await send({"type": "http.response.start", "status": 502, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)


@dataclass
class Shop:
    """The running parts, and their callers.

    Attributes:
        books: the payments service.
        stand_in: what the stand-in knows.
        pages: its pages, as a buyer's browser sees them.
        line: between it and us.
        webhooks: as the operator.
        gateway: as the gateway, which alone hands deliveries in.
    """

    books: Books
    stand_in: StandInBooks
    pages: httpx.AsyncClient
    line: Line
    checkouts: Checkouts
    accounts: AccountsStub
    webhooks: Webhooks
    gateway: Webhooks
    secret: str
    url: str
    asking: Asking

    def page_of(self, checkout_id: str) -> str:
        """The URL of a checkout's page, which may be paid."""
        row = self.stand_in._db.execute("SELECT page FROM pages WHERE checkout_id = ?", (checkout_id,)).fetchone()
        return f"{self.url}/pay/{row['page']}"

    async def offer(self, minor_units: int = 499, currency: str = "EUR", **changes: Any) -> offers_service_pb2.Offer:
        """Offers a rental of an asset by Ada."""
        usual: dict[str, Any] = {
            "kind": offers_service_pb2.OFFER_KIND_RENTAL,
            "asset_id": new_id("ast"),
            "title": "A film",
            "prices": [offers_service_pb2.OfferPrice(price=money(minor_units, currency))],
            "rental": offers_service_pb2.RentalWindow(
                begin_within=Duration(seconds=30 * 86400), watch_duration=Duration(seconds=48 * 3600)
            ),
            "creators": [sales_service_pb2.CreatorShare(creator_id="ada", weight=1)],
        }
        wanted = offers_service_pb2.Offer(**(usual | changes))
        request = offers_service_pb2.CreateOfferRequest(request_id=once(), offer=wanted)
        return (await self.books.offers.CreateOffer(request)).offer

    def wish(self, offer_id: str, **changes: Any) -> checkouts_service_pb2.CreateCheckoutRequest:
        usual = {"request_id": once(), "offer_id": offer_id, "territory": "DE", "viewer_id": "bob"}
        return checkouts_service_pb2.CreateCheckoutRequest(**(usual | changes))

    async def open(self, offer_id: str, **changes: Any) -> checkouts_service_pb2.Checkout:
        return (await self.checkouts.CreateCheckout(self.wish(offer_id, **changes))).checkout

    async def look(self, checkout_id: str) -> checkouts_service_pb2.Checkout:
        request = checkouts_service_pb2.GetCheckoutRequest(checkout_id=checkout_id)
        return (await self.checkouts.GetCheckout(request)).checkout

    async def press(self, url: str, action: str) -> httpx.Response:
        """Presses a button of a page, as a browser does."""
        return await self.pages.post(url, data={"action": action})

    async def bought(self, **changes: Any) -> checkouts_service_pb2.Checkout:
        """Offers something, which somebody buys."""
        checkout = await self.open((await self.offer(**changes)).offer_id)
        await self.press(checkout.page.url, "approve")
        await self.carry()
        return await self.becomes(checkout.checkout_id, "PAID")

    async def becomes(self, checkout_id: str, state: str) -> checkouts_service_pb2.Checkout:
        """Waits until a checkout is so far; the test's own limit ends it."""
        wanted = checkouts_service_pb2.CheckoutState.Value(f"CHECKOUT_STATE_{state}")
        while (checkout := await self.look(checkout_id)).state != wanted:
            await asyncio.sleep(0.01)
        return checkout

    def event(self, kind: str = "sale.approved", **changes: Any) -> dict[str, Any]:
        """What the stand-in would send."""
        usual = {
            "id": f"evt_{once()}",
            "type": kind,
            "time": int(self.books.clock.now().timestamp()),
            "transaction": f"tx_{once()}",
            "original": "",
            "checkout_id": "",
            "minor_units": 499,
            "currency": "EUR",
            "payment_method": "pm_1",
            "reason": "",
        }
        return usual | changes

    def delivery(
        self, event: dict[str, Any] | bytes, *, account_id: str = ACCOUNT, **changes: Any
    ) -> webhooks_service_pb2.WebhookDelivery:
        """A delivery of it, signed now."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        usual: dict[str, Any] = {
            "processor": "stand_in",
            "processor_account_id": account_id,
            "headers": {HEADER: signature(self.secret, body, self.books.clock.now())},
            "body": body,
            "source_address": "203.0.113.7",
        }
        return webhooks_service_pb2.WebhookDelivery(**(usual | changes))

    async def send(self, *deliveries: webhooks_service_pb2.WebhookDelivery) -> list[Any]:
        """Hands deliveries in as one group; returns the answers."""
        request = webhooks_service_pb2.ReceiveWebhooksRequest(deliveries=deliveries)
        return list((await self.gateway.ReceiveWebhooks(request)).answers)

    async def tell(self, kind: str = "sale.approved", **changes: Any) -> Any:
        """Sends an event; returns the answer."""
        return (await self.send(self.delivery(self.event(kind, **changes))))[0]

    async def carry(self) -> int:
        """Carries over what the stand-in has to deliver. Returns how many webhooks that were."""
        carried = 0
        while delivery := self.stand_in.due():
            (answer,) = await self.send(self.delivery(delivery["body"].encode()))
            assert answer.status == 200, answer
            self.stand_in.delivered(delivery["id"])
            carried += 1
        return carried

    async def told(self, *states: Any) -> list[webhooks_service_pb2.WebhookEvent]:
        """What is kept of what was told, oldest first; once each of it is in one of these states, if any are named."""
        while True:
            found = (
                await self.webhooks.ListWebhookEvents(webhooks_service_pb2.ListWebhookEventsRequest(page_size=200))
            ).events
            if not states or all(event.state in states for event in found):
                return list(reversed(found))
            await asyncio.sleep(0.01)

    async def settled(self) -> list[webhooks_service_pb2.WebhookEvent]:
        """As `told`, once nothing is to be worked on any more."""
        return await self.told(
            State.WEBHOOK_EVENT_STATE_DONE, State.WEBHOOK_EVENT_STATE_DEAD, State.WEBHOOK_EVENT_STATE_PARKED
        )

    async def refund(self, checkout_id: str, amount: payments_pb2.Money | None = None, **changes: Any) -> Any:
        usual = {"request_id": once(), "checkout_id": checkout_id, "amount": amount}
        return (
            await self.checkouts.RefundCheckout(checkouts_service_pb2.RefundCheckoutRequest(**(usual | changes)))
        ).refund

    async def set_account(self, account_id: str = ACCOUNT, **changes: Any) -> Any:
        """Sets the account with the stand-in."""
        secrets = changes.pop(
            "secrets", {"api_key": keys.api_key(self.books.settings.secrets_dir), "webhook_secret": self.secret}
        )
        usual: dict[str, Any] = {"processor_account_id": account_id, "processor": "stand_in"}
        account = processor_accounts_service_pb2.ProcessorAccount(**(usual | changes))
        request = processor_accounts_service_pb2.SetProcessorAccountRequest(account=account, secrets=secrets)
        return (await self.accounts.SetProcessorAccount(request)).account


@contextlib.asynccontextmanager
async def served(app: Callable[..., Awaitable[None]], listener: socket.socket) -> AsyncIterator[None]:
    """Serves an ASGI application over plain HTTP."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))  # type: ignore[arg-type]
    serving = asyncio.create_task(server._serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def asking_of(running: Books, settings: PaymentsSettings, http: httpx.AsyncClient) -> Asking:
    """What asks processors, as a second replica has it, so that a test need not wait for the first one's turn."""
    accounts = Accounts(
        running.database,
        running.clock,
        seal=Seal(settings.secret(PAYMENTS_KEY_FILE), "payments"),
        means=Means(http, running.clock),
        kinds=kinds(settings.payments_stand_in_url),
        public_url=settings.public_url,
    )
    return Asking(running.database, running.clock, accounts, Calling(running.clock), lambda: None)


@contextlib.asynccontextmanager
async def a_shop(settings: ProcessSettings, folder: Path) -> AsyncIterator[Shop]:
    """Runs everything for the length of the block, with split rules and an account with the stand-in."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    secret = keys.webhook_secret(settings.secrets_dir)
    stand_in = StandInBooks(folder / "stand-in.sqlite")
    api_key = keys.api_key(settings.secrets_dir)
    line = Line(StandInProcessor(stand_in, url=url, api_key=api_key, webhook_secret=secret).app)
    ours = PaymentsSettings(**settings.model_dump(), payments_stand_in_url=url)
    async with (
        served(line, listener),
        books(ours) as running,
        connected(settings, "payments", *CONTRACTS) as operator,
        connected(settings, "payments", *CONTRACTS, key="", caller="webhooks") as gateway,
        httpx.AsyncClient(trust_env=False) as pages,
    ):
        await running.divide_by()
        shop = Shop(
            running,
            stand_in,
            pages,
            line,
            checkouts_service_pb2_grpc.CheckoutsServiceStub(operator),
            processor_accounts_service_pb2_grpc.ProcessorAccountsServiceStub(operator),
            webhooks_service_pb2_grpc.WebhooksServiceStub(operator),
            webhooks_service_pb2_grpc.WebhooksServiceStub(gateway),
            secret,
            url,
            asking_of(running, ours, pages),
        )
        await shop.set_account()
        yield shop
    stand_in.close()
