"""Stripe's API by its own library (https://docs.stripe.com/api): Checkout sessions, payment intents, refunds.

A subscription is ours, not Stripe's: the payment method is saved with the first payment and charged by us. A session lives for half an hour to
a day. Stripe remembers an idempotency key for a day and longer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import stripe

from services.kit.errors import Refusal
from services.payments import refusals
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
from services.payments.processors.outgoing import is_reference, page
from services.payments.processors.redaction import words
from services.payments.processors.stripe import webhooks
from services.payments.processors.stripe.shared_client import SharedClient
from services.payments.processors.stripe.webhooks import CHECKOUT_FIELD, NAME, RENEWAL_FIELD, SCALE

_SHORTEST, _LONGEST = timedelta(minutes=31), timedelta(hours=23, minutes=59)
_FINAL: Final = frozenset(
    "authentication_required card_not_supported do_not_try_again expired_card fraudulent incorrect_number invalid_account invalid_number "
    "lost_card merchant_blacklist pickup_card resource_missing restricted_card revocation_of_all_authorizations "
    "revocation_of_authorization stolen_card stop_payment_order transaction_not_allowed".split()
)
"""Declines that no other day changes (https://docs.stripe.com/declines/codes)."""


class Stripe:
    """One account.

    Args:
        means: to call with.
        account: its settings and secrets.
        url: where its API is.
    """

    name: Final = NAME
    renews_by_itself: Final = False

    def __init__(self, means: Means, account: Account, *, url: str = stripe.DEFAULT_API_BASE) -> None:
        self._clock = means.clock
        self._live = not account.test_mode
        self._secret = account.secrets["webhook_secret"]
        self._client = stripe.StripeClient(
            account.secrets["api_key"],
            base_addresses={"api": url},
            http_client=SharedClient(means.http),
            max_network_retries=0,
        )

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """A Checkout session: for a payment, or, where nothing is paid yet, for keeping a payment method."""
        metadata = {CHECKOUT_FIELD: checkout.checkout_id}
        asked: dict[str, Any] = {
            "client_reference_id": checkout.checkout_id,
            "metadata": metadata,
            "success_url": checkout.return_url,
            "cancel_url": checkout.cancel_url,
        }
        if checkout.expire_time is not None:
            now = self._clock.now()
            asked["expires_at"] = int(min(max(checkout.expire_time, now + _SHORTEST), now + _LONGEST).timestamp())
        if not checkout.amount.minor_units:
            asked |= {
                "mode": "setup",
                "currency": checkout.amount.currency.lower(),
                "customer_creation": "always",
                "setup_intent_data": {"metadata": metadata},
            }
        else:
            asked |= {"mode": "payment", "payment_intent_data": {"metadata": metadata}}
            if checkout.keep_payment_method:
                asked["payment_intent_data"]["setup_future_usage"] = "off_session"
                asked["customer_creation"] = "always"
        try:
            if checkout.amount.minor_units:
                asked["line_items"] = [_line(checkout)]
            session = await self._client.v1.checkout.sessions.create_async(
                asked,  # type: ignore[arg-type]  # put together above
                {"idempotency_key": checkout.checkout_id},
            )
        except stripe.InvalidRequestError as error:
            message = f"Stripe does not take this checkout ({error.code or error.param or 'invalid'}); check the amount and the currency"
            raise refusals.processor_refused(NAME, message) from None
        except stripe.StripeError as error:
            raise _unreachable(error) from None
        except ValueError as error:
            raise refusals.processor_refused(NAME, str(error)) from None
        return HostedPage(page(_said(session, "url")), reference=str(_said(session, "id") or ""))

    async def refund(self, refund: Refund) -> Outcome:
        """Sends money back."""
        kind = "charge" if refund.transaction_reference.startswith("ch_") else "payment_intent"
        try:
            asked: Any = {kind: refund.transaction_reference, "amount": SCALE.written(refund.amount)}
            made = await self._client.v1.refunds.create_async(asked, {"idempotency_key": refund.idempotency_key})
        except (stripe.StripeError, Unreachable) as error:
            return _outcome(error)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        status, reference = _said(made, "status"), _said(made, "id")
        if status in {"failed", "canceled"}:
            return Declined(words(_said(made, "failure_reason") or status), retryable=False)
        if not status or not reference:
            return Unknown("the answer is no refund")
        return Approved(reference)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Nothing goes on at Stripe by itself, so that nothing need be ended."""
        return Approved(subscription_reference or key)

    async def query(self, reference: str) -> Standing:
        """How a session, a payment intent or a setup intent stands."""
        if not is_reference(reference):
            return Standing(State.ABSENT)
        try:
            if reference.startswith("cs_"):
                return await self._session(reference)
            if reference.startswith("seti_"):
                setup = await self._client.v1.setup_intents.retrieve_async(reference)
                return _set_up(setup)
            found = await self._client.v1.payment_intents.retrieve_async(reference, {"expand": ["latest_charge"]})
            return _standing(found)
        except stripe.InvalidRequestError as error:
            if error.http_status == 404:
                return Standing(State.ABSENT)
            raise _unreachable(error) from None
        except stripe.StripeError as error:
            raise _unreachable(error) from None
        except (AttributeError, KeyError, TypeError):  # the library raises these for what is missing
            raise Unreachable("the answer is none of Stripe's") from None

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money by a saved payment method, whose owner is not there."""
        customer, _, method = charge.payment_method_reference.partition(":")
        asked: Any = {
            "customer": customer,
            "payment_method": method,
            "currency": charge.amount.currency.lower(),
            "confirm": True,
            "off_session": True,
            "metadata": {CHECKOUT_FIELD: charge.checkout_id, RENEWAL_FIELD: charge.idempotency_key},
        }
        if charge.description:
            asked["description"] = charge.description
        try:
            asked["amount"] = SCALE.written(charge.amount)
            made = await self._client.v1.payment_intents.create_async(
                asked, {"idempotency_key": charge.idempotency_key}
            )
        except (stripe.StripeError, Unreachable) as error:
            return _outcome(error)
        except ValueError as error:
            return Declined(str(error), retryable=False)
        status, reference = _said(made, "status"), _said(made, "id")
        if status == "succeeded" and reference:
            return Approved(reference)
        if status == "requires_action":
            return Declined("authentication_required", retryable=False)
        if status in {"requires_payment_method", "canceled"}:
            return Declined(status, retryable=False)
        return Unknown(f"payment intent {words(status)}")

    def read(self, delivery: Delivery) -> Reading:
        """See `webhooks`."""
        return webhooks.read(delivery, self._secret, live=self._live)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """Any 2xx will do."""
        return Acknowledgement()

    async def _session(self, reference: str) -> Standing:
        session = await self._client.v1.checkout.sessions.retrieve_async(reference)
        if isinstance(session.payment_intent, str):
            found = await self._client.v1.payment_intents.retrieve_async(
                session.payment_intent, {"expand": ["latest_charge"]}
            )
            return _standing(found)
        if isinstance(session.setup_intent, str) and session.status == "complete":
            return _set_up(await self._client.v1.setup_intents.retrieve_async(session.setup_intent))
        return Standing(State.FAILED if session.status == "expired" else State.PENDING, reference)


def _said(answer: object, name: str) -> str:
    """A text of an answer; empty where there is none. The library raises for what is missing."""
    value = getattr(answer, name, None)
    return value if isinstance(value, str) else ""


def _line(checkout: Checkout) -> dict[str, object]:
    price = {
        "currency": checkout.amount.currency.lower(),
        "unit_amount": SCALE.written(checkout.amount),
        "product_data": {"name": checkout.title},
    }
    return {"price_data": price, "quantity": 1}


def _set_up(setup: stripe.SetupIntent) -> Standing:
    state = {"succeeded": State.PAID, "canceled": State.FAILED}.get(setup.status, State.PENDING)
    return Standing(state, setup.id, payment_method_reference=_method(setup.customer, setup.payment_method))


def _standing(found: stripe.PaymentIntent) -> Standing:
    state = {"succeeded": State.PAID, "canceled": State.FAILED}.get(found.status, State.PENDING)
    amount, refunded = None, 0
    charge = found.latest_charge if isinstance(found.latest_charge, stripe.Charge) else None
    try:
        if state is State.PAID:
            amount = SCALE.amount(found.amount_received, found.currency.upper())
        if charge is not None and charge.amount_refunded:
            refunded = SCALE.amount(charge.amount_refunded, charge.currency.upper()).minor_units
    except Refusal:
        raise Unreachable("the answer is no payment") from None
    if charge is not None:
        state = State.CHARGED_BACK if charge.disputed else State.REFUNDED if refunded else state
    moment = datetime.fromtimestamp(found.created, UTC)
    return Standing(state, found.id, amount, refunded, moment, _method(found.customer, found.payment_method))


def _method(customer: object, method: object) -> str:
    return f"{customer}:{method}" if isinstance(customer, str) and isinstance(method, str) else ""


def _outcome(error: stripe.StripeError | Unreachable) -> Outcome:
    """A card's decline, or what is wrong with the request, is a no. A key that is in use or was used for something else, an account that may
    not, a network that failed: nobody knows."""
    if isinstance(error, stripe.CardError):
        code = str(getattr(error.error, "decline_code", None) or error.code or "declined")
        return Declined(words(code), retryable=code not in _FINAL)
    if isinstance(error, stripe.InvalidRequestError) and error.http_status in {400, 402, 404}:
        return Declined(words(error.code or error.param or "invalid_request"), retryable=False)
    failure = error if isinstance(error, Unreachable) else _unreachable(error)
    return Unknown(str(failure), failure.retry_after)


def _unreachable(error: stripe.StripeError) -> Unreachable:
    return Unreachable(f"{type(error).__name__} {error.http_status or ''}".strip())


def _made(account: Account, means: Means) -> Stripe:
    return Stripe(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "Stripe",
    _made,
    secrets={
        "api_key": "A secret or restricted key.",
        "webhook_secret": "The signing secret of the webhook endpoint, whsec_….",
    },
)
