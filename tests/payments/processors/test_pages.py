"""Pages that buyers pay on, and what becomes of them when it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from services.kit.errors import Refusal
from services.payments.processors.contract import (
    Amount,
    Checkout,
    Recurrence,
    Standing,
    State,
    Unreachable,
)
from tests.payments.processors.accounts import CHECKOUT, processor
from tests.payments.processors.counterparts import Counterpart, House, captured, says

USD = Amount(999, "USD")


PAYPAL_ORDERS = "/v2/checkout/orders"


CHECK_OUT = Checkout(
    CHECKOUT,
    USD,
    "A film",
    "https://video.example.com/back",
    "https://video.example.com/no",
    "https://video.example.com/webhooks",
)
PAGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "stripe": (
        "POST /v1/checkout/sessions",
        {"id": "cs_1", "object": "checkout.session", "url": "https://checkout.stripe.com/c/pay/cs_1"},
        "cs_1",
    ),
    "adyen": ("POST /paymentLinks", {"id": "PL1", "url": "https://test.adyen.link/PL1"}, "PL1"),
    "paypal": (
        f"POST {PAYPAL_ORDERS}",
        {
            "id": "ord1",
            "links": [{"rel": "payer-action", "href": "https://www.sandbox.paypal.com/checkoutnow?token=ord1"}],
        },
        "ord1",
    ),
    "btcpay": (
        "POST /api/v1/stores/s/invoices",
        {"id": "inv1", "checkoutLink": "https://btcpay.example.com/i/inv1"},
        "inv1",
    ),
    "coinbase": (
        "POST /charges",
        {"data": {"code": "AB12", "hosted_url": "https://commerce.coinbase.com/charges/AB12"}},
        "AB12",
    ),
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_opened(house: House, name: str) -> None:
    """At the processor, with our checkout in what it is asked."""
    asked, answer, reference = PAGES[name]
    counterpart = Counterpart({asked: says(answer), "GET /api/v1/stores/s/invoices": says([])})
    async with house.calling(name, counterpart) as processor:
        opened = await processor.open_checkout(replace(CHECK_OUT, expire_time=datetime(2026, 11, 28, 13, tzinfo=UTC)))
    assert opened.reference == reference
    assert opened.url.startswith("https://")
    assert CHECKOUT in counterpart.asked[-1].body.decode()


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_that_is_not_to_be_had(house: House, name: str) -> None:
    """Refused by the processor; away; answering nonsense; naming a page that is none."""
    counterpart = Counterpart({"GET /api/v1/stores/s/invoices": says([])})
    asked, answer, _ = PAGES[name]
    async with house.calling(name, counterpart) as processor:
        counterpart.answers[asked] = says(
            {"error": {"type": "invalid_request_error", "code": "amount_too_small", "message": "no"}}, 400
        )
        with pytest.raises(Refusal, match="PROCESSOR_REFUSED"):
            await processor.open_checkout(CHECK_OUT)
        evil = str(answer).replace("https://", "javascript://")
        for nonsense in (
            says("sorry", 500),
            says("{}"),
            says(evil.replace("'", '"')),
            says(dict.fromkeys(answer, "ftp://x")),
        ):
            counterpart.answers[asked] = nonsense
            with pytest.raises(Unreachable):
                await processor.open_checkout(CHECK_OUT)


async def test_a_page_at_stripe_that_keeps_the_payment_method(house: House) -> None:
    """And one of a trial, which takes nothing."""
    counterpart = Counterpart({PAGES["stripe"][0]: says(PAGES["stripe"][1])})
    async with house.calling("stripe", counterpart) as processor:
        await processor.open_checkout(replace(CHECK_OUT, keep_payment_method=True))
        await processor.open_checkout(replace(CHECK_OUT, amount=Amount(0, "USD"), keep_payment_method=True))
    paid, trial = (asked.form for asked in counterpart.asked)
    assert paid["payment_intent_data[setup_future_usage]"] == "off_session"
    assert paid["payment_intent_data[metadata][checkout_id]"] == CHECKOUT
    assert (paid["line_items[0][price_data][unit_amount]"], paid["line_items[0][price_data][currency]"]) == (
        "999",
        "usd",
    )
    assert (trial["mode"], trial["setup_intent_data[metadata][checkout_id]"]) == ("setup", CHECKOUT)
    assert counterpart.asked[0].headers["idempotency-key"] == CHECKOUT


async def test_one_invoice_for_one_checkout_at_btcpay(house: House) -> None:
    """The one that can still be paid is given again."""
    there = [
        {
            "id": "inv9",
            "status": "New",
            "metadata": {"orderId": CHECKOUT},
            "checkoutLink": "https://btcpay.example.com/i/inv9",
        }
    ]
    counterpart = Counterpart({"GET /api/v1/stores/s/invoices": says(there)})
    async with house.calling("btcpay", counterpart) as processor:
        assert (await processor.open_checkout(CHECK_OUT)).reference == "inv9"
    assert [asked.method for asked in counterpart.asked] == ["GET"]


async def test_crypto_currency_is_for_single_payments() -> None:
    """Nobody renews it."""
    for name in ("btcpay", "coinbase"):
        with pytest.raises(Refusal, match="PROCESSOR_REFUSED"):
            await processor(name).open_checkout(replace(CHECK_OUT, keep_payment_method=True))


RECURRING = replace(
    CHECK_OUT, amount=Amount(199, "USD"), recurrence=Recurrence(USD, period_days=30, first_period_days=3)
)


async def test_ccbills_form() -> None:
    """A published price and its digest; a subscription; a currency that CCBill has not."""
    ccbill = processor("ccbill")
    url = httpx.URL((await ccbill.open_checkout(replace(CHECK_OUT, amount=Amount(1000, "USD")))).url)
    assert url.host == "api.ccbill.com"
    assert url.params["initialPrice"] == "10.00"
    assert url.params["formDigest"] == "a7459445d0e5dc0963fe736dc5cf900b"
    assert url.params["X-checkout"] == CHECKOUT
    recurring = httpx.URL((await ccbill.open_checkout(RECURRING)).url).params
    assert [
        recurring[name] for name in ("initialPrice", "initialPeriod", "recurringPrice", "recurringPeriod", "numRebills")
    ] == ["1.99", "3", "9.99", "30", "99"]
    assert (
        httpx.URL((await ccbill.open_checkout(replace(CHECK_OUT, amount=Amount(500, "JPY")))).url).params[
            "initialPrice"
        ]
        == "500.00"
    )
    with pytest.raises(Refusal, match="PROCESSOR_REFUSED"):
        await ccbill.open_checkout(replace(CHECK_OUT, amount=Amount(1000, "CHF")))


@pytest.mark.parametrize(
    "answer",
    [
        '{"dynamicPricingId": "gX35hP2NARVWRDtv95vWWymKqcY="}',
        '"gX35hP2NARVWRDtv95vWWymKqcY="',
        '<string xmlns="x">gX35hP2NARVWRDtv95vWWymKqcY=</string>',
    ],
)
async def test_segpays_page(house: House, answer: str) -> None:
    """A single price by an id that Segpay gives, a subscription by its e-ticket; no e-ticket, no page."""
    counterpart = Counterpart({"GET /MerchantServices/DynamicPricing/": says(answer)})
    async with house.calling("segpay", counterpart) as segpay:
        single = httpx.URL((await segpay.open_checkout(CHECK_OUT)).url).params
        recurring = httpx.URL((await segpay.open_checkout(RECURRING)).url).params
        with pytest.raises(Refusal, match="PROCESSOR_REFUSED"):
            await segpay.open_checkout(replace(RECURRING, amount=Amount(200, "USD")))
        counterpart.everything = says("<html>Login</html>")
        with pytest.raises(Unreachable):
            await segpay.open_checkout(CHECK_OUT)
    assert (single["x-eticketid"], single["amount"], single["dynamicpricingid"]) == (
        "199225:26943",
        "9.99",
        "gX35hP2NARVWRDtv95vWWymKqcY=",
    )
    assert (recurring["x-eticketid"], recurring["merchantpartnerid"]) == ("199225:26944", CHECKOUT)
    assert counterpart.asked[0].headers["authorization"].startswith("Basic ")


async def test_epochs_page() -> None:
    """By product code, with the digest of all of it."""
    epoch = processor("epoch")
    url = httpx.URL((await epoch.open_checkout(CHECK_OUT)).url)
    assert (url.params["pi_code"], url.params["x_checkout"]) == ("abc1p1", CHECKOUT)
    assert len(url.params["epoch_digest"]) == 32
    assert httpx.URL((await epoch.open_checkout(RECURRING)).url).params["pi_code"] == "abc1p2"
    with pytest.raises(Refusal, match="PROCESSOR_REFUSED"):
        await epoch.open_checkout(replace(CHECK_OUT, amount=Amount(1, "USD")))


PAID = datetime(2026, 11, 28, 12, tzinfo=UTC)


def intent(**changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount_received": 999, "currency": "usd", "created": int(PAID.timestamp()),
        "customer": "cus_1", "payment_method": "pm_1", "latest_charge": {"id": "ch_1", "object": "charge", "amount_refunded": 0, "currency": "usd", "disputed": False},
        **changes,
    }  # fmt: skip


QUERIES: dict[str, tuple[str, str, dict[str, Response], Standing]] = {
    "stripe session": ("stripe", "cs_1", {"GET /v1/checkout/sessions/cs_1": says({"id": "cs_1", "object": "checkout.session", "status": "complete", "payment_intent": "pi_1"}), "GET /v1/payment_intents/pi_1": says(intent())}, Standing(State.PAID, "pi_1", USD, 0, PAID, "cus_1:pm_1")),
    "stripe refunded": ("stripe", "pi_1", {"GET /v1/payment_intents/pi_1": says(intent(latest_charge={"id": "ch_1", "object": "charge", "amount_refunded": 500, "currency": "usd", "disputed": False}))}, Standing(State.REFUNDED, "pi_1", USD, 500, PAID, "cus_1:pm_1")),
    "stripe absent": ("stripe", "pi_1", {"GET /v1/payment_intents/pi_1": says({"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "no"}}, 404)}, Standing(State.ABSENT)),
    "paypal absent": ("paypal", "ord1", {}, Standing(State.ABSENT)),
    "paypal waiting": ("paypal", "ord1", {f"GET {PAYPAL_ORDERS}/ord1": says({"id": "ord1", "status": "PAYER_ACTION_REQUIRED"})}, Standing(State.PENDING, "ord1")),
    "paypal refunded in part": ("paypal", "cap1", {
        "GET /v2/payments/captures/cap1": says({"id": "cap1", "status": "PARTIALLY_REFUNDED", "amount": {"value": "9.99", "currency_code": "USD"}, "create_time": "2026-11-28T12:00:00Z", "supplementary_data": {"related_ids": {"order_id": "ord1"}}}),
        f"GET {PAYPAL_ORDERS}/ord1": says({"purchase_units": [{"payments": {"refunds": [
            {"status": "COMPLETED", "amount": {"value": "4.00", "currency_code": "USD"}, "links": [{"rel": "up", "href": "https://x/captures/cap1"}]},
            {"status": "COMPLETED", "amount": {"value": "1.00", "currency_code": "USD"}, "links": [{"rel": "up", "href": "https://x/captures/other"}]},
        ]}}]}),
    }, Standing(State.REFUNDED, "cap1", USD, 400, PAID)),
    "btcpay": ("btcpay", "inv1", {"GET /api/v1/stores/s/invoices/inv1": says({"id": "inv1", "status": "Settled", "amount": "9.99", "currency": "USD", "createdTime": int(PAID.timestamp())})}, Standing(State.PAID, "inv1", USD, 0, PAID)),
    "coinbase": ("coinbase", "AB12", {"GET /charges/AB12": says({"data": {"code": "AB12", "timeline": [{"status": "NEW", "time": "2026-11-28T11:00:00Z"}, {"status": "COMPLETED", "time": "2026-11-28T12:00:00Z"}], "pricing": {"local": {"amount": "9.99", "currency": "USD"}}}})}, Standing(State.PAID, "AB12", USD, 0, PAID)),
    "adyen": ("adyen", "PL1", {"GET /paymentLinks/PL1": says({"id": "PL1", "status": "expired", "amount": {"value": 999, "currency": "USD"}})}, Standing(State.FAILED, "PL1", USD)),
    "adyen paid": ("adyen", "PL1", {"GET /paymentLinks/PL1": says({"id": "PL1", "status": "completed", "amount": {"value": 999, "currency": "USD"}})}, Standing(State.PENDING, "PL1", USD)),
    "ccbill": ("ccbill", "1000:7001", {"POST /utils/subscriptionManagement.cgi": says("<results><subscriptionStatus>0</subscriptionStatus><refundsIssued>1</refundsIssued></results>")}, Standing(State.REFUNDED, "1000:7001", subscription_reference="1000")),
}  # fmt: skip


@pytest.mark.parametrize("what", QUERIES)
async def test_how_things_stand(house: House, what: str) -> None:
    """By a page or by a transaction."""
    name, reference, answers, standing = QUERIES[what]
    counterpart = Counterpart(dict(answers))
    async with house.calling(name, counterpart) as processor:
        assert await processor.query(reference) == standing
        counterpart.everything = says("sorry", 500)
        with pytest.raises(Unreachable):
            await processor.query(reference)


@pytest.mark.parametrize("name", ["segpay", "epoch", "adyen"])
async def test_what_cannot_be_asked_is_no_failure(name: str) -> None:
    """A breaker must not open for it."""
    with pytest.raises(Refusal, match="PROCESSOR_REFUSED"):
        await processor(name).query("7001")


async def test_asking_for_an_approved_order_at_paypal_takes_it(house: House) -> None:
    """Once, under a key of the order's own; and it tells the vaulted wallet."""
    vaulted = {**captured("COMPLETED"), "payment_source": {"paypal": {"attributes": {"vault": {"id": "vault1"}}}}}
    counterpart = Counterpart(
        {
            f"GET {PAYPAL_ORDERS}/ord1": says({"id": "ord1", "status": "APPROVED"}),
            f"POST {PAYPAL_ORDERS}/ord1/capture": says(vaulted, 201),
        }
    )
    async with house.calling("paypal", counterpart) as processor:
        assert await processor.query("ord1") == Standing(State.PAID, "cap1", USD, 0, PAID, "vault1")
        assert counterpart.asked[-1].headers["paypal-request-id"] == "capture-ord1"
        counterpart.answers[f"POST {PAYPAL_ORDERS}/ord1/capture"] = says(
            {"details": [{"issue": "INSTRUMENT_DECLINED"}]}, 422
        )
        assert (await processor.query("ord1")).state is State.FAILED
        counterpart.answers[f"GET {PAYPAL_ORDERS}/ord1"] = says(vaulted)
        assert (await processor.query("ord1")).transaction_reference == "cap1"
