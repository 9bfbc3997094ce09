"""BTCPay Server's Greenfield API (https://docs.btcpayserver.org/API/Greenfield/v1/).

It knows no idempotency keys: an invoice is looked for by our checkout before one is made, and a refund by its key. A refund is a claim (a pull
payment): its page, `<server>/pull-payments/<id>`, asks the buyer where to. Nobody can be charged who is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from services.kit.clock import Clock
from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.processors.amounts import decimal, of_decimal
from services.payments.processors.btcpay import webhooks
from services.payments.processors.btcpay.webhooks import NAME
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
    Standing,
    State,
    Unknown,
    Unreachable,
)
from services.payments.processors.outgoing import Caller, is_reference, lists_of, object_of, page, segment

_STATES: Final = {
    "New": State.PENDING,
    "Processing": State.PENDING,
    "Settled": State.PAID,
    "Expired": State.FAILED,
    "Invalid": State.FAILED,
}
_OPEN: Final = frozenset({"New", "Processing", "Settled"})


class BTCPay:
    """One store.

    Args:
        means: to call with.
        account: its settings and secrets.
    """

    name: Final = NAME
    renews_by_itself: Final = False

    def __init__(self, means: Means, account: Account) -> None:
        settings, secrets = account.settings, account.secrets
        self._store = settings["store_id"]
        self._payout_method = settings.get("payout_method", "BTC-CHAIN")
        self._secret = secrets["webhook_secret"]
        self._clock: Clock = means.clock
        root = f"{settings['url'].rstrip('/')}/api/v1/stores/{segment(self._store)}"
        self._call = Caller(means.http, root, {"authorization": f"token {secrets['api_key']}"})

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """An invoice; the one that there is, if there is one that can still be paid."""
        if checkout.recurrence is not None or checkout.keep_payment_method or not checkout.amount.minor_units:
            raise refusals.processor_refused(
                NAME, "crypto currency is paid once, and for something; offer another way for subscriptions"
            )
        found = await self._call("GET", "/invoices", params={"orderId": checkout.checkout_id})
        for invoice in lists_of(found):
            if invoice.get("status") in _OPEN and _order(invoice) == checkout.checkout_id:
                return _page(invoice)
        options: dict[str, object] = {
            "redirectURL": checkout.return_url,
            "redirectAutomatically": True,
            "paymentTolerance": 0,
        }
        if checkout.expire_time is not None:
            left = (checkout.expire_time - self._clock.now()).total_seconds() / 60
            options["expirationMinutes"] = max(1, int(left))
        asked = {
            "amount": decimal(checkout.amount),
            "currency": checkout.amount.currency,
            "metadata": {"orderId": checkout.checkout_id, "itemDesc": checkout.title},
            "checkout": options,
        }
        made = await self._call("POST", "/invoices", json=asked)
        if made.status_code != 200:
            raise refusals.processor_refused(
                NAME, "the store does not take this invoice; check the key's permissions and the currency"
            )
        return _page(object_of(made))

    async def refund(self, refund: Refund) -> Outcome:
        """A claim on so much, which the buyer makes at the server."""
        try:
            found = await self._call("GET", "/pull-payments", params={"includeArchived": "true"})
            for claim in lists_of(found):
                if claim.get("name") == refund.idempotency_key:
                    return Approved(str(claim["id"]))
            if found.status_code != 200:
                return Unknown(f"HTTP {found.status_code}")
            asked = {
                "name": refund.idempotency_key,
                "refundVariant": "Custom",
                "customAmount": decimal(refund.amount),
                "customCurrency": refund.amount.currency,
                "payoutMethodId": self._payout_method,
            }
            made = await self._call("POST", f"/invoices/{segment(refund.transaction_reference)}/refund", json=asked)
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        claim_id = object_of(made).get("id")
        if made.status_code == 200 and isinstance(claim_id, str):
            return Approved(claim_id)
        if made.status_code in {401, 403} or made.status_code == 200:
            return Unknown(f"HTTP {made.status_code}")
        return Declined(f"HTTP {made.status_code}", retryable=False)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """There is nothing that would go on."""
        return Approved(subscription_reference or key)

    async def query(self, reference: str) -> Standing:
        """How an invoice stands."""
        if not is_reference(reference):
            return Standing(State.ABSENT)
        response = await self._call("GET", f"/invoices/{segment(reference)}")
        if response.status_code == 404:
            return Standing(State.ABSENT)
        invoice = object_of(response)
        state = _STATES.get(str(invoice.get("status")))
        if response.status_code != 200 or state is None:
            raise Unreachable(f"HTTP {response.status_code}")
        try:
            amount = of_decimal(NAME, str(invoice.get("amount")), str(invoice.get("currency")))
            moment = datetime.fromtimestamp(int(str(invoice.get("createdTime"))), UTC)
        except (Refusal, ValueError, OverflowError):
            raise Unreachable("the answer is no invoice") from None
        return Standing(state, reference, amount, occur_time=moment)

    async def charge(self, charge: Charge) -> Outcome:
        """Nobody's crypto currency can be taken; they give it."""
        return Declined("crypto currency is only given by its owner", retryable=False)

    def read(self, delivery: Delivery) -> Reading:
        """See `webhooks`."""
        return webhooks.read(delivery, self._secret, self._store)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """Any 2xx will do."""
        return Acknowledgement()


def _order(invoice: Mapping[str, Any]) -> object:
    metadata = invoice.get("metadata")
    return metadata.get("orderId") if isinstance(metadata, dict) else None


def _page(invoice: Mapping[str, Any]) -> HostedPage:
    return HostedPage(page(invoice.get("checkoutLink")), reference=str(invoice.get("id", "")))


def kind(servers: Sequence[str]) -> ProcessorKind:
    """BTCPay at one of these servers. Which they are is the operator's to say: an organisation could name anything inside."""
    known = frozenset(server.rstrip("/") for server in servers)

    def made(account: Account, means: Means) -> BTCPay:
        if account.settings["url"].rstrip("/") not in known:
            raise ValueError(
                "url is no server that the operator lets be asked; it is one of REELMESH_PAYMENTS_BTCPAY_SERVERS"
            )
        return BTCPay(means, account)

    return ProcessorKind(
        NAME,
        "BTCPay Server",
        made,
        settings={"url": "Where the server is, such as https://btcpay.example.com.", "store_id": "The store's id."},
        optional_settings={"payout_method": "How refunds are paid, such as BTC-CHAIN or BTC-LN; BTC-CHAIN if absent."},
        secrets={
            "api_key": "A key that may see, create and modify the store's invoices and create its pull payments.",
            "webhook_secret": "Signs its webhooks.",
        },
    )
