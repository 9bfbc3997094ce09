"""Coinbase Commerce's charges (https://docs.cdp.coinbase.com/commerce/reference/createcharge).

Coinbase moves merchants on to other interfaces (https://docs.cdp.coinbase.com/coinbase-business/checkout-apis/migrate-from-commerce); this is
for accounts that still have this one. It can neither cancel a charge nor give one back, and knows no idempotency keys, so the same checkout
again makes another charge: a buyer who pays both on purpose has paid twice, and both sales are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.processors.amounts import decimal, of_decimal
from services.payments.processors.coinbase import webhooks
from services.payments.processors.coinbase.webhooks import CHECKOUT_FIELD, NAME
from services.payments.processors.contract import (
    Account,
    Acknowledgement,
    Approved,
    Charge,
    Checkout,
    Declined,
    Delivery,
    HostedPage,
    Means,
    Outcome,
    ProcessorKind,
    Reading,
    Refund,
    RetryPolicy,
    Standing,
    State,
    Unreachable,
)
from services.payments.processors.outgoing import Caller, is_reference, object_of, page, segment

_STATES: Final = {
    "NEW": State.PENDING,
    "SIGNED": State.PENDING,
    "PENDING": State.PENDING,
    "COMPLETED": State.PAID,
    "RESOLVED": State.PAID,
    "UNRESOLVED": State.PENDING,
    "EXPIRED": State.FAILED,
    "CANCELED": State.FAILED,
    "FAILED": State.FAILED,
}


URL: Final = "https://api.commerce.coinbase.com"


class Coinbase:
    """One merchant account.

    Args:
        means: to call with.
        account: its settings and secrets.
        url: where its API is.
    """

    name: Final = NAME
    renews_by_itself: Final = False

    def __init__(self, means: Means, account: Account, *, url: str = URL) -> None:
        self._secret = account.secrets["webhook_secret"]
        headers = {"x-cc-api-key": account.secrets["api_key"], "x-cc-version": "2018-03-22"}
        self._call = Caller(means.http, url, headers)

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """A charge with a fixed price."""
        if checkout.recurrence is not None or checkout.keep_payment_method or not checkout.amount.minor_units:
            raise refusals.processor_refused(
                NAME, "crypto currency is paid once, and for something; offer another way for subscriptions"
            )
        asked = {
            "name": checkout.title,
            "description": checkout.title,
            "pricing_type": "fixed_price",
            "local_price": {"amount": decimal(checkout.amount), "currency": checkout.amount.currency},
            "metadata": {CHECKOUT_FIELD: checkout.checkout_id},
            "redirect_url": checkout.return_url,
            "cancel_url": checkout.cancel_url,
        }
        response = await self._call("POST", "/charges", json=asked)
        if response.status_code not in {200, 201}:
            raise refusals.processor_refused(
                NAME, "Coinbase does not take this charge; check the account's key and the currency"
            )
        data = _data(response)
        return HostedPage(page(data.get("hosted_url")), reference=str(data.get("code") or data.get("id") or ""))

    async def refund(self, refund: Refund) -> Outcome:
        """Not by Coinbase."""
        return Declined("Coinbase Commerce gives nothing back; send it from the merchant's own wallet", retryable=False)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """There is nothing that would go on."""
        return Approved(subscription_reference or key)

    async def query(self, reference: str) -> Standing:
        """How a charge stands, by the last word of its timeline."""
        if not is_reference(reference):
            return Standing(State.ABSENT)
        response = await self._call("GET", f"/charges/{segment(reference)}")
        if response.status_code == 404:
            return Standing(State.ABSENT)
        data = _data(response)
        steps = [step for step in data.get("timeline") or () if isinstance(step, dict)]
        state = _STATES.get(str(steps[-1].get("status"))) if steps else None
        price = (data.get("pricing") or {}).get("local") if isinstance(data.get("pricing"), dict) else None
        if response.status_code != 200 or state is None or not isinstance(price, dict):
            raise Unreachable(f"HTTP {response.status_code}")
        try:
            amount = of_decimal(NAME, str(price.get("amount")), str(price.get("currency")).upper())
            moment = datetime.fromisoformat(str(steps[-1].get("time")))
        except (Refusal, ValueError):
            raise Unreachable("the answer is no charge") from None
        return Standing(state, reference, amount, occur_time=moment if moment.tzinfo else moment.replace(tzinfo=UTC))

    async def charge(self, charge: Charge) -> Outcome:
        """Nobody's crypto currency can be taken; they give it."""
        return Declined("crypto currency is only given by its owner", retryable=False)

    def read(self, delivery: Delivery) -> Reading:
        """See `webhooks`."""
        return webhooks.read(delivery, self._secret)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """Any 2xx will do."""
        return Acknowledgement()


def _data(response: Any) -> Mapping[str, Any]:
    data = object_of(response).get("data")
    return data if isinstance(data, dict) else {}


def _made(account: Account, means: Means) -> Coinbase:
    return Coinbase(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "Coinbase Commerce",
    _made,
    secrets={"api_key": "The account's API key.", "webhook_secret": "The shared secret of its webhook subscription."},
    retries=RetryPolicy(attempts=1, patience=timedelta(seconds=20)),
)
