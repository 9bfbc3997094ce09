"""What becomes of calls to processors: done, refused, or nobody knows. All against servers that answer in the processors' forms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from services.kit.errors import Refusal
from services.payments.processors.contract import (
    Amount,
    Approved,
    Charge,
    Checkout,
    Declined,
    Outcome,
    Processor,
    Recurrence,
    Refund,
    Standing,
    State,
    Unknown,
    Unreachable,
)
from tests.payments.processors.accounts import CHECKOUT, processor, unused
from tests.payments.processors.counterparts import MAKERS, Asked, Counterpart, House, says

USD = Amount(999, "USD")


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[House]:
    """Where all counterparts are."""
    async with House.open() as served:
        yield served


PAYPAL_ORDERS = "/v2/checkout/orders"


def refund(transaction: str, *, whole: bool = True) -> Callable[[Processor], Awaitable[Outcome]]:
    return lambda processor: processor.refund(Refund(transaction, USD, whole, "refund-key"))


def charge(method: str) -> Callable[[Processor], Awaitable[Outcome]]:
    return lambda processor: processor.charge(Charge(method, USD, "charge-key", CHECKOUT, description="A month"))


def cancel(subscription: str) -> Callable[[Processor], Awaitable[Outcome]]:
    return lambda processor: processor.cancel(subscription, "cancel-key")


@dataclass(frozen=True)
class Case:
    """One call to one processor, with how it answers when it is done, and when it will not.

    Attributes:
        key: the header with the idempotency key, and the key; empty where the processor knows none.
    """

    processor: str
    act: Callable[[Processor], Awaitable[Outcome]]
    asked: str
    done: Response
    reference: str
    refused: Response
    reason: str
    retryable: bool = False
    key: tuple[str, str] = ("", "")


def card_error(code: str) -> Response:
    return says({"error": {"type": "card_error", "code": "card_declined", "decline_code": code, "message": "no"}}, 402)


def captured(status: str, **more: Any) -> dict[str, Any]:
    capture = {
        "id": "cap1",
        "status": status,
        "amount": {"value": "9.99", "currency_code": "USD"},
        "create_time": "2026-11-28T12:00:00Z",
        **more,
    }
    return {"id": "ord1", "status": "COMPLETED", "purchase_units": [{"payments": {"captures": [capture]}}]}


CASES = {
    "stripe refund": Case(
        "stripe", refund("pi_1"), "POST /v1/refunds", says({"id": "re_1", "object": "refund", "status": "succeeded"}), "re_1",
        says({"error": {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "no"}}, 400), "charge_already_refunded",
        key=("idempotency-key", "refund-key"),
    ),
    "stripe charge": Case(
        "stripe", charge("cus_1:pm_1"), "POST /v1/payment_intents", says({"id": "pi_2", "object": "payment_intent", "status": "succeeded"}), "pi_2",
        card_error("insufficient_funds"), "insufficient_funds", True, ("idempotency-key", "charge-key"),
    ),
    "adyen refund": Case(
        "adyen", refund("883"), "POST /payments/883/refunds", says({"pspReference": "884", "status": "received"}, 201), "884",
        says({"status": 422, "errorCode": "167", "message": "Original pspReference required"}, 422), "422 167",
        key=("idempotency-key", "refund-key"),
    ),
    "adyen charge": Case(
        "adyen", charge(f"{CHECKOUT}:841"), "POST /payments", says({"pspReference": "885", "resultCode": "Authorised"}), "885",
        says({"pspReference": "885", "resultCode": "Refused", "refusalReason": "Not enough balance", "refusalReasonCode": "12"}), "Not enough balance",
        True, ("idempotency-key", "charge-key"),
    ),
    "paypal refund": Case(
        "paypal", refund("cap1"), "POST /v2/payments/captures/cap1/refund", says({"id": "ref1", "status": "COMPLETED"}, 201), "ref1",
        says({"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "CAPTURE_FULLY_REFUNDED"}]}, 422), "CAPTURE_FULLY_REFUNDED",
        key=("paypal-request-id", "refund-key"),
    ),
    "paypal charge": Case(
        "paypal", charge("vault1"), f"POST {PAYPAL_ORDERS}", says(captured("COMPLETED"), 201), "cap1",
        says({"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "INSTRUMENT_DECLINED"}]}, 422), "INSTRUMENT_DECLINED", True,
        ("paypal-request-id", "charge-key"),
    ),
    "ccbill refund": Case(
        "ccbill", refund("1000:7001"), "POST /utils/subscriptionManagement.cgi", says("<?xml version='1.0'?><results>1</results>"), "1000:7001:refund",
        says("<results>-2</results>"), "CCBill's answer to refundTransaction is -2",
    ),
    "ccbill cancel": Case(
        "ccbill", cancel("1000"), "POST /utils/subscriptionManagement.cgi", says("<results>1</results>"), "1000",
        Response(), "CCBill's answer to cancelSubscription is -3",
    ),
    "segpay refund": Case(
        "segpay", refund("7001"), "GET /adm.asmx/RefundTransaction", says('<string xmlns="x">Successful</string>'), "7001:refund",
        says("<string>Invalid Merchant</string>"), "Invalid Merchant",
    ),
    "segpay cancel": Case(
        "segpay", cancel("55"), "GET /adm.asmx/CancelMembership", says("<string>Successful</string>"), "55",
        says("<string>PurchaseID/MerchantID Mismatch</string>"), "PurchaseID/MerchantID Mismatch",
    ),
    "epoch cancel": Case(
        "epoch", cancel("55"), "GET /index.json", says({"members": [{"member_id": "55", "status": "cancelled"}]}), "55",
        says({"error": "no such member"}), "no such member",
    ),
}  # fmt: skip


def _ccbill(code: str) -> Callable[[Asked], Response]:
    """Refuses, and tells that the subscription goes on."""

    def answer(asked: Asked) -> Response:
        if asked.form["action"] == "viewSubscriptionStatus":
            return says("<results><subscriptionStatus>2</subscriptionStatus></results>")
        return says(f"<results>{code}</results>")

    return answer


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_done_is_approved(house: House, case: Case) -> None:
    """With the processor's own reference; and the key goes along."""
    counterpart = Counterpart({case.asked: case.done})
    async with house.calling(case.processor, counterpart) as processor:
        assert await case.act(processor) == Approved(case.reference)
    header, key = case.key
    assert counterpart.asked[-1].headers.get(header, "") == key


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_refused_is_declined(house: House, case: Case) -> None:
    """In the processor's words, and with whether it may work another day."""
    answer = _ccbill("-3") if case.reason.endswith("-3") else case.refused
    async with house.calling(case.processor, Counterpart({case.asked: answer})) as processor:
        assert await case.act(processor) == Declined(case.reason, case.retryable)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_nobody_knows_is_unknown(house: House, case: Case) -> None:
    """A failure of the processor's own, a pause that it asks for, an account that may not, no processor at all."""
    counterpart = Counterpart()
    async with house.calling(case.processor, counterpart) as processor:
        for status in (500, 502, 503):
            counterpart.everything = says("sorry", status)
            assert isinstance(await case.act(processor), Unknown), status
        counterpart.everything = says("slow down", 429, retry_after="7")
        outcome = await case.act(processor)
        assert isinstance(outcome, Unknown)
        assert outcome.retry_after == timedelta(seconds=7)
        counterpart.everything = says({"error": {"type": "authentication", "message": "no"}}, 401)
        assert isinstance(await case.act(processor), Unknown)
    assert isinstance(await case.act(MAKERS[case.processor]("http://127.0.0.1:9", unused())), Unknown)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_not_answered_in_time_is_unknown(house: House, case: Case) -> None:
    """It may have been done, and it may be done yet."""
    counterpart = Counterpart(hangs=True)
    async with house.calling(case.processor, counterpart, patience=0.3) as processor:
        assert isinstance(await case.act(processor), Unknown)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_no_answer_is_taken_for_another(house: House, case: Case) -> None:
    """What is not in the processor's form approves nothing, is followed nowhere, and is not read without end."""
    counterpart = Counterpart()
    async with house.calling(case.processor, counterpart) as processor:
        for answer in (
            says(""),
            says("<html>Maintenance</html>"),
            says("[]"),
            says("{}"),
            says("null"),
            says("", 302, location="http://127.0.0.1:9/steal"),
            says("x" * 600_000),
        ):
            counterpart.everything = answer
            assert not isinstance(await case.act(processor), Approved)


