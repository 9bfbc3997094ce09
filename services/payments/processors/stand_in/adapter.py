"""The adapter of the stand-in processor. Also the shortest example of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from services.payments import refusals
from services.payments.processors.amounts import of_minor_units
from services.payments.processors.contract import (
    REPLAY_WINDOW,
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
from services.payments.processors.stand_in.signing import HEADER, signed_at

NAME: Final = "stand_in"
_KINDS: Final[Mapping[str, NoticeKind]] = {
    "sale.approved": NoticeKind.SALE,
    "sale.declined": NoticeKind.SALE_FAILED,
    "charge.approved": NoticeKind.RENEWAL,
    "charge.declined": NoticeKind.RENEWAL_FAILED,
    "refund.made": NoticeKind.REFUND,
    "chargeback.made": NoticeKind.CHARGEBACK,
    "chargeback.won": NoticeKind.CHARGEBACK_WON,
}
_TEXTS: Final = ("transaction", "original", "checkout_id", "payment_method")
_MONEY: Final = frozenset({NoticeKind.SALE, NoticeKind.RENEWAL, NoticeKind.REFUND, NoticeKind.CHARGEBACK})


class StandIn:
    """One account with the stand-in.

    Args:
        url: where its API is.
        api_key: opens it.
        webhook_secret: signs what it tells.
    """

    name: Final = NAME
    renews_by_itself: Final = False

    def __init__(self, means: Means, url: str, api_key: str, webhook_secret: str) -> None:
        self._http = means.http
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._secret = webhook_secret

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """Makes a page; the same one for the same checkout."""
        asked = {
            "checkout_id": checkout.checkout_id,
            "minor_units": checkout.amount.minor_units,
            "currency": checkout.amount.currency,
            "title": checkout.title,
            "return_url": checkout.return_url,
            "cancel_url": checkout.cancel_url,
            "notify_url": checkout.notify_url,
        }
        try:
            response = await self._post("/v1/pages", asked, checkout.checkout_id)
        except httpx.HTTPError as error:
            raise Unreachable(type(error).__name__) from error
        if response.is_client_error:
            raise refusals.processor_refused(NAME, "the stand-in does not take this checkout; check the account's key")
        answer = _answer(response)
        return HostedPage(str(answer["url"]), reference=str(answer["page"]))

    async def refund(self, refund: Refund) -> Outcome:
        """Sends money back."""
        asked = {"minor_units": refund.amount.minor_units, "currency": refund.amount.currency}
        return await self._outcome(
            f"/v1/transactions/{refund.transaction_reference}/refunds", asked, refund.idempotency_key
        )

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Nothing goes on here by itself, so that nothing need be ended."""
        return Approved(subscription_reference or key)

    async def query(self, reference: str) -> Standing:
        """How a transaction or a page stands."""
        try:
            response = await self._http.get(f"{self._url}/v1/transactions/{reference}", headers=self._headers())
        except httpx.HTTPError as error:
            raise Unreachable(type(error).__name__) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return Standing(State.ABSENT)
        answer = _answer(response)
        return Standing(
            State[str(answer["state"])],
            str(answer["transaction"]),
            Amount(int(answer["minor_units"]), str(answer["currency"])),
            int(answer["refunded"]),
            datetime.fromtimestamp(int(answer["time"]), UTC),
            str(answer["payment_method"]),
        )

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money by a payment method that was used before."""
        asked = {
            "payment_method": charge.payment_method_reference,
            "checkout_id": charge.checkout_id,
            "minor_units": charge.amount.minor_units,
            "currency": charge.amount.currency,
        }
        return await self._outcome("/v1/charges", asked, charge.idempotency_key)

    def read(self, delivery: Delivery) -> Reading:
        """Checks the signature over the raw body, its moment, and reads the one event in it."""
        signed = signed_at(self._secret, delivery.body, delivery.headers.get(HEADER, ""))
        if signed is None:
            raise refusals.webhook_not_authentic(NAME)
        if abs(delivery.receive_time.timestamp() - signed) > REPLAY_WINDOW.total_seconds():
            raise refusals.webhook_out_of_time(NAME)
        return _read(delivery.body, delivery.receive_time)

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """Any 2xx would do."""
        return Acknowledgement(body=b"ok")

    def _headers(self, key: str = "") -> dict[str, str]:
        named = {"idempotency-key": key} if key else {}
        return {"authorization": f"Bearer {self._api_key}", **named}

    async def _post(self, path: str, asked: Mapping[str, object], key: str) -> httpx.Response:
        return await self._http.post(self._url + path, json=asked, headers=self._headers(key))

    async def _outcome(self, path: str, asked: Mapping[str, object], key: str) -> Outcome:
        try:
            response = await self._post(path, asked, key)
            if response.status_code == httpx.codes.PAYMENT_REQUIRED:
                answer = response.json()
                return Declined(str(answer["reason"])[:200], bool(answer["retryable"]))
            if response.is_client_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return Declined(f"HTTP {response.status_code}", retryable=False)
            return Approved(str(_answer(response)["transaction"]))
        except (httpx.HTTPError, Unreachable, KeyError, ValueError) as error:
            return Unknown(type(error).__name__)


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json() if response.is_success else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unreachable(f"HTTP {response.status_code}")
    return answer


def _read(body: bytes, now: datetime) -> Reading:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise refusals.webhook_malformed(NAME, "the body is no JSON") from None
    if not isinstance(event, dict):
        raise refusals.webhook_malformed(NAME, "the body is no object")
    kind = _KINDS.get(str(event.get("type")), NoticeKind.IGNORED)
    texts = {name: _text(event, name) for name in _TEXTS}
    moment = event.get("time")
    if not isinstance(moment, int) or not 0 < moment < 2**33:
        raise refusals.webhook_malformed(NAME, "time is no moment")
    amount = of_minor_units(NAME, event.get("minor_units"), event.get("currency")) if kind in _MONEY else None
    notice = Notice(
        dedupe_key=_text(event, "id", least=1),
        kind=kind,
        occur_time=min(datetime.fromtimestamp(moment, UTC), now),
        transaction_reference=texts["transaction"],
        original_reference=texts["original"],
        checkout_id=texts["checkout_id"],
        amount=amount,
        payment_method_reference=texts["payment_method"],
        reason=_text(event, "reason"),
    )
    kept = {name: event[name] for name in ("id", "type", "time", "minor_units", "currency", *_TEXTS) if name in event}
    return Reading((notice,), json.dumps(kept, sort_keys=True).encode())


def _text(event: Mapping[str, object], name: str, *, least: int = 0) -> str:
    value = event.get(name, "")
    if not isinstance(value, str) or not least <= len(value) <= 200 or not value.isascii() or not value.isprintable():
        raise refusals.webhook_malformed(NAME, f"{name} is no text of up to 200 characters")
    return value


def kind(url: str) -> ProcessorKind:
    """The stand-in at a URL. That is the operator's to say, not an organisation's, whose setting could have us call anybody inside."""

    def made(account: Account, means: Means) -> StandIn:
        return StandIn(means, url, account.secrets["api_key"], account.secrets["webhook_secret"])

    return ProcessorKind(
        NAME,
        "Stand-in (moves no money)",
        made,
        secrets={"api_key": "opens its API", "webhook_secret": "signs its webhooks"},
    )
