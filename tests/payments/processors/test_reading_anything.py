"""Reading never ends in anything but a reading or a refusal, whatever is sent: bare bytes, and odd things that are well signed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.payments.processors.contract import Delivery, Reading
from tests.payments.processors.accounts import NOW
from tests.payments.processors.form_scribes import CCBillScribe, EpochScribe, SegpayScribe
from tests.payments.processors.json_scribes import AdyenScribe, BTCPayScribe, CoinbaseScribe, StripeScribe
from tests.payments.processors.paypal_scribe import PayPalScribe
from tests.payments.processors.scribe import Scribe, delivered
from tests.payments.processors.scribes import SCRIBES, scribe_of

LETTERS = st.sampled_from("aZ09 .,-:/+=&%\x00\x7f\u0661ü€😀")
"""Few enough to be quick, and odd enough."""
REASONS = {"WEBHOOK_NOT_AUTHENTIC", "WEBHOOK_OUT_OF_TIME", "WEBHOOK_MALFORMED"}
FEW = settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(LETTERS, max_size=30),
    st.sampled_from(["9.99", "USD", "succeeded", "yes", "1e999", "-0", "\u0000", "١٢٣"]),
)
ODD = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=10), inner, max_size=3),
    max_leaves=5,
)


@cache
def scribes() -> dict[str, Scribe]:
    """Filled by the fixture."""
    return {}


@pytest.fixture(scope="module", autouse=True)
async def _written() -> None:
    for made in SCRIBES:
        scribes()[made.name] = await scribe_of(made)


def reads(scribe: Scribe, delivery: Delivery) -> Reading | None:
    """A reading, or None when it is refused as it may be."""
    try:
        reading = scribe.processor.read(delivery)
    except Refusal as refusal:
        assert refusal.reason in REASONS  # noqa: PT017  # one of three is what is wanted
        return None
    assert reading.notices
    for notice in reading.notices:
        texts = (
            notice.dedupe_key,
            notice.transaction_reference,
            notice.original_reference,
            notice.subscription_reference,
            notice.checkout_id,
        )
        assert all(len(text) <= 200 and text.isascii() and text.isprintable() for text in texts)
        assert notice.dedupe_key
        assert notice.amount is None or 0 < notice.amount.minor_units <= 10**15
        assert notice.occur_time <= delivery.receive_time
    json.loads(reading.redacted)
    return reading


@pytest.mark.parametrize("name", [made.name for made in SCRIBES])
def test_bare_bytes(name: str) -> None:
    """With headers, queries and addresses as anybody may send them."""
    scribe = scribes()[name]
    good = scribe.sale()

    @FEW
    @given(
        st.binary(max_size=200),
        st.dictionaries(st.sampled_from([*good.headers, "content-type"]), st.text(LETTERS, max_size=60), max_size=4),
        st.text(LETTERS, max_size=60),
        st.text(LETTERS, max_size=20),
    )
    def tried(body: bytes, headers: dict[str, str], query: str, source: str) -> None:
        reads(scribe, Delivery(headers, query, body, source, NOW))
        reads(scribe, replace(good, body=body))
        reads(scribe, replace(good, headers={**good.headers, **headers}))
        reads(scribe, replace(good, query=query, source_address=source))

    tried()


@FEW
@given(
    st.sampled_from(
        ["payment_intent.succeeded", "refund.updated", "charge.dispute.funds_withdrawn", "setup_intent.succeeded", "x"]
    ),
    st.dictionaries(
        st.sampled_from(
            "id amount amount_received currency status metadata customer payment_method payment_intent balance_transactions last_payment_error".split()
        ),
        ODD,
    ),
    ODD,
)
def test_well_signed_and_odd_from_stripe(event: str, thing: dict[str, Any], other: Any) -> None:
    """A secret in the wrong hands, or a processor that changes its mind about a type."""
    scribe = scribes()["stripe"]
    assert isinstance(scribe, StripeScribe)
    reads(scribe, scribe.signed(scribe.event(event, thing), NOW))
    reads(scribe, scribe.signed({**scribe.event(event, thing), "data": other, "created": other}, NOW))
    reads(scribe, scribe.signed(other, NOW))


@FEW
@given(
    st.dictionaries(
        st.sampled_from("pspReference originalReference merchantReference amount eventCode success eventDate".split()),
        ODD,
    ),
    ODD,
)
def test_well_signed_and_odd_from_adyen(changes: dict[str, Any], other: Any) -> None:
    """As above; digests are over whatever stands there."""
    scribe = scribes()["adyen"]
    assert isinstance(scribe, AdyenScribe)
    base = {"value": 999, "currency": "USD"}
    item = scribe.item("AUTHORISATION", "7001", **{"amount": base, **changes})
    reads(scribe, scribe.sent(item))
    reads(scribe, scribe.sent({**item, "additionalData": other}))
    reads(scribe, delivered(json.dumps({"live": "false", "notificationItems": other}).encode(), {}))


@FEW
@given(
    st.dictionaries(
        st.sampled_from("deliveryId originalDeliveryId type timestamp storeId invoiceId metadata".split()), ODD
    )
)
def test_well_signed_and_odd_from_btcpay(changes: dict[str, Any]) -> None:
    """As above."""
    scribe = scribes()["btcpay"]
    assert isinstance(scribe, BTCPayScribe)
    reads(scribe, scribe._signed({**scribe.event("InvoiceSettled"), **changes}))


@FEW
@given(st.dictionaries(st.sampled_from("code id pricing metadata".split()), ODD), ODD)
def test_well_signed_and_odd_from_coinbase(changes: dict[str, Any], other: Any) -> None:
    """As above."""
    scribe = scribes()["coinbase"]
    assert isinstance(scribe, CoinbaseScribe)
    reads(scribe, scribe.sale(extra=changes))
    reads(scribe, scribe._signed({**scribe._event("charge:confirmed", {}), "data": other, "created_at": other}))
    reads(scribe, scribe._signed(other))


@FEW
@given(
    st.sampled_from(
        [
            "PAYMENT.CAPTURE.COMPLETED",
            "PAYMENT.CAPTURE.REFUNDED",
            "CUSTOMER.DISPUTE.RESOLVED",
            "CHECKOUT.ORDER.APPROVED",
        ]
    ),
    st.dictionaries(
        st.sampled_from(
            "id amount custom_id links seller_receivable_breakdown disputed_transactions dispute_id dispute_amount dispute_outcome purchase_units".split()
        ),
        ODD,
    ),
    ODD,
)
def test_well_signed_and_odd_from_paypal(event: str, resource: dict[str, Any], other: Any) -> None:
    """As above."""
    scribe = scribes()["paypal"]
    assert isinstance(scribe, PayPalScribe)
    reads(scribe, scribe.signed(scribe.event(event, resource), "tr"))
    reads(scribe, scribe.signed({**scribe.event(event, resource), "resource": other, "create_time": other}, "tr"))


@FEW
@given(
    st.dictionaries(
        st.text(LETTERS, min_size=1, max_size=15)
        | st.sampled_from(
            "action stage approved trantype tranid price currencycode billertranstime relatedtranid purchaseid merchantpartnerid".split()
        ),
        st.text(LETTERS, max_size=30),
    )
)
def test_authentic_and_odd_from_segpay(changes: dict[str, str]) -> None:
    """Its password says nothing of what it comes with."""
    scribe = scribes()["segpay"]
    assert isinstance(scribe, SegpayScribe)
    reads(scribe, scribe.sale(extra=changes))


@FEW
@given(
    st.dictionaries(
        st.text(LETTERS, min_size=1, max_size=15)
        | st.sampled_from(
            "ans transaction_id trans_amount trans_currency event_datetime ets_transaction_type ets_transaction_id ets_transaction_amount mcs_or_idx x_checkout".split()
        ),
        st.text(LETTERS, max_size=30),
    )
)
def test_well_signed_and_odd_from_epoch(changes: dict[str, str]) -> None:
    """As above."""
    scribe = scribes()["epoch"]
    assert isinstance(scribe, EpochScribe)
    reads(scribe, scribe.sale(extra=changes))


@FEW
@given(
    st.sampled_from(["NewSaleSuccess", "Refund", "Cancellation", "Expiration", "x"]),
    st.dictionaries(
        st.sampled_from(
            "subscriptionId transactionId timestamp billedInitialPrice billedCurrencyCode amount currency currencyCode passThrough reason failureCode X-checkout".split()
        ),
        ODD,
    ),
)
def test_authentic_and_odd_from_ccbill(event: str, changes: dict[str, Any]) -> None:
    """As JSON, where anything may be of any type."""
    scribe = scribes()["ccbill"]
    assert isinstance(scribe, CCBillScribe)
    body = json.dumps({**scribe._fields("7001", NOW), **changes}).encode()
    reads(
        scribe, delivered(body, {"content-type": "application/json"}, query=f"eventType={event}", source=scribe.source)
    )