@pytest.mark.parametrize("name", MAKERS)
async def test_references_lead_nowhere_else(house: House, name: str) -> None:
    """One that is none of the processor's makes no other call than it should."""
    counterpart = Counterpart(everything=says({}))
    async with house.calling(name, counterpart) as processor:
        for reference in ("../../v1/accounts", "a b", "a?b=c", "..", "", "\u0661", "x" * 300):
            outcome = await processor.refund(Refund(reference, USD, True, "key"))
            assert not isinstance(outcome, Approved)
            try:
                assert (await processor.query(reference)).state is not State.PAID
            except (Unreachable, Refusal):
                continue
    assert not [
        asked
        for asked in counterpart.asked
        if "accounts" in asked.path.rpartition("..%2F")[0] or asked.path.startswith("/v1/accounts")
    ]


@pytest.mark.parametrize("name", ["ccbill", "segpay"])
async def test_a_part_goes_back_only_where_it_can(house: House, name: str) -> None:
    """Who knows no keys and no parts is not asked."""
    counterpart = Counterpart()
    async with house.calling(name, counterpart) as processor:
        assert isinstance(await refund("1:2", whole=False)(processor), Declined)
    assert not counterpart.asked


@pytest.mark.parametrize("name", ["epoch", "coinbase"])
async def test_who_gives_nothing_back_says_so(name: str) -> None:
    """So that somebody does it by hand."""
    assert isinstance(await refund("1")(processor(name)), Declined)


