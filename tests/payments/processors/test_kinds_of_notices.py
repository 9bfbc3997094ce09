"""What each processor tells of, event by event."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from datetime import timedelta
from typing import Any

import pytest

from services.kit.errors import Refusal
from services.payments.processors import segpay
from services.payments.processors.ccbill.digests import approval_digest
from services.payments.processors.contract import Amount, Notice, NoticeKind
from tests.payments.processors.accounts import CHECKOUT, NOW, account, means, processor
from tests.payments.processors.form_scribes import CCBillScribe, EpochScribe, SegpayScribe
from tests.payments.processors.json_scribes import AdyenScribe, BTCPayScribe, StripeScribe
from tests.payments.processors.paypal_scribe import PayPalScribe
from tests.payments.processors.scribe import delivered, dumped

K = NoticeKind


def one(scribe: Any, delivery: Any) -> Notice:
    """The one notice of a delivery."""
    (notice,) = scribe.processor.read(delivery).notices
    return notice  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("event", "kind", "fields"),
    [
        (
            "UpgradeSuccess",
            K.SALE,
            {"dynamicPricingValidationDigest": "good", "billedInitialPrice": "5.00", "billedCurrencyCode": "840"},
        ),
        ("NewSaleFailure", K.SALE_FAILED, {"failureReason": "no", "failureCode": "BE-140"}),
        ("RenewalSuccess", K.RENEWAL, {"billedAmount": "5.00", "billedCurrency": "USD", "billedCurrencyCode": "840"}),
        ("RenewalFailure", K.RENEWAL_FAILED, {"failureCode": "BE-140"}),
        ("Chargeback", K.CHARGEBACK, {"amount": "5.00", "currencyCode": "840"}),
        ("Return", K.CHARGEBACK, {"amount": "5.00", "currencyCode": "840"}),
        ("Void", K.VOID, {"amount": "5.00", "currency": "USD"}),
        ("Cancellation", K.CANCELLATION, {"transactionId": "", "reason": "Satisfied", "source": "User"}),
        ("Expiration", K.EXPIRY, {"transactionId": ""}),
        ("BillingDateChange", K.IGNORED, {"nextRenewalDate": "2027-01-01"}),
        ("CustomerDataUpdate", K.IGNORED, {"password": "x"}),
        ("UserReactivation", K.IGNORED, {"price": "5.95 for 30 days"}),
    ],
)
def test_ccbill(event: str, kind: NoticeKind, fields: dict[str, str]) -> None:
    """As forms and as JSON alike."""
    scribe = CCBillScribe()
    told = {**scribe._fields("7001", NOW), **fields}
    if "dynamicPricingValidationDigest" in told:
        told["dynamicPricingValidationDigest"] = approval_digest("7d901dad245fd0ff6bc20d06", "1000000000")
    notice = one(scribe, scribe._posted(event, told))
    assert notice.kind is kind
    assert notice.subscription_reference == "1000000000"
    assert (notice.amount == Amount(500, "USD")) is (kind in {K.SALE, K.RENEWAL, K.CHARGEBACK, K.VOID})
    json = delivered(
        dumped(told),
        {"content-type": "application/json; charset=utf-8"},
        query=f"eventType={event}",
        source=scribe.source,
    )
    assert one(scribe, json) == notice


def test_a_trial_at_ccbill_costs_nothing_and_is_a_sale() -> None:
    """Only when something is to be paid later; otherwise nothing was paid for something."""
    scribe = CCBillScribe()
    notice = one(scribe, scribe.sale(price="0.00", extra={"billedRecurringPrice": "9.99"}))
    assert (notice.kind, notice.amount) == (K.SALE, None)


def test_ccbill_sales_in_whole_yen() -> None:
    """CCBill writes two decimals, the yen has none."""
    scribe = CCBillScribe()
    assert one(scribe, scribe.sale(price="1000.00", currency="392")).amount == Amount(1000, "JPY")


def test_ccbill_hands_our_checkout_through_json() -> None:
    """In a member of its own."""
    scribe = CCBillScribe()
    told = {**scribe._fields("7001", NOW), "passThrough": {"X-checkout": CHECKOUT}}
    json = delivered(
        dumped(told), {"content-type": "application/json"}, query="eventType=NewSaleFailure", source=scribe.source
    )
    assert one(scribe, json).checkout_id == CHECKOUT


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"stage": "Conversion"}, K.RENEWAL),
        ({"stage": "InstantConversion"}, K.RENEWAL),
        ({"stage": "Rebill"}, K.RENEWAL),
        ({"stage": "Rebill", "approved": "No"}, K.RENEWAL_FAILED),
        ({"approved": "No"}, K.SALE_FAILED),
        ({"Action": "Void", "relatedtranid": "6000"}, K.VOID),
        ({"TranType": "Charge", "relatedtranid": "6000"}, K.CHARGEBACK),
        ({"TranType": "Credit", "relatedtranid": "6000"}, K.REFUND),
        ({"Action": "Disable"}, K.EXPIRY),
        ({"Action": "Cancel"}, K.CANCELLATION),
        ({"Action": "Enable"}, K.IGNORED),
        ({"Action": "Reactivation"}, K.IGNORED),
        ({"stage": "Something"}, K.IGNORED),
    ],
)
def test_segpay(fields: dict[str, str], kind: NoticeKind) -> None:
    """By action, kind of transaction, stage and approval."""
    scribe = SegpayScribe()
    notice = one(scribe, scribe.sale(extra=fields))
    assert notice.kind is kind
    assert notice.original_reference == fields.get("relatedtranid", "")
    assert notice.subscription_reference == "55"


def test_segpay_must_have_something_that_shows_that_it_is_segpay() -> None:
    """Otherwise anybody could tell us anything."""
    with pytest.raises(ValueError, match="postback_user"):
        processor("segpay", postback_user="")
    bare = dataclasses.replace(account("segpay", postback_user=""), secrets={"srs_access_key": "key"})
    with pytest.raises(ValueError, match="source_networks"):
        segpay.KIND.make(bare, means())
    bare = dataclasses.replace(bare, settings={**bare.settings, "source_networks": "192.0.2.0/24"})
    told = SegpayScribe().sale()
    assert segpay.KIND.make(bare, means()).read(dataclasses.replace(told, headers={}, source_address="192.0.2.9"))
    with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
        segpay.KIND.make(bare, means()).read(dataclasses.replace(told, headers={}))


@pytest.mark.parametrize(
    ("letter", "kind"),
    [
        ("I", K.IGNORED),
        ("F", K.IGNORED),
        ("T", K.IGNORED),
        ("O", K.IGNORED),
        ("N", K.RENEWAL),
        ("U", K.RENEWAL),
        ("J", K.RENEWAL_FAILED),
        ("K", K.CANCELLATION),
        ("C", K.REFUND),
        ("D", K.CHARGEBACK),
        ("X", K.VOID),
    ],
)
def test_epoch_data_plus(letter: str, kind: NoticeKind) -> None:
    """By its letter."""
    scribe = EpochScribe()
    fields = {
        "ets_transaction_id": "8001",
        "ets_member_idx": "55",
        "ets_transaction_type": letter,
        "ets_transaction_amount": "-9.99" if letter in "CDX" else "9.99",
        "ets_ref_trans_ids": "7001",
    }
    notice = one(scribe, scribe._posted(fields))
    assert notice.kind is kind
    assert notice.original_reference == ("7001" if letter in "CDX" else "")
    assert notice.amount == (Amount(999, "USD") if letter in "NUCDX" else None)


def test_epoch_declines_and_cancellations() -> None:
    """A FlexPost that is not approved, and one about a member."""
    scribe = EpochScribe()
    declined = one(scribe, scribe.sale(extra={"ans": "NDECLINED", "transaction_id": ""}))
    assert (declined.kind, declined.amount) == (K.SALE_FAILED, None)
    cancelled = one(scribe, scribe._posted({"mcs_or_idx": "55", "mcs_canceldate": "2026-11-28 10:00:00"}))
    assert (cancelled.kind, cancelled.subscription_reference) == (K.CANCELLATION, "55")


def test_data_plus_without_digests_only_from_where_it_is_said_to_come() -> None:
    """And then only DataPlus: a sale always has one."""
    bare = b"ets_transaction_id=8001&ets_transaction_type=N&ets_transaction_amount=9.99"
    with pytest.raises(ValueError, match="source_networks"):
        processor("epoch", data_plus_digest="no")
    epoch = processor("epoch", data_plus_digest="no", source_networks="192.0.2.0/24")
    assert epoch.read(delivered(bare, {}, source="192.0.2.5")).notices[0].kind is K.RENEWAL
    with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
        epoch.read(delivered(bare, {}, source="198.51.100.5"))
    with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
        epoch.read(delivered(b"ans=YGOOD&transaction_id=1&amount=9.99", {}, source="192.0.2.5"))
    with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
        epoch.read(delivered(bare + b"&epoch_digest=00", {}, source="192.0.2.5"))


def test_stripe_renewals_failures_and_trials() -> None:
    """What we charge has a mark in its metadata; a trial keeps a payment method and takes nothing."""
    scribe = StripeScribe()
    renewal = one(scribe, scribe.sale(extra={"metadata": {"checkout_id": CHECKOUT, "renewal": "key"}}))
    assert (renewal.kind, renewal.payment_method_reference) == (K.RENEWAL, "")
    assert one(scribe, scribe.sale()).payment_method_reference == "cus_1:pm_1"
    failed = scribe.event(
        "payment_intent.payment_failed",
        {
            "id": "pi_1",
            "metadata": {"renewal": "key"},
            "last_payment_error": {"code": "card_declined", "decline_code": "insufficient_funds"},
        },
    )
    notice = one(scribe, scribe.signed(failed, NOW))
    assert (notice.kind, notice.reason) == (K.RENEWAL_FAILED, "insufficient_funds")
    trial = scribe.event(
        "setup_intent.succeeded",
        {"id": "seti_1", "customer": "cus_1", "payment_method": "pm_1", "metadata": {"checkout_id": CHECKOUT}},
    )
    notice = one(scribe, scribe.signed(trial, NOW))
    assert (notice.kind, notice.amount, notice.payment_method_reference) == (K.SALE, None, "cus_1:pm_1")


def test_stripe_counts_a_refund_once_and_when_it_has_succeeded() -> None:
    """It is told when it is made, when it changes, and by two names."""
    scribe = StripeScribe()
    refund = {"id": "re_1", "amount": 500, "currency": "usd", "payment_intent": "pi_7001"}
    keys = set()
    for event, status, kind in (
        ("refund.created", "pending", K.IGNORED),
        ("refund.updated", "succeeded", K.REFUND),
        ("charge.refund.updated", "succeeded", K.REFUND),
        ("refund.updated", "failed", K.IGNORED),
        ("refund.failed", "failed", K.IGNORED),
        ("charge.refunded", "succeeded", K.IGNORED),
    ):
        notice = one(
            scribe, scribe.signed(scribe.event(event, {**refund, "status": status}, identity=f"evt_{event}"), NOW)
        )
        assert notice.kind is kind, event
        if kind is K.REFUND:
            keys.add(notice.dedupe_key)
    assert keys == {"refund:re_1"}


def test_stripe_disputes_count_when_money_moves() -> None:
    """With Stripe's fee; an inquiry moves none."""
    scribe = StripeScribe()
    dispute = {
        "id": "dp_1",
        "amount": 999,
        "currency": "usd",
        "payment_intent": "pi_7001",
        "reason": "fraudulent",
        "balance_transactions": [{"fee": 1500, "currency": "usd"}, {"fee": 700, "currency": "eur"}],
    }
    lost = one(scribe, scribe.signed(scribe.event("charge.dispute.funds_withdrawn", dispute), NOW))
    assert (lost.kind, lost.original_reference, lost.fee) == (K.CHARGEBACK, "pi_7001", Amount(1500, "USD"))
    won = one(scribe, scribe.signed(scribe.event("charge.dispute.funds_reinstated", dispute), NOW))
    assert (won.kind, won.original_reference, won.fee) == (K.CHARGEBACK_WON, "pi_7001", None)
    assert lost.transaction_reference != won.transaction_reference
    assert one(scribe, scribe.signed(scribe.event("charge.dispute.created", dispute), NOW)).kind is K.IGNORED


