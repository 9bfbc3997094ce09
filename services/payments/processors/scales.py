"""Minor units as processors count them, where that is not as ISO 4217 says."""

from __future__ import annotations

from collections.abc import Mapping

from services.payments import refusals
from services.payments.ledger.currencies import CURRENCIES
from services.payments.processors.amounts import of_minor_units
from services.payments.processors.contract import Amount


class Scale:
    """How one processor counts.

    Args:
        processor: for refusals.
        exponents: decimals of a minor unit of those currencies that it counts its own way.
    """

    def __init__(self, processor: str, exponents: Mapping[str, int]) -> None:
        self._processor = processor
        self._exponents = exponents

    def written(self, amount: Amount) -> int:
        """An amount as the processor counts it.

        Raises:
            ValueError: it has parts of a unit that the processor does not count.
        """
        shift = self._shift(amount.currency)
        if shift >= 0:
            return amount.minor_units * int(10**shift)
        units, rest = divmod(amount.minor_units, int(10**-shift))
        if rest:
            raise ValueError(f"{self._processor} takes no fractions in {amount.currency}")
        return units

    def amount(self, units: object, code: object) -> Amount:
        """What the processor counts as so much.

        Raises:
            Refusal: `WEBHOOK_MALFORMED`, as `of_minor_units`, and for parts of a unit that the ledger does not count.
        """
        told = of_minor_units(self._processor, units, code)
        shift = self._shift(told.currency)
        if shift <= 0:
            return of_minor_units(self._processor, told.minor_units * int(10**-shift), told.currency)
        whole, rest = divmod(told.minor_units, int(10**shift))
        if rest:
            raise refusals.webhook_malformed(self._processor, "an amount has more decimals than its currency")
        return of_minor_units(self._processor, whole, told.currency)

    def _shift(self, code: str) -> int:
        known = CURRENCIES.get(code)
        return self._exponents.get(code, known.exponent) - known.exponent if known else 0