@pytest.mark.parametrize("name", ["ccbill", "segpay", "epoch", "btcpay", "coinbase"])
async def test_who_cannot_be_made_to_charge_says_so(name: str) -> None:
    """It renews by itself, or the buyer must pay each time."""
    assert isinstance(await charge("x")(processor(name)), Declined)
    assert processor(name).renews_by_itself is (name in {"ccbill", "segpay", "epoch"})


@pytest.mark.parametrize(
    ("code", "retryable"), [("do_not_honor", True), ("stolen_card", False), ("authentication_required", False)]
)
async def test_declines_at_stripe(house: House, code: str, retryable: bool) -> None:
    """Some never work again."""
    async with house.calling("stripe", Counterpart({"POST /v1/payment_intents": card_error(code)})) as processor:
        assert await charge("cus_1:pm_1")(processor) == Declined(code, retryable)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"resultCode": "Refused", "refusalReason": "FRAUD", "refusalReasonCode": "20"}, Declined("FRAUD", False)),
        ({"resultCode": "ChallengeShopper", "pspReference": "1"}, Declined("authentication_required", False)),
        ({"resultCode": "Pending", "pspReference": "1"}, Unknown("resultCode Pending")),
        ({"resultCode": "Authorised"}, Unknown("resultCode Authorised")),
    ],
)
async def test_results_at_adyen(house: House, answer: dict[str, str], outcome: Outcome) -> None:
    """Final, or not yet."""
    async with house.calling("adyen", Counterpart({"POST /payments": says(answer)})) as processor:
        assert await charge(f"{CHECKOUT}:841")(processor) == outcome


