"""Amounts as people write and read them: 4.99EUR, 700 JPY."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from tools.reelmesh_cli.output import EXIT_USAGE, Output

if TYPE_CHECKING:
    from reelmesh.payments.v1.payments_pb2 import Money

_PRICE = re.compile(r"(?P<amount>\d{1,12}(?:\.\d{1,8})?)(?P<currency>[A-Z]{3,4})(?:@(?P<places>[A-Z0-9,-]+))?")


def price_of(output: Output, text: str) -> tuple[Money, list[str]]:
    """A price, and the territories that it is for; none for everywhere. What is none ends the command."""
    from reelmesh.payments.v1.payments_pb2 import Money

    from services.kit.errors import Refusal
    from services.payments.ledger.currencies import currency

    found = _PRICE.fullmatch(text)
    if found is None:
        output.fail(f"{text!r} is no price: write it like 4.99EUR, or 3.99USD@US,CA.", EXIT_USAGE)
    try:
        units = Decimal(found["amount"]).scaleb(currency(found["currency"]).exponent)
    except Refusal as refusal:
        output.fail(refusal.message, EXIT_USAGE)
    if units != int(units):
        output.fail(f"{text!r} is no price: {found['currency']} has no amounts that small.", EXIT_USAGE)
    places = found["places"].split(",") if found["places"] else []
    return Money(minor_units=int(units), currency=found["currency"]), places


def written(money: Money) -> str:
    """An amount for people."""
    from services.payments.ledger.currencies import currency

    return f"{Decimal(money.minor_units).scaleb(-currency(money.currency).exponent)} {money.currency}"
