"""What creators have, and what of it is old enough: read from the ledger, and from nothing that was worked out before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.payments.ledger.domain import AccountKind
from services.payments.payouts import payees
from services.payments.payouts.domain import Standing

# A sale's money is young while it has been booked for less than the payee's days; of that, what was not given back. Everything else that comes
# to the account (a reserve, a chargeback that was won, a payout that did not arrive) was old enough before, and counts from the moment on at
# which it was booked. So balances need no walk through old postings: only the young ones are looked at.
_STANDINGS: Final = sa.text("""
    SELECT a.owner_id, a.currency, (b.credits - b.debits) AS balance, coalesce(young.units, 0) AS held
    FROM accounts a
    JOIN balances b ON b.account_id = a.account_id
    LEFT JOIN LATERAL (
      SELECT CASE CAST(:kind AS smallint) WHEN 2 THEN v.hold_days ELSE v.reserve_days END AS days FROM payee_versions v
      WHERE v.organisation_id = a.organisation_id AND v.creator_id = a.owner_id ORDER BY v.version DESC LIMIT 1
    ) terms ON true
    LEFT JOIN LATERAL (
      SELECT sum(CASE WHEN e.kind = 1 THEN coalesce((
        SELECT (part ->> 3)::bigint FROM sales s CROSS JOIN LATERAL jsonb_array_elements(s.parts) AS part
        WHERE s.entry_id = e.entry_id AND (part ->> 0)::int = a.kind AND part ->> 1 = a.owner_id
      ), p.minor_units) ELSE p.minor_units END) AS units
      FROM postings p JOIN entries e ON e.entry_id = p.entry_id
      WHERE p.account_id = a.account_id AND p.direction = 2
        AND p.book_time > CAST(:as_of AS timestamptz) - make_interval(days => coalesce(terms.days, 0))
        AND (e.kind = 1 OR p.book_time > CAST(:as_of AS timestamptz))
    ) young ON true
    WHERE a.organisation_id = :organisation_id AND a.kind = CAST(:kind AS smallint) AND a.currency = :currency AND a.owner_id > :after
      AND (NOT CAST(:only_above_zero AS boolean) OR b.credits > b.debits)
      AND (CAST(:only AS text) = '' OR a.owner_id = ANY(string_to_array(CAST(:only AS text), ' ')))
    ORDER BY a.owner_id LIMIT :most
""")
_NO_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose standings are asked for.

    Attributes:
        as_of: moment by which ages are judged.
        kind: the creators' accounts, or their reserves.
        after: only creators whose id sorts later.
        only: only these; None for all.
        only_above_zero: only those whose account holds something.
        most: how many.
    """

    organisation_id: str
    currency: str
    as_of: datetime
    kind: AccountKind = AccountKind.CREATOR_PENDING
    after: str = ""
    only: Sequence[str] | None = None
    only_above_zero: bool = False
    most: int = _NO_LIMIT


async def standings(tx: Tx, asked: Asked) -> list[Standing]:
    """What creators have, by creator."""
    values = {
        "organisation_id": asked.organisation_id,
        "kind": int(asked.kind),
        "currency": asked.currency,
        "as_of": asked.as_of,
        "after": asked.after,
        "only": " ".join(asked.only or ()),  # ids hold no blanks
        "only_above_zero": asked.only_above_zero,
        "most": asked.most,
    }
    rows = (await tx.execute(_STANDINGS, values)).all()
    known = await payees.of_creators(tx, asked.organisation_id, [row.owner_id for row in rows])
    return [
        Standing(row.owner_id, row.currency, int(row.balance), int(row.held), known.get(row.owner_id)) for row in rows
    ]