def test_stripe_of_the_other_mode_is_refused() -> None:
    """Test money must not buy anything real, even under a secret that was mixed up."""
    scribe = StripeScribe()
    event = {**scribe.event("payment_intent.succeeded", {}), "livemode": True}
    with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
        scribe.processor.read(scribe.signed(event, NOW))


def test_stripes_and_adyens_own_minor_units() -> None:
    """Krónur have two decimals there and none here."""
    stripe, adyen = StripeScribe(), AdyenScribe()
    assert one(stripe, stripe.sale(price=50000, currency="ISK")).amount == Amount(500, "ISK")
    assert one(stripe, stripe.sale(price=500, currency="UGX".lower())).amount == Amount(5, "UGX")
    assert one(stripe, stripe.sale(price=500, currency="MGA")).amount == Amount(50000, "MGA")
    assert one(adyen, adyen.sale(price=50000, currency="ISK")).amount == Amount(500, "ISK")
    assert one(adyen, adyen.sale(price=5000, currency="IDR")).amount == Amount(500000, "IDR")
    for scribe in (stripe, adyen):
        with pytest.raises(Refusal, match="MALFORMED"):
            scribe.processor.read(scribe.sale(price=50001, currency="ISK"))


def test_adyen_many_items_in_their_order() -> None:
    """Of one delivery, each a notice."""
    scribe = AdyenScribe()
    items = [
        scribe.item("AUTHORISATION", "7001"),
        scribe.item("AUTHORISATION", "7002", success="false"),
        scribe.item("AUTHORISATION", "7003", merchantReference=f"{CHECKOUT}/aabb"),
        scribe.item("AUTHORISATION", "7004", merchantReference=f"{CHECKOUT}/aabb", success="false"),
        scribe.item("CANCELLATION", "8001", originalReference="7001"),
        scribe.item("REFUND", "8002", originalReference="7001"),
        scribe.item("REFUND", "8003", originalReference="7001", success="false"),
        scribe.item("CHARGEBACK", "8004", originalReference="7001"),
        scribe.item("CHARGEBACK_REVERSED", "8004", originalReference="7001"),
        scribe.item("NOTIFICATION_OF_CHARGEBACK", "8005", originalReference="7001"),
        scribe.item("CAPTURE", "8006", originalReference="7001"),
    ]
    notices = scribe.processor.read(scribe.sent(*items)).notices
    assert [notice.kind for notice in notices] == [
        K.SALE,
        K.SALE_FAILED,
        K.RENEWAL,
        K.RENEWAL_FAILED,
        K.VOID,
        K.REFUND,
        K.IGNORED,
        K.CHARGEBACK,
        K.CHARGEBACK_WON,
        K.IGNORED,
        K.IGNORED,
    ]
    assert {notice.checkout_id for notice in notices} == {CHECKOUT}
    assert len({notice.dedupe_key for notice in notices}) == len(notices)
    assert len({notice.transaction_reference for notice in notices}) == len(notices)
    assert notices[0].payment_method_reference == f"{CHECKOUT}:8415995487234100"


