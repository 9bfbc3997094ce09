"""Segpay's payment pages and SRS calls.

Pages: https://gethelp.segpay.com/docs/Content/MPFeatures/DynamicPricing.htm. Calls:
https://gethelp.segpay.com/docs/Content/DeveloperDocs/SRS-ConsumerSupport.htm. Single payments have dynamic prices, for which SRS gives an id
first; in what form it answers is not written there, so that JSON, XML and plain text are understood. Subscriptions have prices that were set
up at Segpay, each under an e-ticket. SRS takes its key in the query, knows no idempotency keys, gives back whole transactions only, and how
its reports answer when asked about one transaction was not found: `query` cannot be answered.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from services.payments import refusals
from services.payments.processors import proofs, tariffs
from services.payments.processors.amounts import decimal
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
    Unknown,
    Unreachable,
)
from services.payments.processors.outgoing import Caller, object_of
from services.payments.processors.redaction import words
from services.payments.processors.segpay.postbacks import CHECKOUT_FIELD, NAME, Postbacks, refund_reference

_XML: Final = re.compile(r"<string[^>]*>([^<]*)</string>")
_PRICE_ID: Final = re.compile(r"[A-Za-z0-9+/=_-]{8,200}", re.ASCII)
PAGE: Final = "https://secure2.segpay.com/billing/poset.cgi"
SRS: Final = "https://srs.segpay.com"
_DONE: Final = "successful"
_CANCELLED: Final = "subscription not active"


class Segpay:
    """One merchant account.

    Args:
        means: to call with.
        account: its settings and secrets.
        page_url: where the pages are.
        srs_url: where SRS is.
    """

    name: Final = NAME
    renews_by_itself: Final = True

    def __init__(self, means: Means, account: Account, *, page_url: str = PAGE, srs_url: str = SRS) -> None:
        settings, secrets = account.settings, account.secrets
        self._page = page_url
        self._merchant = settings["merchant_id"]
        self._eticket = settings["eticket_id"]
        self._etickets = tariffs.of_setting(settings.get("subscription_etickets", ""))
        self._login = settings["srs_user"], secrets["srs_access_key"]
        self._call = Caller(means.http, srs_url)
        self._answer = settings.get("acknowledgement", "GOOD")
        login = settings.get("postback_user", ""), secrets.get("postback_password", "")
        networks = proofs.networks_of(settings)
        if any(login) and not all(login):
            raise ValueError("postback_user and postback_password go together; set both or neither")
        if not all(login) and not networks:
            raise ValueError(
                "nothing would show that a postback is Segpay's; set postback_user and postback_password, or source_networks"
            )
        self._postbacks = Postbacks(networks, login if all(login) else None)

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """The page's URL; its price is Segpay's own, under an e-ticket, or one that it has just given an id for."""
        fields = {
            CHECKOUT_FIELD: checkout.checkout_id,
            "x-auth-link": checkout.return_url,
            "x-auth-text": "Continue",
            "x-decl-link": checkout.cancel_url,
            "x-decl-text": "Back",
        }
        price = tariffs.price_of(checkout)
        if price.renewal is not None:
            if price not in self._etickets:
                raise refusals.processor_refused(
                    NAME, "no e-ticket of the account has this price; add it to subscription_etickets"
                )
            return HostedPage(f"{self._page}?{urlencode({'x-eticketid': self._etickets[price], **fields})}")
        amount = decimal(checkout.amount)
        priced = {"amount": amount, "dynamicpricingid": await self._price_id(amount), "dynamicdesc": checkout.title}
        return HostedPage(f"{self._page}?{urlencode({'x-eticketid': self._eticket, **priced, **fields})}")

    async def refund(self, refund: Refund) -> Outcome:
        """Gives a whole transaction back."""
        if not refund.whole:
            return Declined("Segpay gives back a part only in its own portal", retryable=False)
        reason = {"TransID": refund.transaction_reference, "RefundReason": refund.idempotency_key}
        reference = refund_reference(refund.transaction_reference, refund.amount)
        return await self._asked("RefundTransaction", reference, reason)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Ends renewals; access lasts as long as what is paid."""
        reason = {"PurchaseID": subscription_reference, "CancelReason": key}
        return await self._asked("CancelMembership", subscription_reference, reason)

    async def query(self, reference: str) -> Standing:
        """Cannot be answered, which is a clear answer and no failure of Segpay's.

        Raises:
            Refusal: `PROCESSOR_REFUSED`.
        """
        raise refusals.processor_refused(
            NAME, "Segpay cannot be asked about a transaction; its postbacks and reports tell"
        )

    async def charge(self, charge: Charge) -> Outcome:
        """Segpay renews by itself."""
        return Declined("Segpay renews by itself", retryable=False)

    def read(self, delivery: Delivery) -> Reading:
        """See `postbacks`."""
        return self._postbacks.read(delivery)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """The text that the account was told to expect."""
        return Acknowledgement(body=self._answer.encode())

    async def _price_id(self, amount: str) -> str:
        """An id for a price that its page then charges.

        Raises:
            Unreachable: SRS does not answer, or not with an id.
        """
        asked = {"merchantId": self._merchant, "amount": amount}
        response = await self._call("GET", "/MerchantServices/DynamicPricing/", params=asked, login=self._login)
        if response.status_code != 200:
            raise Unreachable(f"HTTP {response.status_code}")
        found = object_of(response).get("dynamicPricingId")
        if not isinstance(found, str):
            xml = _XML.search(response.text)
            found = xml[1] if xml else response.text.strip().strip('"')
        if not _PRICE_ID.fullmatch(found):
            raise Unreachable("Segpay's answer has no id of a price")
        return found

    async def _asked(self, action: str, reference: str, arguments: dict[str, str]) -> Outcome:
        user, key = self._login
        try:
            response = await self._call(
                "GET", f"/adm.asmx/{action}", params={"Userid": user, "UserAccessKey": key, **arguments}
            )
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        found = _XML.search(response.text)
        text = (found[1] if found else response.text).strip()
        if response.status_code != 200 or not text:
            return Unknown(f"HTTP {response.status_code}")
        if text.lower() == _DONE or (action == "CancelMembership" and text.lower().startswith(_CANCELLED)):
            return Approved(reference)
        return Declined(words(text), retryable=False)


def _made(account: Account, means: Means) -> Segpay:
    return Segpay(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "Segpay",
    _made,
    settings={
        "merchant_id": "The merchant account's number.",
        "eticket_id": "Package and dynamic price point, such as 199225:26943, for single payments.",
        "srs_user": "The user of the reporting service (SRS).",
    },
    optional_settings={
        "subscription_etickets": "E-tickets of subscriptions by price: USD 1.99/3 9.99/30 = 199225:26944; one for each.",
        "postback_user": "The user that postbacks come with.",
        "acknowledgement": "What Segpay expects to hear; GOOD if absent.",
    },
    secrets={"srs_access_key": "The access key of the reporting service."},
    optional_secrets={"postback_password": "The password that postbacks come with."},
    retries=RetryPolicy(attempts=1, patience=timedelta(seconds=20)),
)
