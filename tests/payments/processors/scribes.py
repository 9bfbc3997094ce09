"""All scribes."""

from __future__ import annotations

from tests.payments.processors.form_scribes import CCBillScribe, EpochScribe, SegpayScribe
from tests.payments.processors.json_scribes import AdyenScribe, BTCPayScribe, CoinbaseScribe, StripeScribe
from tests.payments.processors.paypal_scribe import PayPalScribe
from tests.payments.processors.scribe import Scribe

SCRIBES: tuple[type[Scribe], ...] = (
    AdyenScribe,
    BTCPayScribe,
    CCBillScribe,
    CoinbaseScribe,
    EpochScribe,
    PayPalScribe,
    SegpayScribe,
    StripeScribe,
)


async def scribe_of(made: type[Scribe]) -> Scribe:
    """A scribe whose processor can read what it writes."""
    scribe = made()
    return await scribe.prepared() if isinstance(scribe, PayPalScribe) else scribe
