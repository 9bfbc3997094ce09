"""A PayPal buyer's way through the service: approved on PayPal's page, taken at once, sold once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest

from services.kit.clock import FixedClock
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.payments.checkouts import store
from services.payments.checkouts.asking import Asking
from services.payments.checkouts.domain import Checkout, CheckoutState
from services.payments.processors.accounts import Accounts, Wanted
from services.payments.processors.calling import Calling
from services.payments.processors.contract import Account, Means, NoticeKind, ProcessorKind
from services.payments.processors.paypal import KIND
from services.payments.processors.paypal.adapter import PayPal
from services.payments.webhooks.receiving import Posted, Receiving
from services.payments.webhooks.store import events
from tests.payments.processors.accounts import CHECKOUT, NOW, SECRETS, SETTINGS, account, tls
from tests.payments.processors.counterparts import Counterpart, House, says
from tests.payments.processors.paypal_scribe import PayPalScribe
from tests.payments.scene import Books

ORDER = "/v2/checkout/orders/ord1"


@dataclass
class Till:
    """What takes PayPal's deliveries and asks it, with PayPal at the other end."""

    books: Books
    scribe: PayPalScribe
    paypal: Counterpart
    receiving: Receiving
    asking: Asking

    async def told(self, *kinds: str) -> list[NoticeKind]:
        """What is kept of notices about the order, by kind."""
        async with self.books.database.transaction() as tx:
            rows = await tx.execute(events.select().order_by(events.c.event_id))
            return [NoticeKind(row.kind) for row in rows]


@pytest.fixture
async def till(here: Books) -> AsyncIterator[Till]:
    """With a checkout that is open at PayPal, and not to be asked about for minutes."""
    scribe, paypal, clock = PayPalScribe(), Counterpart(), FixedClock(NOW)
    async with House.open() as house, httpx.AsyncClient(verify=tls()) as http, house.calling("paypal", paypal):
        url = f"{house.url}/0"

        def made(kept: Account, means: Means) -> PayPal:
            return PayPal(means, kept, url=url, certificates=scribe.certificates)

        kind: ProcessorKind = replace(KIND, make=made)
        accounts = Accounts(
            here.database,
            clock,
            seal=Seal(b"k" * 32, "payments"),
            means=Means(http, clock),
            kinds={"paypal": kind},
            public_url="https://video.example.com",
        )
        asking = Asking(here.database, clock, accounts, Calling(clock), lambda: None)
        receiving = Receiving(here.database, clock, accounts, lambda: None, asking)
        async with here.database.transaction() as tx:
            await accounts.set(
                tx,
                "org_1",
                Wanted(account("paypal").account_id, "paypal", SETTINGS["paypal"], SECRETS["paypal"], test_mode=True),
            )
            await store.add(tx, _open())
        yield Till(here, scribe, paypal, receiving, asking)


def _open() -> Checkout:
    return Checkout(
        checkout_id=CHECKOUT,
        organisation_id="org_1",
        request_key="key",
        viewer_id="bob",
        offer_id=new_id("off"),
        offer_version=1,
        territory="DE",
        asset_id="",
        title="A film",
        minor_units=999,
        currency="USD",
        account_id=account("paypal").account_id,
        processor="paypal",
        return_path="",
        state=CheckoutState.OPEN,
        create_time=NOW,
        expire_time=NOW + timedelta(hours=1),
        page_reference="ord1",
        ask_time=NOW + timedelta(minutes=5),
    )


async def test_what_is_approved_is_taken_at_once(till: Till) -> None:
    """PayPal tells of the approval; the order is captured, once; and the sale is told to whoever works notices, with the vaulted wallet."""
    assert not await till.asking.once()
    approved = till.scribe.event("CHECKOUT.ORDER.APPROVED", {"id": "ord1", "purchase_units": [{"custom_id": CHECKOUT}]})
    delivery = till.scribe.signed(approved, "tr-approved")
    answers = await till.receiving.received([Posted("paypal", account("paypal").account_id, delivery)] * 2)
    assert [answer.reason for answer in answers] == ["", ""]
    capture = {
        "id": "cap1",
        "status": "COMPLETED",
        "amount": {"value": "9.99", "currency_code": "USD"},
        "create_time": "2026-11-28T12:00:00Z",
    }
    taken = {
        "id": "ord1",
        "status": "COMPLETED",
        "purchase_units": [{"payments": {"captures": [capture]}}],
        "payment_source": {"paypal": {"attributes": {"vault": {"id": "vault1"}}}},
    }
    till.paypal.answers |= {
        f"GET {ORDER}": says({"id": "ord1", "status": "APPROVED"}),
        f"POST {ORDER}/capture": says(taken, 201),
    }
    assert await till.asking.once()
    assert not await till.asking.once()
    captures = [asked for asked in till.paypal.asked if asked.path.endswith("/capture")]
    assert [asked.headers["paypal-request-id"] for asked in captures] == ["capture-ord1"]
    assert await till.told() == [NoticeKind.IGNORED, NoticeKind.SALE]
    async with till.books.database.transaction() as tx:
        sale = (await tx.execute(events.select().where(events.c.kind == NoticeKind.SALE.value))).one()
    assert json.dumps(sale._asdict(), default=str).count("vault1") == 1


async def test_another_accounts_approval_is_nothing_to_this_one(till: Till) -> None:
    """Nor is one of an order that nobody knows."""
    unknown = till.scribe.event("CHECKOUT.ORDER.APPROVED", {"id": "ord2"})
    await till.receiving.received([Posted("paypal", account("paypal").account_id, till.scribe.signed(unknown, "tr"))])
    assert not await till.asking.once()
    assert not till.paypal.asked
