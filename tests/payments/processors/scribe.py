"""A processor's own hand: writes deliveries as it would, authentic unless a test wants them otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlencode

from services.payments.processors.contract import Delivery, Processor
from tests.payments.processors.accounts import NOW, processor

PERSONAL = {
    "password": "mYPaSSw0rD",
    "email": "jane.doe@example.com",
    "name": "Jane Doe",
    "address": "123 Main Street",
    "card": "4111111111111111",
    "last4": "1111",
    "phone": "+1 515 555 1212",
    "ip": "192.0.2.27",
}
"""What processors send along and nobody here needs."""


class Scribe:
    """One processor's hand.

    Attributes:
        bad_prices: what is no price, by what is wrong with it.
        stale: how old a delivery must be to be refused.
        future: how far ahead.
        reissues: whether the processor signs each attempt anew.
        tells_amounts: whether its notices have amounts.
        refunds: whether it tells of refunds.
    """

    name = ""
    bad_prices: ClassVar[Mapping[str, Any]] = {
        "negative": "-9.99",
        "zero": "0.00",
        "overflow": "99999999999999999.00",
        "endless": "9" * 150,
        "not finite": "NaN",
        "exponent": "1e3",
        "finer than a cent": "9.999",
        "missing": "",
    }
    stale = timedelta(days=61)
    future = timedelta(days=1, minutes=1)
    tells_amounts = True
    refunds = True

    def __init__(self) -> None:
        self.processor: Processor = processor(self.name)

    def sale(
        self,
        *,
        price: Any = "9.99",
        currency: str = "USD",
        transaction: str = "7001",
        moment: datetime = NOW,
        received: datetime = NOW,
        extra: Mapping[str, Any] | None = None,
    ) -> Delivery:
        """Of an approved sale of our checkout."""
        raise NotImplementedError

    def refund(self, *, transaction: str = "7001", refund: str = "8001") -> Delivery:
        """Of a refund of that sale, in whole."""
        raise NotImplementedError

    def unknown(self) -> Delivery:
        """Of something that nobody here has heard of."""
        raise NotImplementedError

    def tampered(self) -> Iterator[Delivery]:
        """As `sale`, changed on the way or made up."""
        raise NotImplementedError


def delivered(
    body: bytes, headers: Mapping[str, str], *, received: datetime = NOW, query: str = "", source: str = "198.51.100.7"
) -> Delivery:
    return Delivery(headers, query, body, source, received)


def form(fields: Mapping[str, Any]) -> bytes:
    return urlencode(fields).encode()


def minor(price: Any) -> Any:
    """Cents of a price that is one; anything else as it is."""
    try:
        return int(Decimal(price) * 100)
    except (ArithmeticError, TypeError, ValueError):
        return price


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


FORM = {"content-type": "application/x-www-form-urlencoded"}
