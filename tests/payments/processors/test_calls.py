"""What becomes of calls to processors: done, refused, or nobody knows. All against servers that answer in the processors' forms."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from starlette.responses import Response

from services.kit.errors import Refusal
from services.kit.telemetry import hush
from services.payments.processors.contract import (
    Amount,
    Approved,
    Charge,
    Declined,
    Outcome,
    Processor,
    Refund,
    State,
    Unknown,
    Unreachable,
)
from tests.payments.processors.accounts import CHECKOUT, SECRETS, processor, unused
from tests.payments.processors.counterparts import MAKERS, Asked, Counterpart, House, captured, says
from tests.payments.processors.form_scribes import CCBillScribe, SegpayScribe

USD = Amount(999, "USD")


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
        "segpay", refund("7001"), "GET /adm.asmx/RefundTransaction", says('<string xmlns="x">Successful</string>'), "7001:refund:999",
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


@pytest.mark.parametrize(
    ("scribe", "case"), [(SegpayScribe(), "segpay refund"), (CCBillScribe(), "ccbill refund")], ids=["segpay", "ccbill"]
)
def test_a_refund_is_known_by_one_name(scribe: SegpayScribe | CCBillScribe, case: str) -> None:
    """Where the answer does not say what the notice of it will: it must not be booked twice."""
    (notice,) = scribe.processor.read(scribe.refund()).notices
    assert notice.transaction_reference == CASES[case].reference.replace("1000:", "1000000000:")


async def test_no_log_has_a_secret_in_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, of every call, whatever becomes of it; Segpay and Epoch take their keys in the URL."""
    hush()
    with caplog.at_level(logging.DEBUG):
        for case in CASES.values():
            for answer in (case.done, case.refused, says("sorry", 500)):
                async with house.calling(case.processor, Counterpart(everything=answer)) as processor:
                    await case.act(processor)
    # Of ours and our libraries': the counterpart's own server writes down what it is asked.
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    for secrets in SECRETS.values():
        for name, secret in secrets.items():
            assert not [line for line in said if secret in line], name


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