def test_adyen_of_too_many_items_is_refused() -> None:
    """A digest costs little, a hundred thousand cost more."""
    scribe = AdyenScribe()
    with pytest.raises(Refusal, match="MALFORMED"):
        scribe.processor.read(scribe.sent(*[scribe.item("CAPTURE", str(number)) for number in range(101)]))


@pytest.mark.parametrize(
    ("event", "resource", "kind"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", {"custom_id": f"{CHECKOUT}/key"}, K.RENEWAL),
        ("PAYMENT.CAPTURE.DENIED", {}, K.SALE_FAILED),
        ("PAYMENT.CAPTURE.DECLINED", {"custom_id": f"{CHECKOUT}/key"}, K.RENEWAL_FAILED),
        ("PAYMENT.CAPTURE.PENDING", {}, K.IGNORED),
        (
            "PAYMENT.CAPTURE.REVERSED",
            {"links": [{"rel": "up", "href": "https://api-m.paypal.com/v2/payments/captures/7001"}]},
            K.CHARGEBACK,
        ),
        ("CHECKOUT.ORDER.APPROVED", {}, K.IGNORED),
        ("PAYMENT.SALE.COMPLETED", {}, K.IGNORED),
    ],
)
async def test_paypal(event: str, resource: dict[str, Any], kind: NoticeKind) -> None:
    """By its type, and by whether it is a charge of ours."""
    scribe = await PayPalScribe().prepared()
    full = {"id": "8001", "amount": {"value": "9.99", "currency_code": "USD"}, "custom_id": CHECKOUT, **resource}
    notice = one(scribe, scribe.signed(scribe.event(event, full), "tr"))
    assert notice.kind is kind
    assert notice.checkout_id == CHECKOUT
    if kind is K.CHARGEBACK:
        assert notice.original_reference == "7001"
    assert scribe.processor.to_complete(notice) == ("8001" if event == "CHECKOUT.ORDER.APPROVED" else "")


