"""PayPal's REST APIs (https://developer.paypal.com/docs/api/orders/v2/, …/payments/v2/).

A buyer only approves an order on PayPal's page; taking the money is ours. `query` of an approved order does that, under a key of the order's
own, so that it is taken once however often it is asked. A wallet that is to be charged again is vaulted with the first order; its token is
told by `query`, not by the webhook of the sale.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.processors.amounts import decimal, of_decimal
from services.payments.processors.contract import (
    Account,
    Acknowledgement,
    Amount,
    Approved,
    Charge,
    Checkout,
    Declined,
    Delivery,
    HostedPage,
    Means,
    Notice,
    NoticeKind,
    Outcome,
    ProcessorKind,
    Reading,
    Refund,
    Standing,
    State,
    Unknown,
    Unreachable,
)
from services.payments.processors.outgoing import Caller, is_reference, object_of, page, segment
from services.payments.processors.paypal import webhooks
from services.payments.processors.paypal.certificates import HOSTS, NAMES, Certificates, public_roots
from services.payments.processors.paypal.webhooks import APPROVED, NAME, RENEWAL_MARK
from services.payments.processors.redaction import words

_URLS: Final = {True: "https://api-m.paypal.com", False: "https://api-m.sandbox.paypal.com"}
_WHOLE_ONLY: Final = frozenset({"HUF", "TWD", "JPY"})
"""Currencies in which PayPal takes no decimals (https://developer.paypal.com/reference/currency-codes/)."""
_CAPTURES: Final = {
    "COMPLETED": State.PAID,
    "PENDING": State.PENDING,
    "PARTIALLY_REFUNDED": State.REFUNDED,
    "REFUNDED": State.REFUNDED,
    "DECLINED": State.FAILED,
    "FAILED": State.FAILED,
}
_RETRYABLE: Final = frozenset(
    "INSTRUMENT_DECLINED PAYER_ACTION_REQUIRED TRANSACTION_REFUSED TRANSACTION_LIMIT_EXCEEDED MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED".split()
)
_SPARE: Final = timedelta(minutes=1)
_PATIENCE: Final = 3.0
"""Seconds that a delivery waits for its certificate, and what came with it; PayPal sends it again."""


class PayPal:
    """One REST app.

    Args:
        means: to call with.
        account: its settings and secrets.
        url: where its API is; by default PayPal's live one, or its sandbox.
        certificates: of webhooks; by default PayPal's, from PayPal's hosts, under the roots that browsers trust.
    """

    name: Final = NAME
    renews_by_itself: Final = False

    def __init__(
        self, means: Means, account: Account, *, url: str = "", certificates: Certificates | None = None
    ) -> None:
        settings, secrets, live = account.settings, account.secrets, not account.test_mode
        self._webhook_id = settings["webhook_id"]
        self._login = settings["client_id"], secrets["client_secret"]
        self._clock = means.clock
        self._call = Caller(means.http, url or _URLS[live])
        fetching = Caller(means.http, "")

        async def fetch(url: str) -> bytes:
            response = await fetching("GET", url)
            if response.status_code != 200:
                raise Unreachable(f"HTTP {response.status_code}")
            return response.content

        name = settings.get("certificate_name", NAMES[live])
        if not name.endswith(".paypal.com"):
            raise ValueError("certificate_name is not one of PayPal's; it ends with .paypal.com")
        self._certificates = certificates or Certificates(fetch, means.clock, HOSTS[live], name, public_roots)
        self._token: tuple[str, datetime] | None = None

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """An order, and the page on which its buyer approves it."""
        if not checkout.amount.minor_units:
            raise refusals.processor_refused(NAME, "PayPal takes no checkout of nothing; offer another way for trials")
        context = {
            "return_url": checkout.return_url,
            "cancel_url": checkout.cancel_url,
            "user_action": "PAY_NOW",
            "shipping_preference": "NO_SHIPPING",
        }
        wallet: dict[str, object] = {"experience_context": context}
        if checkout.keep_payment_method:
            wallet["attributes"] = {"vault": {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT"}}
        unit = {"custom_id": checkout.checkout_id, "description": checkout.title[:127]}
        try:
            asked = _order({**unit, "amount": _written(checkout.amount)}, wallet)
        except ValueError as error:
            raise refusals.processor_refused(NAME, str(error)) from None
        response = await self._post("/v2/checkout/orders", asked, checkout.checkout_id)
        if response.status_code not in {200, 201}:
            raise refusals.processor_refused(
                NAME, f"PayPal does not take this checkout ({_issue(response)}); check the account and the currency"
            )
        order = object_of(response)
        links = {str(link.get("rel")): link.get("href") for link in order.get("links") or () if isinstance(link, dict)}
        return HostedPage(page(links.get("payer-action") or links.get("approve")), reference=str(order.get("id", "")))

    async def refund(self, refund: Refund) -> Outcome:
        """Sends money back."""
        try:
            path = f"/v2/payments/captures/{segment(refund.transaction_reference)}/refund"
            response = await self._post(path, {"amount": _written(refund.amount)}, refund.idempotency_key)
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        made = object_of(response)
        if not response.is_success:
            return _refused(response)
        match made.get("status"):
            case "COMPLETED":
                return Approved(str(made.get("id")))
            case "FAILED" | "CANCELLED":
                return Declined("the refund failed at PayPal", retryable=False)
            case status:
                return Unknown(f"refund {words(status)}")

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Nothing goes on at PayPal by itself, so that nothing need be ended."""
        return Approved(subscription_reference or key)

    async def query(self, reference: str) -> Standing:
        """How a capture or an order stands. An order that its buyer has approved is captured by this."""
        if not is_reference(reference):
            return Standing(State.ABSENT)
        response = await self._get(f"/v2/payments/captures/{segment(reference)}")
        if response.status_code == 200:
            return await self._capture(object_of(response))
        if response.status_code != 404:
            raise Unreachable(f"HTTP {response.status_code}")
        response = await self._get(f"/v2/checkout/orders/{segment(reference)}")
        if response.status_code == 404:
            return Standing(State.ABSENT)
        order = object_of(response)
        if response.status_code == 200 and order.get("status") == "APPROVED":
            taken = await self._post(f"/v2/checkout/orders/{segment(reference)}/capture", {}, f"capture-{reference}")
            if taken.is_success:
                order = object_of(taken)
            elif taken.status_code == 422:
                return Standing(State.FAILED if _issue(taken) in _RETRYABLE else State.PENDING, reference)
            else:
                raise Unreachable(f"HTTP {taken.status_code}")
        elif response.status_code != 200:
            raise Unreachable(f"HTTP {response.status_code}")
        captures = _captures(order)
        if not captures:
            return Standing(State.VOID if order.get("status") == "VOIDED" else State.PENDING, reference)
        return await self._capture(captures[0], _vaulted(order), order)

    def to_complete(self, notice: Notice) -> str:
        """The order, when its buyer has approved it."""
        return notice.transaction_reference if notice.kind is NoticeKind.IGNORED and notice.reason == APPROVED else ""

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money from a vaulted wallet, whose owner is not there."""
        unit: dict[str, object] = {"custom_id": f"{charge.checkout_id}{RENEWAL_MARK}{charge.idempotency_key}"}
        if charge.description:
            unit["description"] = charge.description[:127]
        try:
            asked = _order({**unit, "amount": _written(charge.amount)}, {"vault_id": charge.payment_method_reference})
            response = await self._post("/v2/checkout/orders", asked, charge.idempotency_key)
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        if not response.is_success:
            return _refused(response)
        captures = _captures(object_of(response))
        if not captures:
            return Declined("PayPal wants the buyer's approval", retryable=False)
        match captures[0].get("status"):
            case "COMPLETED":
                return Approved(str(captures[0].get("id")))
            case "DECLINED" | "FAILED":
                return Declined("the wallet was declined", retryable=True)
            case status:
                return Unknown(f"capture {words(status)}")

    async def prepare(self, delivery: Delivery) -> None:
        """Fetches the certificate that a delivery says it is signed with, if that is PayPal's to give."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._certificates.prepare(delivery.headers.get("paypal-cert-url", ""))

    def read(self, delivery: Delivery) -> Reading:
        """See `webhooks`. The certificate must have been prepared."""
        return webhooks.read(delivery, self._webhook_id, self._certificates.found)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """Any 2xx will do."""
        return Acknowledgement()

    async def _capture(
        self, capture: Mapping[str, Any], vaulted: str = "", order: Mapping[str, Any] | None = None
    ) -> Standing:
        state = _CAPTURES.get(str(capture.get("status")))
        money = capture.get("amount")
        if state is None or not isinstance(money, dict):
            raise Unreachable("the answer is no capture")
        try:
            amount = of_decimal(NAME, str(money.get("value")), str(money.get("currency_code")).upper())
            moment = datetime.fromisoformat(str(capture.get("create_time")))
        except (Refusal, ValueError):
            raise Unreachable("the answer is no capture") from None
        refunded = 0
        if capture.get("status") == "REFUNDED":
            refunded = amount.minor_units
        elif state is State.REFUNDED:
            refunded = _refunded(order or await self._order_of(capture), str(capture.get("id")))
        return Standing(state, str(capture.get("id")), amount, refunded, moment, vaulted)

    async def _order_of(self, capture: Mapping[str, Any]) -> Mapping[str, Any]:
        related = capture.get("supplementary_data")
        ids = related.get("related_ids") if isinstance(related, dict) else None
        order_id = str(ids.get("order_id")) if isinstance(ids, dict) else ""
        response = await self._get(f"/v2/checkout/orders/{segment(order_id)}") if is_reference(order_id) else None
        if response is None or response.status_code != 200:
            raise Unreachable("PayPal does not say how much was refunded")
        return object_of(response)

    async def _get(self, path: str) -> httpx.Response:
        return await self._authorised("GET", path, {})

    async def _post(self, path: str, asked: Mapping[str, object], key: str) -> httpx.Response:
        return await self._authorised(
            "POST", path, {"paypal-request-id": key, "prefer": "return=representation"}, json=asked
        )

    async def _authorised(self, method: str, path: str, headers: Mapping[str, str], **content: Any) -> httpx.Response:
        token = await self._authorisation()
        response = await self._call(method, path, {**headers, "authorization": f"Bearer {token}"}, **content)
        if response.status_code == 401:
            self._token = None
            raise Unreachable("HTTP 401")
        return response

    async def _authorisation(self) -> str:
        """An access token; the one that there is, while it is good."""
        now = self._clock.now()
        if self._token is not None and now < self._token[1]:
            return self._token[0]
        response = await self._call(
            "POST", "/v1/oauth2/token", login=self._login, data={"grant_type": "client_credentials"}
        )
        answer = object_of(response)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if response.status_code != 200 or not isinstance(token, str) or not isinstance(seconds, int):
            raise Unreachable(f"PayPal gives no access token: HTTP {response.status_code}")
        self._token = token, now + timedelta(seconds=min(seconds, 86400)) - _SPARE
        return token


def _order(unit: Mapping[str, object], wallet: Mapping[str, object]) -> dict[str, object]:
    return {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": {"paypal": wallet}}


def _written(amount: Amount) -> dict[str, str]:
    """An amount in PayPal's form.

    Raises:
        ValueError: it has decimals that PayPal does not take.
    """
    text = decimal(amount)
    if amount.currency in _WHOLE_ONLY:
        text, _, rest = text.partition(".")
        if rest.strip("0"):
            raise ValueError(f"PayPal takes no fractions in {amount.currency}")
    return {"currency_code": amount.currency, "value": text}


def _captures(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _payments(order, "captures")


def _payments(order: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    units = order.get("purchase_units")
    for unit in units if isinstance(units, list) else ():
        payments = unit.get("payments") if isinstance(unit, dict) else None
        listed = payments.get(name) if isinstance(payments, dict) else None
        found.extend(one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict))
    return found


def _refunded(order: Mapping[str, Any], capture: str) -> int:
    total = 0
    for refund in _payments(order, "refunds"):
        links = [link for link in refund.get("links") or () if isinstance(link, dict)]
        of_it = any(link.get("rel") == "up" and str(link.get("href")).endswith(f"/{capture}") for link in links)
        money = refund.get("amount")
        if of_it and refund.get("status") == "COMPLETED" and isinstance(money, dict):
            try:
                total += of_decimal(NAME, str(money.get("value")), str(money.get("currency_code")).upper()).minor_units
            except Refusal:
                raise Unreachable("the answer is no refund") from None
    return total


def _vaulted(order: Mapping[str, Any]) -> str:
    found: Any = order
    for name in ("payment_source", "paypal", "attributes", "vault", "id"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _issue(response: httpx.Response) -> str:
    answer = object_of(response)
    details = answer.get("details")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    return words(first.get("issue") or answer.get("name") or f"HTTP {response.status_code}")


def _refused(response: httpx.Response) -> Outcome:
    """What is wrong with the request is a no; what is wrong with the account or the moment is none."""
    issue = _issue(response)
    if response.status_code in {400, 404, 422}:
        return Declined(issue, retryable=issue in _RETRYABLE)
    return Unknown(f"HTTP {response.status_code} {issue}")


def _made(account: Account, means: Means) -> PayPal:
    return PayPal(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "PayPal",
    _made,
    settings={"client_id": "The REST app's client id.", "webhook_id": "The id of the app's webhook."},
    optional_settings={
        "certificate_name": "The name in the certificates that webhooks are signed with, should PayPal change it.",
    },
    secrets={"client_secret": "The REST app's secret."},
)
