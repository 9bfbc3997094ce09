"""What a report is asked for, and what it tells. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Division(IntEnum):
    """By what rows are divided, besides the currency; the numbers are those of the contract."""

    DAY = 1
    MONTH = 2
    ASSET = 3
    KIND = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """Which report.

    Attributes:
        start: first moment.
        end: first moment after.
        as_of: what was entered later is not in it.
        creator_id: only sales in which they have a share, and of earnings only theirs; empty for all.
    """

    organisation_id: str
    start: datetime
    end: datetime
    as_of: datetime
    divisions: frozenset[Division]
    creator_id: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; amounts in minor units. `gross - refunds - chargebacks - tax - fees` is `net`."""

    period: str
    currency: str
    asset_id: str
    kind: int
    sales: int
    gross: int
    refunds: int
    chargebacks: int
    tax: int
    fees: int
    platform: int
    earnings: int

    @property
    def net(self) -> int:
        """What is left."""
        return self.gross - self.refunds - self.chargebacks - self.tax - self.fees