async def test_paypal_disputes_that_are_won() -> None:
    """Where money had moved; an inquiry that comes to nothing is nothing."""
    scribe = await PayPalScribe().prepared()
    dispute = {
        "dispute_id": "PP-D-1",
        "disputed_transactions": [{"seller_transaction_id": "7001"}],
        "dispute_amount": {"value": "9.99", "currency_code": "USD"},
        "dispute_life_cycle_stage": "CHARGEBACK",
        "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"},
    }
    won = one(scribe, scribe.signed(scribe.event("CUSTOMER.DISPUTE.RESOLVED", dispute), "tr"))
    assert (won.kind, won.original_reference, won.amount) == (K.CHARGEBACK_WON, "7001", Amount(999, "USD"))
    for change in (
        {"dispute_life_cycle_stage": "INQUIRY"},
        {"dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"}},
    ):
        assert (
            one(scribe, scribe.signed(scribe.event("CUSTOMER.DISPUTE.RESOLVED", {**dispute, **change}), "tr")).kind
            is K.IGNORED
        )


async def test_another_body_under_one_signature_of_paypals_is_the_same_notice() -> None:
    """A CRC-32 binds no body, so whoever saw a signature can write another that fits; it is known by what is signed, and comes too late."""
    scribe = await PayPalScribe().prepared()
    first, second = scribe.sale(), scribe.sale(price="99999.00")
    forged = type(second)(first.headers, "", _with_crc(second.body, first.body), second.source_address, NOW)
    assert one(scribe, forged).amount == Amount(9_999_900, "USD")
    assert one(scribe, forged).dedupe_key == one(scribe, first).dedupe_key