async def test_what_adyen_is_asked_for_a_renewal(house: House) -> None:
    """The mark of a renewal stands where Adyen signs it, and is short enough."""
    counterpart = Counterpart({"POST /payments": says({"resultCode": "Authorised", "pspReference": "1"})})
    async with house.calling("adyen", counterpart) as processor:
        await charge(f"{CHECKOUT}:841")(processor)
    asked = counterpart.asked[0].json
    assert asked["reference"].startswith(f"{CHECKOUT}/")
    assert len(asked["reference"]) <= 80
    assert (asked["shopperReference"], asked["paymentMethod"]["storedPaymentMethodId"]) == (CHECKOUT, "841")
    assert asked["shopperInteraction"] == "ContAuth"


async def test_pending_at_paypal_is_unknown(house: House) -> None:
    """It is asked again with the same key, until it is one or the other."""
    counterpart = Counterpart(
        {
            f"POST {PAYPAL_ORDERS}": says(captured("PENDING"), 201),
            "POST /v2/payments/captures/cap1/refund": says({"id": "1", "status": "PENDING"}, 201),
        }
    )
    async with house.calling("paypal", counterpart) as processor:
        assert isinstance(await charge("vault1")(processor), Unknown)
        assert isinstance(await refund("cap1")(processor), Unknown)
    assert counterpart.tokens == 1
    assert {asked.headers["authorization"] for asked in counterpart.asked} == {"Bearer token-1"}


async def test_a_token_that_paypal_takes_back_is_fetched_anew(house: House) -> None:
    """With the next call."""
    counterpart = Counterpart(everything=says({}, 401))
    async with house.calling("paypal", counterpart) as processor:
        assert isinstance(await refund("cap1")(processor), Unknown)
        counterpart.everything = says({"id": "ref1", "status": "COMPLETED"}, 201)
        assert await refund("cap1")(processor) == Approved("ref1")
    assert counterpart.tokens == 2


async def test_cancelling_twice_is_cancelling(house: House) -> None:
    """CCBill and Segpay refuse the second time; it is done all the same."""

    def answer(asked: Asked) -> Response:
        viewed = asked.form["action"] == "viewSubscriptionStatus"
        return says(
            "<results><subscriptionStatus>1</subscriptionStatus></results>" if viewed else "<results>0</results>"
        )

    async with house.calling("ccbill", Counterpart(everything=answer)) as ccbill:
        assert await cancel("1000")(ccbill) == Approved("1000")
    async with house.calling(
        "segpay", Counterpart(everything=says("<string>Subscription not active, cancel failed</string>"))
    ) as segpay:
        assert await cancel("55")(segpay) == Approved("55")
    for name in ("stripe", "adyen", "paypal", "btcpay", "coinbase"):
        assert isinstance(await cancel("")(processor(name)), Approved)


async def test_ccbills_password_stands_in_no_url(house: House) -> None:
    """URLs are in logs."""
    counterpart = Counterpart(everything=says("<results>1</results>"))
    async with house.calling("ccbill", counterpart) as processor:
        await cancel("1000")(processor)
    (asked,) = counterpart.asked
    assert not asked.query
    assert asked.form["password"] == "hunter2-datalink"
    assert asked.form["usingSubacc"] == "0000"


async def test_a_refund_at_btcpay_is_one_claim(house: House) -> None:
    """It is looked for by its key before it is made."""
    claims: list[dict[str, Any]] = []

    def make(asked: Asked) -> Response:
        claims.append({"id": "pp1", "name": asked.json["name"]})
        return says(claims[-1])

    counterpart = Counterpart(
        {
            "POST /api/v1/stores/s/invoices/inv1/refund": make,
            "GET /api/v1/stores/s/pull-payments": lambda _: says(claims),
        }
    )
    async with house.calling("btcpay", counterpart) as processor:
        assert [await refund("inv1")(processor) for _ in range(2)] == [Approved("pp1")] * 2
    assert len(claims) == 1
    posted = next(asked for asked in counterpart.asked if asked.method == "POST").json
    assert (posted["refundVariant"], posted["customAmount"], posted["customCurrency"]) == ("Custom", "9.99", "USD")


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
