"""Amounts as processors write them, to and from minor units; never by way of binary fractions."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.ledger.currencies import CURRENCIES, currency
from services.payments.processors.contract import Amount

MOST: Final = 10**15
"""Minor units of one amount, as in the contract's `Money`."""
_DECIMAL: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_BY_NUMBER: Final = {known.number: known.code for known in CURRENCIES.values() if known.number}


def of_decimal(processor: str, text: str, code: str) -> Amount:
    """`19.99` and `EUR` as an amount above zero.

    Raises:
        Refusal: `WEBHOOK_MALFORMED` for what is no amount of that currency: a sign, an exponent, more decimals than it has, too much, zero.
    """
    if not _DECIMAL.fullmatch(text):
        raise refusals.webhook_malformed(processor, "an amount is no decimal number above zero")
    scaled = Decimal(text).scaleb(_kept(processor, code))
    if scaled != scaled.to_integral_value():
        raise refusals.webhook_malformed(processor, "an amount has more decimals than its currency")
    return of_minor_units(processor, int(scaled), code)


def of_minor_units(processor: str, minor_units: object, code: object) -> Amount:
    """A whole number of minor units, as parsed from JSON, as an amount above zero.

    Raises:
        Refusal: `WEBHOOK_MALFORMED`, as `of_decimal`.
    """
    if not isinstance(minor_units, int) or isinstance(minor_units, bool) or not 0 < minor_units <= MOST:
        raise refusals.webhook_malformed(processor, "an amount is not between 1 and 10^15 minor units")
    if not isinstance(code, str):
        raise refusals.webhook_malformed(processor, "a currency is missing")
    _kept(processor, code)
    return Amount(minor_units, code)


def decimal(amount: Amount) -> str:
    """The amount as decimals: `19.99`, `1999` in JPY, `1.999` in KWD."""
    return format(Decimal(amount.minor_units).scaleb(-currency(amount.currency).exponent), "f")


def code_of(processor: str, number: str) -> str:
    """The code of a currency that is written by its number of ISO 4217: `978` is EUR.

    Raises:
        Refusal: `WEBHOOK_MALFORMED`.
    """
    try:
        return _BY_NUMBER[number.zfill(3)]
    except KeyError:
        raise refusals.webhook_malformed(processor, "a currency is none that is kept here") from None


def _kept(processor: str, code: str) -> int:
    try:
        return currency(code).exponent
    except Refusal:
        raise refusals.webhook_malformed(processor, "a currency is none that is kept here") from None
