"""Currencies, and how many decimals a minor unit of each is.

`currencies.csv` holds ISO 4217's list one as published on 2026-01-01, less what has no minor unit (metals, test and bond codes), and the crypto
assets that processors settle in. Those have no standard: here BTC and LTC are counted in satoshi and litoshi, USDC and USDT in millionths as
their contracts do, and ETH in 10^-8, because a 64-bit number of wei ends at 9.2 ETH.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.payments import refusals

_FILE: Final = Path(__file__).with_name("currencies.csv")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency.

    Attributes:
        code: three letters of ISO 4217, or three or four of a crypto asset.
        number: three digits of ISO 4217, as some processors write it; empty for crypto assets.
        exponent: decimals of a minor unit, 0 to 8.
    """

    code: str
    number: str
    exponent: int


def _listed() -> dict[str, Currency]:
    with _FILE.open(encoding="utf-8", newline="") as lines:
        return {
            row["code"]: Currency(row["code"], row["number"], int(row["exponent"])) for row in csv.DictReader(lines)
        }


CURRENCIES: Final[Mapping[str, Currency]] = _listed()
"""Every currency that money can be kept in, by its code."""


def currency(code: str) -> Currency:
    """The currency with this code.

    Raises:
        Refusal: INVALID_ARGUMENT `CURRENCY_UNKNOWN`.
    """
    try:
        return CURRENCIES[code]
    except KeyError:
        raise refusals.currency_unknown(code) from None
