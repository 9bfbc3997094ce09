"""What stands on an invoice. No input, no output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Final

from services.payments.ledger.domain import AccountKind
from services.payments.sales.domain import Sale
from services.payments.taxes.domain import WHOLE, Rate

INVOICES: Final = "INV"
CREDIT_NOTES: Final = "CRN"
"""Series of numbers; each is without gaps in each organisation and year."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who stands on an invoice; every text is one printable line."""

    name: str
    address_lines: tuple[str, ...] = ()
    tax_number: str = ""


@dataclass(frozen=True, slots=True)
class TaxLine:
    """Tax of one jurisdiction.

    Attributes:
        jurisdiction: empty where it is not known.
        millionths: the rate; None where it is not known.
        minor_units: how much of the price it is.
    """

    jurisdiction: str
    name: str
    millionths: int | None
    minor_units: int


@dataclass(frozen=True, slots=True)
class Content:
    """All that stands on an invoice. It is kept as it was when it was issued, and drawn from nothing else.

    Attributes:
        number: `INV-2026-000017`.
        credit_note: whether it takes back.
        corrects: number of the invoice that it takes back of; empty for invoices.
        footer: the seller's last line; may be empty.
        supply_date: when it was sold, or given back.
        gross: all of it, in minor units, tax included.
        kind: what was sold, as the contract's `EntitlementKind`; 0 when nothing was granted.
        asset_id: empty when it is no single asset.
        paid_by: processor and its reference.
    """

    number: str
    credit_note: bool
    corrects: str
    seller: Party
    footer: str
    buyer: Party
    issue_date: date
    supply_date: date
    currency: str
    gross: int
    taxes: tuple[TaxLine, ...]
    kind: int
    asset_id: str
    paid_by: str

    @property
    def tax(self) -> int:
        """All taxes, in minor units."""
        return sum(line.minor_units for line in self.taxes)

    @property
    def net(self) -> int:
        """What is left without them."""
        return self.gross - self.tax

    def as_json(self) -> dict[str, Any]:
        """For keeping."""
        values = asdict(self)
        values["issue_date"], values["supply_date"] = self.issue_date.isoformat(), self.supply_date.isoformat()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Content:
        """What was kept."""
        return cls(
            **{
                **values,
                "seller": party(values["seller"]),
                "buyer": party(values["buyer"]),
                "issue_date": date.fromisoformat(values["issue_date"]),
                "supply_date": date.fromisoformat(values["supply_date"]),
                "taxes": tuple(TaxLine(**line) for line in values["taxes"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it is kept.

    Attributes:
        series: `INV` or `CRN`.
        serial: its place in series and year, from 1.
        entry_id: what it is about: the sale's entry, or what took money back.
        corrects_invoice_id: the invoice that a credit note is about; empty for invoices.
    """

    invoice_id: str
    organisation_id: str
    series: str
    year: int
    serial: int
    entry_id: str
    sale_id: str
    viewer_id: str
    corrects_invoice_id: str
    content: Content
    issue_time: datetime


def number_of(series: str, year: int, serial: int) -> str:
    """A number as it is written: `INV-2026-000017`."""
    return f"{series}-{year}-{serial:06}"


def party(values: dict[str, Any]) -> Party:
    """A party that was kept."""
    return Party(values["name"], tuple(values["address_lines"]), values["tax_number"])


def printable(text: str) -> str:
    """A text as one line that can be printed."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def tax_lines(sale: Sale, amounts: Sequence[int], rates: Sequence[Rate]) -> tuple[TaxLine, ...]:
    """The taxes in amounts of a sale's parts.

    A rate stands there only if it makes the tax of the whole sale, to a unit: a tax that somebody else worked out may have another.
    """
    by_place = {rate.jurisdiction: rate for rate in rates}
    taxes = [
        (part, units)
        for part, units in zip(sale.parts, amounts, strict=True)
        if part.kind is AccountKind.TAX_PAYABLE and units
    ]
    net = sale.gross - sum(part.minor_units for part in sale.parts if part.kind is AccountKind.TAX_PAYABLE)
    lines = []
    for part, units in taxes:
        rate = by_place.get(part.owner_id)
        fits = rate is not None and abs(net * rate.millionths - part.minor_units * WHOLE) <= WHOLE
        lines.append(
            TaxLine(part.owner_id, rate.name, rate.millionths, units)
            if rate is not None and fits
            else TaxLine(part.owner_id, "Tax", None, units)
        )
    return tuple(lines)
