"""Published pairs, and what the processors' own libraries say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import stripe

from services.kit.errors import Refusal
from services.payments.processors.adyen.webhooks import signature as adyen_signature
from services.payments.processors.btcpay import webhooks as btcpay
from services.payments.processors.ccbill.digests import form_digest
from services.payments.processors.contract import Delivery
from services.payments.processors.epoch.digests import digest as epoch_digest
from services.payments.processors.stripe import webhooks as stripe_webhooks
from tests.payments.processors.accounts import NOW, SECRETS
from tests.payments.processors.json_scribes import StripeScribe
from tests.payments.processors.scribe import delivered

VECTORS = Path(__file__).resolve().parents[4] / "shared/vectors/payments/signature_vectors.json"


@pytest.fixture(scope="module")
def vectors() -> Any:
    """All of them."""
    if not VECTORS.exists():
        pytest.skip(f"the vectors are not beside the repository: {VECTORS}")
    return json.loads(VECTORS.read_bytes())


def test_all_vectors_are_used(vectors: Any) -> None:
    """A new kind of vector wants a test."""
    assert {name: len(found) for name, found in vectors.items()} == {
        "ccbill": 1,
        "epoch": 1,
        "stripe": 1,
        "adyen": 1,
        "btcpay": 1,
    }


def test_ccbill_form_digest(vectors: Any) -> None:
    """https://ccbill.com/doc/formdigest-value."""
    (one,) = vectors["ccbill"]
    assert form_digest(one["salt"], one["initialPrice"], one["initialPeriod"], one["currencyCode"]) == one["md5"]


def test_epoch_digest(vectors: Any) -> None:
    """As Epoch's own requests have it; the digest itself is left out of what it is over."""
    (one,) = vectors["epoch"]
    assert epoch_digest(one["key"], one["params"]) == one["epoch_digest"]
    assert epoch_digest(one["key"], {**one["params"], "epoch_digest": "x"}) == one["epoch_digest"]


def test_stripe_signature(vectors: Any) -> None:
    """What Stripe's library signs is known here, and at the moment that it says."""
    (one,) = vectors["stripe"]
    moment = stripe_webhooks.signed_at(one["secret"], one["payload"].encode(), one["header"])
    assert moment is not None
    assert moment.timestamp() == one["timestamp"]


def test_stripes_library_and_we_agree_on_the_past_and_not_on_the_future() -> None:
    """The library takes a signature that is good for a year to come; that is why it does not verify here."""
    scribe = StripeScribe()
    secret = SECRETS["stripe"]["webhook_secret"]
    good = scribe.sale()
    verify = stripe.WebhookSignature.verify_header
    verify(good.body.decode(), good.headers["stripe-signature"], secret, tolerance=None)
    scribe.processor.read(good)
    for bad in scribe.tampered():
        with pytest.raises(Refusal):
            scribe.processor.read(bad)
    year_ahead = 4_000_000_000
    header = f"t={year_ahead},v1={stripe_webhooks.signature(secret, b'{}', year_ahead)}"
    assert verify("{}", header, secret, tolerance=300)
    with pytest.raises(Refusal, match="WEBHOOK_OUT_OF_TIME"):
        scribe.processor.read(delivered(b"{}", {"stripe-signature": header}))


def test_adyen_item(vectors: Any) -> None:
    """The item of Adyen's documents, with what comes beside the eight fields changed at will."""
    (one,) = vectors["adyen"]
    key = bytes.fromhex(one["key_hex"])
    assert adyen_signature(key, one["item"]).decode() == one["hmac_b64"]
    assert adyen_signature(key, {**one["item"], "paymentMethod": "mc", "reason": "x"}).decode() == one["hmac_b64"]
    for name, value in (
        ("pspReference", "1"),
        ("merchantReference", "1"),
        ("eventCode", "REFUND"),
        ("success", "false"),
    ):
        assert adyen_signature(key, {**one["item"], name: value}).decode() != one["hmac_b64"]


def test_btcpay_delivery(vectors: Any) -> None:
    """Signed as the Greenfield documents say; it is of 2023, so the rest is read at that time."""
    (one,) = vectors["btcpay"]
    body = one["body"].encode()
    assert btcpay.signature(one["secret"], body) == one["header"]
    moment = NOW.fromtimestamp(1_700_000_000, NOW.tzinfo)
    delivery = Delivery({"btcpay-sig": one["header"]}, "", body, "198.51.100.7", moment)
    (notice,) = btcpay.read(delivery, one["secret"], "s").notices
    assert (notice.dedupe_key, notice.transaction_reference) == ("d1", "i")
