"""What every payment processor is to the rest of the service.

An adapter is one `ProcessorKind`, which makes a `Processor` for each account that an organisation has there. `read` and `acknowledgement` are
pure: whatever they need is in the delivery or was handed in when the adapter was made, time included. Everything else calls the processor, by
the HTTP client that it was given, and never keeps or logs what is secret or looks like a card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, unique
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal, NamedTuple, Protocol

import httpx

from services.kit.clock import Clock

REPLAY_WINDOW: Final = timedelta(seconds=300)
"""How far a signed moment may be from `receive_time`, into the past as into the future."""


class Amount(NamedTuple):
    """Money in the smallest unit that its currency has, as the ledger counts it (`ledger/currencies.csv`)."""

    minor_units: int
    currency: str


@unique
class NoticeKind(Enum):
    """What a processor tells of. Values are kept in tables: never renumber."""

    SALE = 1
    SALE_FAILED = 2
    RENEWAL = 3
    RENEWAL_FAILED = 4
    REFUND = 5
    CHARGEBACK = 6
    CHARGEBACK_WON = 7
    VOID = 8
    """The sale was undone before it was settled: nothing was paid in the end."""
    CANCELLATION = 9
    """No further renewals; what was paid for stays good."""
    EXPIRY = 10
    """The subscription is over."""
    IGNORED = 11
    """Authentic, and of no consequence here. It is kept and acknowledged."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a processor tells, in our terms. Empty texts and None stand for what it does not say.

    Attributes:
        dedupe_key: the same for every delivery of the same notice, unique within the account; up to 200 printable characters.
        transaction_reference: the processor's own id of this very transaction (of the refund, where it is one). The ledger knows it by that
            for ever; where the processor has none for a refund or a chargeback, the adapter makes one of the original's.
        original_reference: for a refund, chargeback, win or void: the transaction that it is about. For a renewal: the first sale, if known.
        subscription_reference: the processor's own id of the subscription.
        checkout_id: our `chk_…`, which the processor carries through.
        amount: what was paid or went back; above zero. None: all of it, or not a matter of money.
        occur_time: when it happened, as the processor says; `receive_time` where it does not.
        payment_method_reference: what `charge` takes: an opaque token of the processor's, never a card number.
        fee: what the processor charges for it (a chargeback's, or a sale's where it says).
        reason: why, in the processor's words or code; up to 200 characters, nothing personal.
    """

    dedupe_key: str
    kind: NoticeKind
    occur_time: datetime
    transaction_reference: str = ""
    original_reference: str = ""
    subscription_reference: str = ""
    checkout_id: str = ""
    amount: Amount | None = None
    payment_method_reference: str = ""
    fee: Amount | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it came in.

    Attributes:
        headers: by lower-case name; several of one name are joined by `, `.
        query: the raw query string, without the question mark.
        body: the raw bytes; digests are checked on these.
        source_address: who connected to the edge, without a port.
        receive_time: when it came, with time zone.
    """

    headers: Mapping[str, str]
    query: str
    body: bytes
    source_address: str
    receive_time: datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """What an authentic delivery says.

    Attributes:
        notices: in the delivery's own order; some processors send several at once. Never empty: what means nothing is IGNORED.
        redacted: what is kept of it, without anything secret, personal or card-like: by a list of what may stay, not of what must go.
    """

    notices: tuple[Notice, ...]
    redacted: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The HTTP answer by which the processor knows that it need not send again."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """How a subscription goes on after what is paid at the checkout.

    Attributes:
        amount: what each renewal costs.
        period_days: how long each renewal is good for.
        first_period_days: how long what is paid at the checkout is good for.
    """

    amount: Amount
    period_days: int
    first_period_days: int


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a buyer is to pay for.

    Attributes:
        checkout_id: our `chk_…`. The processor carries it through to its notices; it is also the idempotency key.
        amount: what is paid now. Zero only for a trial, with a recurrence.
        title: what is bought, as the buyer reads it; up to 120 characters.
        return_url: where the buyer goes after paying.
        cancel_url: where the buyer goes who does not want to.
        notify_url: where this account's webhooks go to, for processors that are told with each checkout.
        keep_payment_method: whether the payment method will be charged again by us.
        recurrence: for processors that renew by themselves; None for a single payment.
        expire_time: when the page should stop to take money, where the processor can do that.
    """

    checkout_id: str
    amount: Amount
    title: str
    return_url: str
    cancel_url: str
    notify_url: str
    keep_payment_method: bool = False
    recurrence: Recurrence | None = None
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostedPage:
    """Where the buyer pays: at the processor, never here.

    Attributes:
        method: GET to go there by a link, POST to send `fields` there as a form.
        fields: of the form; nothing secret, as the browser sees them.
        reference: the processor's own id of the page, by which `query` finds what became of it; empty where it has none.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    fields: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """What is to go back to the buyer.

    Attributes:
        transaction_reference: the processor's own id of the sale or renewal.
        amount: how much.
        whole: whether that is all that was paid, for processors that can do nothing else.
        idempotency_key: the same for every attempt; up to 64 characters of letters, digits, `-` and `_`.
    """

    transaction_reference: str
    amount: Amount
    whole: bool
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Charge:
    """What a buyer who is not there now owes.

    Attributes:
        payment_method_reference: from the notice of the first sale.
        amount: how much.
        idempotency_key: the same for every attempt to take this very amount; up to 64 characters of letters, digits, `-` and `_`.
        checkout_id: of the first sale, so that notices of the charge carry it.
        subscription_reference: the processor's own, where it has one.
        description: what for, as the buyer may read it.
    """

    payment_method_reference: str
    amount: Amount
    idempotency_key: str
    checkout_id: str = ""
    subscription_reference: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """It is done. `reference` is the processor's own id of the new transaction; the notice of the same thing has the same."""

    reference: str


