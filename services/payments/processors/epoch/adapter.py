"""Epoch's join pages, and cancelling by its customer search.

No public page of Epoch's own describes them; what is here is as merchants use them: `https://wnu.com/secure/services/?api=join&pi_code=…` with
`pi_returnurl`, `no_userpass` and anything that begins with `x_`, and `https://epoch.com/services/customer_search/index.json?api_action=cancel`.
Prices are kept at Epoch under product codes, so each price that is offered needs one. How a refund is asked for, or a transaction is looked
at, was not found: refunds are made in Epoch's portal and come back by DataPlus, and `query` cannot be answered. What the answer to a
cancellation says was not found either; what is not a plain error is taken for done, and the notice of the cancellation confirms it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from services.payments import refusals
from services.payments.processors import proofs, tariffs
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
    Unknown,
    Unreachable,
)
from services.payments.processors.epoch.digests import FIELD, digest
from services.payments.processors.epoch.postbacks import CHECKOUT_FIELD, NAME, Postbacks
from services.payments.processors.outgoing import Caller, object_of
from services.payments.processors.redaction import words

PAGE: Final = "https://wnu.com/secure/services/"
SEARCH: Final = "https://epoch.com/services/customer_search"


class Epoch:
    """One company code.

    Args:
        means: to call with.
        account: its settings and secrets.
        page_url: where the pages are.
        search_url: where the customer search is.
    """

    name: Final = NAME
    renews_by_itself: Final = True

    def __init__(self, means: Means, account: Account, *, page_url: str = PAGE, search_url: str = SEARCH) -> None:
        settings, secrets = account.settings, account.secrets
        self._page = page_url
        self._products = tariffs.of_setting(settings["products"])
        self._key = secrets["digest_key"]
        self._login = {"auth_user": settings["search_user"], "auth_pass": secrets["search_password"]}
        self._call = Caller(means.http, search_url)
        networks = proofs.networks_of(settings)
        bare = settings.get("data_plus_digest", "yes") == "no"
        if bare and not networks:
            raise ValueError(
                "nothing would show that DataPlus is Epoch's; set source_networks, or have it sent with digests"
            )
        self._postbacks = Postbacks(
            self._key, networks, settings.get("settlement_currency", "USD"), bare_data_plus=bare
        )

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """The join page of the product with this price. Nothing is asked of Epoch for it."""
        price = tariffs.price_of(checkout)
        if price not in self._products:
            raise refusals.processor_refused(NAME, "no product code of the account has this price; add it to products")
        fields = {
            "api": "join",
            "pi_code": self._products[price],
            "reseller": "a",
            "no_userpass": "1",
            "pi_returnurl": checkout.return_url,
            CHECKOUT_FIELD: checkout.checkout_id,
        }
        return HostedPage(f"{self._page}?{urlencode({**fields, FIELD: digest(self._key, fields)})}")

    async def refund(self, refund: Refund) -> Outcome:
        """Not by Epoch's interfaces."""
        return Declined("Epoch gives money back only in its own portal", retryable=False)

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Ends renewals. The password stands in the query, because Epoch takes it nowhere else."""
        asked = {"api_action": "cancel", "member_id": subscription_reference, "cancel_reason": "wmapprvd"}
        try:
            response = await self._call("GET", "/index.json", params={**self._login, **asked})
        except Unreachable as error:
            return Unknown(str(error), error.retry_after)
        answer = object_of(response)
        if response.status_code != 200 or not answer:
            return Unknown(f"HTTP {response.status_code}")
        if error_text := answer.get("error") or answer.get("errors"):
            return Declined(words(error_text) or "error", retryable=False)
        return Approved(subscription_reference)

    async def query(self, reference: str) -> Standing:
        """Cannot be answered, which is a clear answer and no failure of Epoch's.

        Raises:
            Refusal: `PROCESSOR_REFUSED`.
        """
        raise refusals.processor_refused(NAME, "Epoch cannot be asked about a transaction; its postbacks tell")

    async def charge(self, charge: Charge) -> Outcome:
        """Epoch renews by itself."""
        return Declined("Epoch renews by itself", retryable=False)

    def read(self, delivery: Delivery) -> Reading:
        """See `postbacks`."""
        return self._postbacks.read(delivery)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """`OK`, or Epoch sends again."""
        return Acknowledgement(body=b"OK")


def _made(account: Account, means: Means) -> Epoch:
    return Epoch(means, account)


KIND: Final = ProcessorKind(
    NAME,
    "Epoch",
    _made,
    settings={
        "products": "Product codes by price: USD 9.99 = abc1p2; USD 1.99/3 9.99/30 = abc1p3.",
        "search_user": "The user of the customer search.",
    },
    optional_settings={
        "data_plus_digest": "no, when DataPlus comes without digests; source_networks must then be set.",
        "settlement_currency": "Of amounts that come without a currency; USD if absent.",
    },
    secrets={"digest_key": "The key of epoch_digest.", "search_password": "The password of the customer search."},
)