def _with_crc(body: bytes, wanted: bytes) -> bytes:
    """A JSON body with four bytes more, of which the CRC-32 is the wanted one's: found over printable fillings."""
    target, head = zlib.crc32(wanted), body[:-1] + b', "x": "'
    basis: list[tuple[int, int]] = []
    # CRC-32 is affine: choose for each of 48 places one of two letters so that the differences add up.
    length, start = 48, bytearray(head + b"A" * 48 + b'"}')
    zero = zlib.crc32(bytes(start))
    rows = []
    for place in range(length):
        start[len(head) + place] ^= 0x02  # A and C
        rows.append(zlib.crc32(bytes(start)) ^ zero)
        start[len(head) + place] ^= 0x02
    for place, difference in enumerate(rows):
        row, mask = difference, 1 << place
        for pivot, used in basis:
            if row ^ pivot < row:
                row, mask = row ^ pivot, mask ^ used
        if row:
            basis.append((row, mask))
            basis.sort(reverse=True)
    rest, chosen = zero ^ target, 0
    for pivot, used in basis:
        if rest ^ pivot < rest:
            rest, chosen = rest ^ pivot, chosen ^ used
    assert rest == 0
    for place in itertools.compress(range(length), (chosen >> bit & 1 for bit in range(length))):
        start[len(head) + place] ^= 0x02
    return bytes(start)


def test_btcpay_invoices_that_come_to_nothing() -> None:
    """And those that are still on their way."""
    scribe = BTCPayScribe()
    for event, kind in (
        ("InvoiceExpired", K.SALE_FAILED),
        ("InvoiceInvalid", K.SALE_FAILED),
        ("InvoiceCreated", K.IGNORED),
        ("InvoiceProcessing", K.IGNORED),
        ("InvoicePaymentSettled", K.IGNORED),
    ):
        assert one(scribe, scribe._signed(scribe.event(event))).kind is kind


def test_moments_that_are_none_are_malformed() -> None:
    """Not a crash, and not now."""
    for scribe, name in (
        (CCBillScribe(), "timestamp"),
        (SegpayScribe(), "billertranstime"),
        (EpochScribe(), "event_datetime"),
    ):
        for moment in ("yesterday", "0001-01-01T00:00:00+23:59", "99999999999999", "2026-13-41 25:61:61"):
            with pytest.raises(Refusal, match="MALFORMED"):
                scribe.processor.read(scribe.sale(extra={name: moment}))


def test_a_notice_is_never_of_later_than_it_came() -> None:
    """Whatever zone a processor's clock stands in."""
    scribe = SegpayScribe()
    assert one(scribe, scribe.sale(moment=NOW + timedelta(hours=9))).occur_time == NOW