@dataclass(frozen=True, slots=True)
class Declined:
    """It is not done, and will not be by itself.

    Attributes:
        reason: in the processor's words or code; up to 200 characters, nothing personal.
        retryable: whether it may work another day (no funds), or never will (card is stolen, mandate is gone).
    """

    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it is done: no answer came, or one that says so. It must be asked again with the same key, and only with that.

    Attributes:
        reason: what went wrong, without anything secret.
        retry_after: how long the processor wants to be left alone; None where it does not say.
    """

    reason: str
    retry_after: timedelta | None = None


Outcome = Approved | Declined | Unknown


@unique
class State(Enum):
    """How a transaction stands at the processor."""

    ABSENT = 0
    """It knows of none."""
    PENDING = 1
    PAID = 2
    FAILED = 3
    REFUNDED = 4
    """In part or whole; `Standing.refunded` says how much."""
    CHARGED_BACK = 5
    VOID = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """What the processor says of a transaction when asked.

    Attributes:
        transaction_reference: its own id of it, which may differ from what was asked by (a page's).
        amount: what was paid.
        refunded: minor units of that which went back.
    """

    state: State
    transaction_reference: str = ""
    amount: Amount | None = None
    refunded: int = 0
    occur_time: datetime | None = None
    payment_method_reference: str = ""
    subscription_reference: str = ""


class Unreachable(Exception):
    """The processor gave no usable answer to `open_checkout` or `query`, which are safe to repeat. The text has nothing secret in it.

    Attributes:
        retry_after: how long it wants to be left alone; None where it does not say.
    """

    def __init__(self, what: str, retry_after: timedelta | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class Processor(Protocol):
    """One account with one processor."""

    @property
    def name(self) -> str:
        """The processor's, as in URLs, tables and the ledger: `ccbill`."""
        ...

    @property
    def renews_by_itself(self) -> bool:
        """Whether it charges renewals itself and tells by webhook. Otherwise `charge` takes them."""
        ...

    async def open_checkout(self, checkout: Checkout) -> HostedPage:
        """Makes a page where the buyer pays. The same checkout again gets the same page, or another by which no more is paid than once.

        Raises:
            Unreachable: ask again.
            Refusal: FAILED_PRECONDITION `PROCESSOR_REFUSED` when it will not have this checkout (currency, amount, settings of the account).
        """
        ...

    async def refund(self, refund: Refund) -> Outcome:
        """Sends money back. Never raises for what goes wrong on the way: that is Unknown."""
        ...

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Ends the renewals of a subscription at the end of what is paid. One that is cancelled already is Approved."""
        ...

    async def query(self, reference: str) -> Standing:
        """How a transaction, or the page by `HostedPage.reference`, stands.

        Raises:
            Unreachable: ask again.
        """
        ...

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money by a payment method that is known. Declined where `renews_by_itself`. Never raises for what goes wrong on the way."""
        ...

    def read(self, delivery: Delivery) -> Reading:
        """Checks that a delivery is authentic, whole, and of now, on its raw bytes and in constant time; then says what it tells. Pure.

        Unknown fields are ignored; unknown events of the processor's are IGNORED. Amounts that are negative, no number, more than 10^15
        minor units, or in a currency that is not kept make it malformed.

        Raises:
            Refusal: UNAUTHENTICATED `WEBHOOK_NOT_AUTHENTIC` or `WEBHOOK_OUT_OF_TIME`, INVALID_ARGUMENT `WEBHOOK_MALFORMED`; nothing else.
                They are `refusals.webhook_…` of this service.
        """
        ...

    def acknowledgement(self, delivery: Delivery, reading: Reading) -> Acknowledgement:
        """What the processor wants to hear once the delivery is kept. Pure."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """An organisation's account with a processor.

    Attributes:
        account_id: the organisation's own name of it, which stands in the webhook's URL.
        processor: name of the kind.
        settings: what is not secret, by name.
        secrets: keys and passwords, by name. Never shown.
        notify_url: where its webhooks go to.
        test_mode: whether it moves no real money.
    """

    account_id: str
    organisation_id: str
    processor: str
    notify_url: str
    test_mode: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Means:
    """What an adapter is given to work with.

    Attributes:
        http: with time limits set; shared, so adapters neither close it nor set anything on it.
        clock: for what is asked of the processor; `read` goes by `receive_time`.
    """

    http: httpx.AsyncClient
    clock: Clock


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a processor is asked at once, before it is asked again later or the caller hears that it is away.

    Attributes:
        attempts: in all.
        first_pause: before the second; each further one is twice as long.
        patience: for each attempt; then it counts as one without an answer.
    """

    attempts: int = 3
    first_pause: timedelta = timedelta(milliseconds=200)
    patience: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ProcessorKind:
    """An adapter. Each package has one as `KIND`, and `kinds.py` lists them.

    Attributes:
        name: as in URLs: `^[a-z0-9_-]{1,40}$`.
        title: as people know it.
        make: puts together the processor of an account; raises ValueError, with words for the operator, when a setting is no good.
        settings: names of settings that it must have, with what each is.
        optional_settings: names of settings that it may have.
        secrets: names of secrets that it must have, with what each is.
        optional_secrets: names of secrets that it may have.
        source_networks: from where its webhooks come, if it says; an account's setting `source_networks` (CIDR, comma-separated) goes before.
            Empty: from anywhere.
        body_bytes: longest body of a webhook.
        retries: how it is asked again.
    """

    name: str
    title: str
    make: Callable[[Account, Means], Processor]
    settings: Mapping[str, str] = field(default_factory=dict)
    optional_settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    optional_secrets: Mapping[str, str] = field(default_factory=dict)
    source_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    body_bytes: int = 256 * 1024
    retries: RetryPolicy = RetryPolicy()
