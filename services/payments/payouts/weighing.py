"""By what money is divided that was paid for everything, and for no asset in particular.

`BySales` goes by what creators earned of sales of their own. Another implementation can go by watched seconds that the edge authorised, once
somebody counts those: it is handed in where this one is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

import sqlalchemy as sa

from services.kit.database import Tx
from services.payments.splits.domain import shared_out

_EARNED: Final = sa.text("""
    SELECT a.owner_id, sum(CASE p.direction WHEN 2 THEN p.minor_units ELSE -p.minor_units END) AS units
    FROM postings p
    JOIN accounts a ON a.account_id = p.account_id
    JOIN entries e ON e.entry_id = p.entry_id
    WHERE a.organisation_id = :organisation_id AND a.kind IN (2, 6) AND a.currency = :currency AND e.kind IN (1, 2, 3, 4, 5)
      AND e.organisation_id = :organisation_id AND e.occur_time >= :start AND e.occur_time < :end
    GROUP BY a.owner_id HAVING sum(CASE p.direction WHEN 2 THEN p.minor_units ELSE -p.minor_units END) > 0
    ORDER BY a.owner_id
""")


class Weights(Protocol):
    """By what creators share."""

    async def of(
        self, tx: Tx, organisation_id: str, currency: str, start: datetime, end: datetime
    ) -> Mapping[str, int]:
        """Each creator's weight in a period, above zero; creators without any are not there."""
        ...


class BySales:
    """By what creators earned of sales in the period and did not give back, in minor units of the currency."""

    async def of(
        self, tx: Tx, organisation_id: str, currency: str, start: datetime, end: datetime
    ) -> Mapping[str, int]:
        """See `Weights`."""
        values = {"organisation_id": organisation_id, "currency": currency, "start": start, "end": end}
        return {row.owner_id: int(row.units) for row in await tx.execute(_EARNED, values)}


def pool_shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Divides a pool among creators by their weights, by largest remainder: shares sum to it exactly. Nobody has any of it where nobody weighs."""
    if not weights:
        return {}
    creators = sorted(weights)
    shares = shared_out(total, [weights[creator] for creator in creators])
    return {creator: share for creator, share in zip(creators, shares, strict=True) if share}
