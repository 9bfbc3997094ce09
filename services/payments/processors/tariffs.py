"""Prices that are kept at a processor under a code of its own, for processors that take no price with the checkout."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from services.kit.errors import Refusal
from services.payments.ledger.currencies import currency
from services.payments.processors.amounts import MOST
from services.payments.processors.contract import Amount, Checkout


class Price(NamedTuple):
    """What is paid now, and, of a subscription, each time after so many days."""

    first: Amount
    first_period_days: int = 0
    renewal: Amount | None = None
    period_days: int = 0


def price_of(checkout: Checkout) -> Price:
    """The price of a checkout."""
    if checkout.recurrence is None:
        return Price(checkout.amount)
    recurrence = checkout.recurrence
    return Price(checkout.amount, recurrence.first_period_days, recurrence.amount, recurrence.period_days)


def of_setting(text: str) -> dict[Price, str]:
    """Codes by price, as an operator writes them: `USD 9.99 = code; USD 1.99/3 9.99/30 = code`.

    A single price, or what the first days cost and then what so many days cost.

    Raises:
        ValueError: with words for the operator.
    """
    found: dict[Price, str] = {}
    for line in text.replace("\n", ";").split(";"):
        if not line.strip():
            continue
        left, separator, code = line.partition("=")
        parts = left.split()
        if not separator or not code.strip() or len(parts) not in _PARTS:
            raise ValueError(f"{line.strip()!r} is not written as `USD 9.99 = code` or `USD 1.99/3 9.99/30 = code`")
        if len(parts) == 2:
            price = Price(_amount(parts[1], parts[0]))
        else:
            (first, first_days), (renewal, days) = (_paced(part, parts[0]) for part in parts[1:])
            price = Price(first, first_days, renewal, days)
        if found.setdefault(price, code.strip()) != code.strip():
            raise ValueError(f"{left.strip()!r} has two codes")
    return found


_PARTS: Final = (2, 3)


def _paced(text: str, code: str) -> tuple[Amount, int]:
    amount, separator, days = text.partition("/")
    if not separator or not days.isdecimal() or not 0 < int(days) <= 3660:
        raise ValueError(f"{text!r} is no price for a number of days, such as 9.99/30")
    return _amount(amount, code), int(days)


def _amount(text: str, code: str) -> Amount:
    try:
        scaled = Decimal(text).scaleb(currency(code).exponent)
    except Refusal:
        raise ValueError(f"{code!r} is no currency that is kept here") from None
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or not 0 <= scaled <= MOST:
        raise ValueError(f"{text!r} is no amount in {code}")
    return Amount(int(scaled), code)
