"""CCBill's pages (https://ccbill.com/doc/dynamic-pricing-flexforms) and its API (https://ccbill.com/doc/ccbill-api-guide).

References here are `subscriptionId:transactionId`, because the API takes nothing but subscriptions. It knows no idempotency keys, so a refund
is only sent where a second one would find nothing left: of the whole. CCBill's refund also ends the subscription that it is of. Its
answer -7 has many causes, a passing failure of its own among them (https://ccbill.com/doc/ccbill-api-7-error-explained); what the other
numbers mean was not found in a form that could be relied on, so that they stand in reasons as they are.
Where a buyer goes after paying is set at CCBill with the form, not by the checkout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from typing import Final
from urllib.parse import quote, urlencode

from services.payments import refusals
from services.payments.ledger.currencies import currency
from services.payments.processors import proofs
from services.payments.processors.amounts import decimal
from services.payments.processors.ccbill.digests import form_digest
from services.payments.processors.ccbill.webhooks import CHECKOUT_FIELD, NAME, Webhooks
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
    RetryPolicy,
    Standing,
    State,
    Unknown,
    Unreachable,
)
from services.payments.processors.outgoing import Caller

NETWORKS: Final = tuple(ip_network(f"64.38.{third}.0/24") for third in (212, 215, 240, 241))
_CURRENCIES: Final = frozenset({"USD", "EUR", "GBP", "CAD", "AUD", "JPY"})
FORMS: Final = "https://api.ccbill.com/wap-frontflex/flexforms"
DATALINK: Final = "https://datalink.ccbill.com"
_ENDLESS: Final = "99"
_ANSWER: Final = re.compile(r"<results>\s*(-?[0-9]+)\s*</results>")
_FIELD: Final = re.compile(r"<([A-Za-z]+)>([^<]{0,200})</\1>")


class CCBill:
    """One sub-account.

    Args:
        means: to call with.
        account: its settings and secrets.
        forms_url: where the forms are.
        datalink_url: where DataLink is.
    """

    name: Final = NAME
    renews_by_itself: Final = True

    def __init__(self, means: Means, account: Account, *, forms_url: str = FORMS, datalink_url: str = DATALINK) -> None:
        settings, secrets = account.settings, account.secrets
        self._numbers = settings["client_accnum"], settings["client_subacc"].zfill(4)
        self._form = f"{forms_url}/{quote(settings['flex_id'], safe='')}"
        self._salt = secrets["salt"]
        self._days = settings.get("period_days", "30")
        self._login = {"username": settings["datalink_username"], "password": secrets["datalink_password"]}
        self._call = Caller(means.http, datalink_url)
        self._webhooks = Webhooks(self._numbers, self._salt, proofs.networks_of(settings, NETWORKS))

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """The form's URL with a price that nobody can change. Nothing is asked of CCBill for it."""
        if checkout.amount.currency not in _CURRENCIES:
            raise refusals.processor_refused(
                NAME, f"CCBill takes no {checkout.amount.currency}; offer another currency"
            )
        price, recurring, days = _price(checkout.amount), None, self._days
        number = currency(checkout.amount.currency).number
        fields = {"clientAccnum": self._numbers[0], "clientSubacc": self._numbers[1], "initialPrice": price}
        if checkout.recurrence is not None:
            days = str(checkout.recurrence.first_period_days)
            recurring = _price(checkout.recurrence.amount), str(checkout.recurrence.period_days), _ENDLESS
            fields |= dict(zip(("recurringPrice", "recurringPeriod", "numRebills"), recurring, strict=True))
        fields |= {
            "initialPeriod": days,
            "currencyCode": number,
            "formDigest": form_digest(self._salt, price, days, number, recurring),
            CHECKOUT_FIELD: checkout.checkout_id,
        }
        return HostedPage(f"{self._form}?{urlencode(fields)}")

    async def refund(self, refund: Refund) -> Outcome:
        """Gives the whole of a subscription's first payment back, and ends it."""
        if not refund.whole:
            return Declined("CCBill gives back a part only in its own portal", retryable=False)
        subscription = refund.transaction_reference.partition(":")[0]
        outcome = await self._asked("refundTransaction", subscription, amount=_price(refund.amount))
        return Approved(f"{refund.transaction_reference}:refund") if isinstance(outcome, Approved) else outcome

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Ends renewals. When that is refused, a look tells whether they had ended before."""
        outcome = await self._asked("cancelSubscription", subscription_reference)
        if isinstance(outcome, Declined):
            try:
                status = (await self._status(subscription_reference)).get("subscriptionStatus")
            except Unreachable as error:
                return Unknown(str(error), error.retry_after)
            if status in {"0", "1"}:
                return Approved(subscription_reference)
        return outcome

    async def query(self, reference: str) -> Standing:
        """How the subscription of a transaction stands: CCBill says nothing of single transactions, and nothing that means that there is none.
        That its answer counts refunds, voids and chargebacks is as merchants find it; without counts it is PAID."""
        subscription, _, _ = reference.partition(":")
        fields = await self._status(subscription)
        state = State.PAID
        for name, found in (
            ("refundsIssued", State.REFUNDED),
            ("voidsIssued", State.VOID),
            ("chargebacksIssued", State.CHARGED_BACK),
        ):
            if fields.get(name, "0").strip("0"):
                state = found
        return Standing(state, reference, subscription_reference=subscription)

    async def charge(self, charge: Charge) -> Outcome:
        """CCBill renews by itself."""
        return Declined("CCBill renews by itself", retryable=False)

    def read(self, delivery: Delivery) -> Reading:
        """See `webhooks`."""
        return self._webhooks.read(delivery)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """Any 200 will do."""
        return Acknowledgement()

    async def _asked(self, action: str, subscription: str, **arguments: str) -> Outcome:
        try:
            answer = _ANSWER.search(await self._post(action, subscription, arguments))
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        code = answer[1] if answer else ""
        if code == "1":
            return Approved(subscription)
        if code in {"", "-7"}:
            return Unknown(f"CCBill's answer to {action} is {code or 'none that is known'}")
        return Declined(f"CCBill's answer to {action} is {code}", retryable=False)

    async def _status(self, subscription: str) -> Mapping[str, str]:
        text = await self._post("viewSubscriptionStatus", subscription, {})
        fields = dict(_FIELD.findall(text))
        if "subscriptionStatus" not in fields:
            raise Unreachable("CCBill's answer to viewSubscriptionStatus is none that is known")
        return fields

    async def _post(self, action: str, subscription: str, arguments: Mapping[str, str]) -> str:
        """Arguments go into the body, so that the password stands in nobody's access log."""
        number, sub = self._numbers
        named = {"clientAccnum": number, "usingSubacc": sub, "subscriptionId": subscription, "returnXML": "1"}
        response = await self._call(
            "POST", "/utils/subscriptionManagement.cgi", data={"action": action, **named, **self._login, **arguments}
        )
        if response.status_code != 200:
            raise Unreachable(f"HTTP {response.status_code}")
        return response.text


def _price(amount: Amount) -> str:
    """With two decimals, whatever the currency (https://ccbill.com/doc/dynamic-pricing-flexforms)."""
    text = decimal(amount)
    return text if "." in text else f"{text}.00"


def _made(account: Account, means: Means) -> CCBill:
    return CCBill(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "CCBill",
    _made,
    settings={
        "client_accnum": "The main account number, six digits.",
        "client_subacc": "The sub-account number, four digits.",
        "flex_id": "The id of the FlexForms payment flow, with dynamic pricing.",
        "datalink_username": "The user of the DataLink services suite.",
    },
    optional_settings={
        "period_days": "How many days a single payment is said to be good for, 2 to 365; 30 if absent.",
    },
    secrets={"salt": "The sub-account's encryption key.", "datalink_password": "The password of the DataLink user."},
    source_networks=NETWORKS,
    retries=RetryPolicy(attempts=1, patience=timedelta(seconds=20)),
)
