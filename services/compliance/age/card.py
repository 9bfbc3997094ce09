"""A credit card, which banks give to adults only: set up at Stripe without charging it, then looked at for whether it is one.

API: Checkout Sessions with `mode=setup`, the webhook `checkout.session.completed` with `Stripe-Signature`, and the SetupIntent's
`payment_method.card.funding` (docs.stripe.com). The number stays at Stripe; whose card it is and what it is called are not asked for.
"""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from services.compliance.age import refusals
from services.compliance.age.calling import asked as ask
from services.compliance.age.calling import page_of
from services.compliance.age.contract import (
    CREDIT_CARD,
    OK,
    PASSED,
    UNFIT,
    UNSURE,
    Asked,
    Begun,
    Delivery,
    Find,
    Taken,
    Verdict,
    read_token,
)
from services.compliance.age.signing import inner, is_signed, json_object

ADULT: Final = 18
_INTENT: Final = re.compile(r"seti_[A-Za-z0-9_]{1,200}")


class CreditCard:
    """An account with Stripe.

    Args:
        name: as URLs have it.
        http: with time limits set.
        url: base URL of the API.
        api_key, webhook_secret: of the account.
    """

    methods: Final = (CREDIT_CARD,)
    repeats: Final = True

    def __init__(self, name: str, http: httpx.AsyncClient, *, url: str, api_key: str, webhook_secret: str) -> None:
        self._name = name
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"}
        self._secret = webhook_secret

    def proves(self, threshold: int) -> bool:
        """Adults have credit cards; how old they are besides is not known."""
        return threshold <= ADULT

    async def begin(self, asked: Asked) -> Begun:
        """Makes a page on which a card is entered."""
        form = {
            "mode": "setup",
            "payment_method_types[0]": "card",
            "client_reference_id": asked.check_id,
            "metadata[age_check]": asked.token,
            "success_url": asked.return_url,
            "cancel_url": asked.return_url,
        }
        headers = {**self._headers, "idempotency-key": asked.check_id}
        url = f"{self._url}/v1/checkout/sessions"
        answer = await ask(self._http, self._name, "POST", url, headers=headers, form=form)
        return Begun(page_of(self._name, answer.get("url")))

    async def take(self, delivery: Delivery, find: Find) -> Taken:
        """Takes that a card was entered, and looks at which kind of card it is."""
        header = delivery.headers.get("stripe-signature", "")
        if not is_signed(self._secret, delivery.body, header, delivery.receive_time):
            raise refusals.age_delivery_not_authentic(self._name)
        event = json_object(self._name, delivery.body)
        if event.get("type") not in {"checkout.session.completed", "checkout.session.expired"}:
            return Taken(OK)
        session = inner(self._name, inner(self._name, event.get("data")).get("object"))
        metadata = session.get("metadata")
        if not isinstance(metadata, dict) or "age_check" not in metadata:
            return Taken(OK)  # somebody bought something with the same account
        check_id, nonce = read_token(self._name, metadata["age_check"])
        await find(check_id)
        if event["type"] == "checkout.session.expired":
            return Taken(OK, check_id, nonce, UNSURE)
        return Taken(OK, check_id, nonce, await self._verdict(session.get("setup_intent")))

    async def _verdict(self, intent: Any) -> Verdict:
        if not isinstance(intent, str) or not _INTENT.fullmatch(intent):
            raise refusals.age_delivery_malformed(self._name, "it names no card")
        url = f"{self._url}/v1/setup_intents/{intent}?expand[]=payment_method"
        found = await ask(self._http, self._name, "GET", url, headers=self._headers)
        method = found.get("payment_method")
        card = method.get("card") if isinstance(method, dict) else None
        if found.get("status") != "succeeded" or not isinstance(card, dict):
            return UNSURE
        return PASSED if card.get("funding") == "credit" else UNFIT
