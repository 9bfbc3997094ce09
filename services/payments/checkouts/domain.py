"""A checkout and a refund, and how far they are. No input, no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from services.payments.processors.contract import Amount

OPEN_FOR: Final = timedelta(hours=1)
"""How long a page is there to be paid on."""
ASKED_AFTER: Final = timedelta(minutes=5)
"""When a processor is asked first that has said nothing."""
ASKED_FOR: Final = timedelta(days=1)
"""How long it is asked."""
TITLE_LENGTH: Final = 120


class CheckoutState(IntEnum):
    """How far a checkout is; the numbers are those of the contract."""

    OPEN = 1
    PAID = 2
    DECLINED = 3
    EXPIRED = 4
    RETURNED = 5


class RefundState(IntEnum):
    """How far a refund is; the numbers are those of the contract."""

    PENDING = 1
    MADE = 2
    DECLINED = 3


@dataclass(frozen=True, slots=True)
class Checkout:
    """Something that a viewer is to pay for, as it is kept.

    Attributes:
        request_key: digest of the request that it was opened by.
        offer_version: whose price is paid.
        state: OPEN, PAID or DECLINED; the others follow from the time and from the sale.
        page: {url, method, fields}; empty until the processor gave it, and when it is paid.
        page_reference: the processor's own id of it.
        ask_time: when the processor is asked what became of it; None when that is known.
    """

    checkout_id: str
    organisation_id: str
    request_key: str
    viewer_id: str
    offer_id: str
    offer_version: int
    territory: str
    asset_id: str
    title: str
    minor_units: int
    currency: str
    account_id: str
    processor: str
    return_path: str
    state: CheckoutState
    create_time: datetime
    expire_time: datetime
    page: Mapping[str, Any] = field(default_factory=dict, repr=False)
    page_reference: str = ""
    sale_id: str = ""
    transaction_reference: str = ""
    payment_method_reference: str = field(default="", repr=False)
    ask_time: datetime | None = None
    pay_time: datetime | None = None

    @property
    def amount(self) -> Amount:
        """What is paid."""
        return Amount(self.minor_units, self.currency)

    def state_at(self, now: datetime, left: int) -> CheckoutState:
        """How far it is now, with so much of its sale's price not given back."""
        if self.state is CheckoutState.PAID:
            return CheckoutState.PAID if left else CheckoutState.RETURNED
        return self.state if now < self.expire_time else CheckoutState.EXPIRED

    def paid(self, sale_id: str, reference: str, payment_method: str, moment: datetime) -> Checkout:
        """The checkout once its sale is recorded."""
        return replace(
            self,
            state=CheckoutState.PAID,
            sale_id=sale_id,
            transaction_reference=reference,
            payment_method_reference=payment_method,
            page={},
            ask_time=None,
            pay_time=moment,
        )

    def declined(self) -> Checkout:
        """The checkout once the processor declined; it may yet be paid."""
        return self if self.state is CheckoutState.PAID else replace(self, state=CheckoutState.DECLINED)

    def asked_again(self, now: datetime) -> datetime | None:
        """When to ask the processor next, having asked now: ever less often. None when that has gone on for long enough."""
        since = now - self.create_time
        return now + max(since, ASKED_AFTER) if since < ASKED_FOR else None


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund that a processor is asked for. Its id is the idempotency key.

    Attributes:
        whole: whether it was asked for as all that was left.
        due_time: when the processor is asked again; None when it has answered.
    """

    refund_id: str
    organisation_id: str
    checkout_id: str
    minor_units: int
    currency: str
    whole: bool
    state: RefundState
    reason: str
    attempts: int
    due_time: datetime | None
    create_time: datetime
