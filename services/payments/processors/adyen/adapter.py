"""Adyen's Checkout API (https://docs.adyen.com/api-explorer/Checkout): payment links, payments with stored methods, refunds.

Payments are captured at once: the account must not be set to capture by hand. A buyer's stored method belongs to a shopper whose reference is
our checkout. Adyen has no question for how a payment stands, only for how a link does; its webhooks and daily reports tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import httpx

from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.processors import proofs
from services.payments.processors.adyen import webhooks
from services.payments.processors.adyen.webhooks import NAME, RENEWAL_MARK, SCALE
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
from services.payments.processors.redaction import words

_TEST: Final = "https://checkout-test.adyen.com/v71"
_LINKS: Final = {
    "active": State.PENDING,
    "paymentPending": State.PENDING,
    "completed": State.PENDING,
    "paid": State.PENDING,
    "expired": State.FAILED,
}
"""A link that is paid counts as pending: what its payment is called, and so what it is known by, only the webhook tells."""
_PREFIX: Final = re.compile(r"[A-Za-z0-9-]{1,80}", re.ASCII)
_FINAL: Final = frozenset("5 6 8 14 20 22 24 25 26 31 38".split())
"""Refusal reasons that no other day changes: blocked, expired, invalid, fraud, restricted, revoked, authentication wanted
(https://docs.adyen.com/development-resources/refusal-reasons)."""
_ACTIONS: Final = frozenset({"RedirectShopper", "ChallengeShopper", "IdentifyShopper", "PresentToShopper"})
_UNSETTLED: Final = frozenset({400, 404, 422})


class Adyen:
    """One merchant account.

    Args:
        means: to call with.
        account: its settings and secrets.
        url: where the Checkout API is, with its version; by default that of the account's environment.
    """

    name: Final = NAME
    renews_by_itself: Final = False

    def __init__(self, means: Means, account: Account, *, url: str = "") -> None:
        settings, secrets = account.settings, account.secrets
        self._merchant = settings["merchant_account"]
        self._live = not account.test_mode
        try:
            self._hmac_key = bytes.fromhex(secrets["hmac_key"])
        except ValueError:
            raise ValueError(
                "hmac_key is not written in hexadecimal digits; copy it from the webhook's settings"
            ) from None
        if not url:
            prefix = settings.get("live_prefix", "")
            if self._live and not _PREFIX.fullmatch(prefix):
                raise ValueError("a live account needs live_prefix, such as 1797a841fbb37ca7-AdyenDemo")
            url = f"https://{prefix}-checkout-live.adyenpayments.com/checkout/v71" if self._live else _TEST
        self._networks = proofs.networks_of(settings)
        self._call = Caller(means.http, url, {"x-api-key": secrets["api_key"]})

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """A payment link."""
        try:
            money = _money(checkout.amount)
        except ValueError as error:
            raise refusals.processor_refused(NAME, str(error)) from None
        asked: dict[str, object] = {
            "merchantAccount": self._merchant,
            "reference": checkout.checkout_id,
            "amount": money,
            "description": checkout.title,
            "returnUrl": checkout.return_url,
            "reusable": False,
        }
        if checkout.expire_time is not None:
            asked["expiresAt"] = checkout.expire_time.astimezone(UTC).isoformat(timespec="seconds")
        if checkout.keep_payment_method:
            asked |= {
                "shopperReference": checkout.checkout_id,
                "storePaymentMethodMode": "enabled",
                "recurringProcessingModel": "Subscription",
            }
        response = await self._post("/paymentLinks", asked, checkout.checkout_id)
        if response.status_code not in {200, 201}:
            raise refusals.processor_refused(
                NAME, "Adyen does not take this checkout; check the account's key, its name and the currency"
            )
        link = object_of(response)
        return HostedPage(page(link.get("url")), reference=str(link.get("id", "")))

    async def refund(self, refund: Refund) -> Outcome:
        """Sends money back; that Adyen has received the order is as good as done, and a webhook says if it was not."""
        try:
            asked = {
                "merchantAccount": self._merchant,
                "amount": _money(refund.amount),
                "reference": refund.idempotency_key,
            }
            path = f"/payments/{segment(refund.transaction_reference)}/refunds"
            response = await self._post(path, asked, refund.idempotency_key)
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        answer = object_of(response)
        reference = answer.get("pspReference")
        if response.is_success and isinstance(reference, str):
            return Approved(reference)
        return _refused(response, answer)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Nothing goes on at Adyen by itself, so that nothing need be ended."""
        return Approved(subscription_reference or key)

    async def query(self, reference: str) -> Standing:
        """How a payment link stands.

        Raises:
            Unreachable: ask again.
            Refusal: `PROCESSOR_REFUSED` for a payment, about which Adyen cannot be asked.
        """
        if not reference.startswith("PL") or not is_reference(reference):
            raise refusals.processor_refused(NAME, "Adyen cannot be asked about a payment; its webhooks tell")
        response = await self._call("GET", f"/paymentLinks/{segment(reference)}")
        if response.status_code == 404:
            return Standing(State.ABSENT)
        link = object_of(response)
        state, money = _LINKS.get(str(link.get("status"))), link.get("amount")
        if response.status_code != 200 or state is None or not isinstance(money, dict):
            raise Unreachable(f"HTTP {response.status_code}")
        amount = None
        if money.get("value") != 0:
            try:
                amount = SCALE.amount(money.get("value"), money.get("currency"))
            except Refusal:
                raise Unreachable("the answer is no payment link") from None
        return Standing(state, reference, amount)

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money by a stored method, whose shopper is not there."""
        shopper, _, stored = charge.payment_method_reference.partition(":")
        if not stored:
            return Declined("the payment method is none that Adyen keeps", retryable=False)
        tail = hashlib.sha256(charge.idempotency_key.encode()).hexdigest()[:32]  # 80 characters is all there is
        asked = {
            "merchantAccount": self._merchant,
            "reference": f"{charge.checkout_id or shopper}{RENEWAL_MARK}{tail}",
            "paymentMethod": {"type": "scheme", "storedPaymentMethodId": stored},
            "shopperReference": shopper,
            "shopperInteraction": "ContAuth",
            "recurringProcessingModel": "Subscription",
        }
        try:
            response = await self._post("/payments", {**asked, "amount": _money(charge.amount)}, charge.idempotency_key)
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        answer = object_of(response)
        return _charged(answer) if response.is_success else _refused(response, answer)

    def read(self, delivery: Delivery) -> Reading:
        """See `webhooks`."""
        return webhooks.read(delivery, self._hmac_key, self._merchant, live=self._live, networks=self._networks)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """`[accepted]`, or Adyen sends again."""
        return Acknowledgement(body=b"[accepted]")

    async def _post(self, path: str, asked: Mapping[str, object], key: str) -> httpx.Response:
        return await self._call("POST", path, {"idempotency-key": key}, json=asked)


def _money(amount: Amount) -> dict[str, object]:
    """An amount in Adyen's form.

    Raises:
        ValueError: it has parts of a unit that Adyen does not count.
    """
    return {"value": SCALE.written(amount), "currency": amount.currency}


def _charged(answer: Mapping[str, Any]) -> Outcome:
    result, reference = str(answer.get("resultCode", "")), answer.get("pspReference")
    if result == "Authorised" and isinstance(reference, str):
        return Approved(reference)
    code = str(answer.get("refusalReasonCode", ""))
    if result in {"Refused", "Cancelled", "Error"}:
        return Declined(words(answer.get("refusalReason") or result), retryable=code not in _FINAL)
    if result in _ACTIONS:
        return Declined("authentication_required", retryable=False)
    return Unknown(f"resultCode {words(result) or 'missing'}")


def _refused(response: httpx.Response, answer: Mapping[str, Any]) -> Outcome:
    """What is wrong with the request is a no; what is wrong with the account or the moment is none."""
    if response.status_code in _UNSETTLED:
        return Declined(f"{response.status_code} {words(answer.get('errorCode'))}".strip(), retryable=False)
    return Unknown(f"HTTP {response.status_code}")


def _made(account: Account, means: Means) -> Adyen:
    return Adyen(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "Adyen",
    _made,
    settings={"merchant_account": "The merchant account's name, such as ExampleCOM."},
    optional_settings={
        "live_prefix": "The prefix of the live URLs; needed by live accounts.",
    },
    secrets={
        "api_key": "A key of a web service user with the Checkout role.",
        "hmac_key": "Signs its webhooks; hexadecimal.",
    },
)
