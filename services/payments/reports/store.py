"""Reports, worked out of the ledger's entries each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.payments.reports.domain import Asked, Division, Row

MOST_ROWS: Final = 10_000

# What an entry tells of counts as what it undoes: a reversed refund is so much less refunded. Every entry leads to the sale that it is about.
_TOLD: Final = """
    WITH told AS (
      SELECT e.entry_id, e.kind, e.occur_time,
        CASE e.kind WHEN 4 THEN 3 WHEN 5 THEN u.kind ELSE e.kind END AS about,
        CASE WHEN e.kind = 1 THEN e.entry_id WHEN e.kind IN (2, 3) THEN e.reverses_entry_id
          WHEN u.kind = 1 THEN u.entry_id ELSE u.reverses_entry_id END AS sale_entry_id
      FROM entries e LEFT JOIN entries u ON e.kind IN (4, 5) AND u.entry_id = e.reverses_entry_id
      WHERE e.organisation_id = :organisation_id AND e.kind IN (1, 2, 3, 4, 5)
        AND e.occur_time >= :start AND e.occur_time < :end AND e.create_time <= :as_of
    )
    SELECT {period} AS period, p.currency, {asset} AS asset_id, {kind} AS kind,
      coalesce(sum(CASE t.kind WHEN 1 THEN 1 ELSE -1 END) FILTER (WHERE a.kind = 1 AND t.about = 1), 0) AS sales,
      coalesce(sum(d.units) FILTER (WHERE a.kind = 1 AND t.about = 1), 0) AS gross,
      coalesce(-sum(d.units) FILTER (WHERE a.kind = 1 AND t.about = 2), 0) AS refunds,
      coalesce(-sum(d.units) FILTER (WHERE a.kind = 1 AND t.about = 3), 0) AS chargebacks,
      coalesce(-sum(d.units) FILTER (WHERE a.kind = 4), 0) AS tax,
      coalesce(-sum(d.units) FILTER (WHERE a.kind = 5), 0) AS fees,
      coalesce(-sum(d.units) FILTER (WHERE a.kind = 3), 0) AS platform,
      coalesce(-sum(d.units) FILTER (WHERE a.kind IN (2, 6) AND ({mine})), 0) AS earnings
    FROM told t
    JOIN sales s ON s.entry_id = t.sale_entry_id
    JOIN postings p ON p.entry_id = t.entry_id
    JOIN accounts a ON a.account_id = p.account_id
    CROSS JOIN LATERAL (SELECT CASE p.direction WHEN 1 THEN p.minor_units ELSE -p.minor_units END AS units) d
    WHERE {ours}
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT :most
"""
_HAS_A_SHARE: Final = """EXISTS (
      SELECT FROM postings q JOIN accounts b ON b.account_id = q.account_id
      WHERE q.entry_id = t.sale_entry_id AND b.kind IN (2, 6) AND b.owner_id = :creator_id
    )"""
_PERIODS: Final = {Division.DAY: "YYYY-MM-DD", Division.MONTH: "YYYY-MM"}


async def rows(tx: Tx, asked: Asked) -> Sequence[Row]:
    """The rows of a report, and one more than `MOST_ROWS` when there are too many."""
    pattern = next((form for division, form in _PERIODS.items() if division in asked.divisions), None)
    query = _TOLD.format(
        period=f"to_char(t.occur_time AT TIME ZONE 'UTC', '{pattern}')" if pattern else "''",
        asset="s.asset_id" if Division.ASSET in asked.divisions else "''",
        kind="s.grant_kind" if Division.KIND in asked.divisions else "0",
        mine="a.owner_id = :creator_id" if asked.creator_id else "true",
        ours=_HAS_A_SHARE if asked.creator_id else "true",
    )
    values: dict[str, Any] = {
        "organisation_id": asked.organisation_id,
        "start": asked.start,
        "end": asked.end,
        "as_of": asked.as_of,
        "most": MOST_ROWS + 1,
    }
    if asked.creator_id:
        values["creator_id"] = asked.creator_id
    return [
        Row(row.period, row.currency, row.asset_id, *(int(value) for value in row[3:]))
        for row in await tx.execute(sa.text(query), values)
    ]
