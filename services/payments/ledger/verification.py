"""Rebuilds the books from their postings, and says where they differ from what is kept.

It reads, and believes nothing that was worked out before: balances, the balance after each posting and the count of an account's postings are
summed up anew, and every entry is balanced again. Triggers refuse what would make a difference; this finds what came past them, such as a
restore of half a backup or somebody with the rights of the database's owner.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import sqlalchemy as sa

from services.kit.database import Database, Tx

_CHECKS: Final = {
    "balance": """
        SELECT coalesce(b.account_id, r.account_id) AS subject,
          format('debits %s, credits %s, postings %s', r.debits, r.credits, r.count) AS rebuilt,
          format('debits %s, credits %s, postings %s', b.debits, b.credits, b.postings) AS kept
        FROM balances b FULL JOIN (
          SELECT account_id, coalesce(sum(minor_units) FILTER (WHERE direction = 1), 0) AS debits,
            coalesce(sum(minor_units) FILTER (WHERE direction = 2), 0) AS credits, count(*) AS count
          FROM postings GROUP BY account_id
        ) r USING (account_id)
        WHERE (b.debits, b.credits, b.postings) IS DISTINCT FROM (r.debits, r.credits, r.count)""",
    "posting": """
        WITH walked AS (
          SELECT p.*, a.debit_normal, a.account_id IS NULL OR a.currency <> p.currency AS misfit,
            row_number() OVER way AS place,
            sum(CASE p.direction WHEN 1 THEN p.minor_units ELSE -p.minor_units::numeric END) OVER way AS net,
            lag(p.book_time) OVER way AS before
          FROM postings p LEFT JOIN accounts a USING (account_id)
          WINDOW way AS (PARTITION BY p.account_id ORDER BY p.number, p.position)
        )
        SELECT account_id || ' ' || number AS subject,
          format('number %s, balance %s', place, CASE WHEN debit_normal THEN net ELSE -net END) AS rebuilt,
          format('number %s, balance %s, book_time %s', number, balance, book_time) AS kept
        FROM walked
        WHERE misfit OR number <> place OR balance <> CASE WHEN debit_normal THEN net ELSE -net END
          OR book_time < before""",
    "entry": """
        SELECT coalesce(e.entry_id, p.entry_id) AS subject,
          format('%s postings, off by %s', coalesce(p.count, 0), coalesce(p.off, '0')) AS rebuilt,
          format('%s postings', e.posting_count) AS kept
        FROM entries e FULL JOIN (
          SELECT entry_id, sum(count) AS count,
            string_agg(difference || ' ' || currency, ', ') FILTER (WHERE difference <> 0) AS off
          FROM (
            SELECT entry_id, currency, count(*) AS count,
              sum(CASE direction WHEN 1 THEN minor_units ELSE -minor_units::numeric END) AS difference
            FROM postings GROUP BY entry_id, currency
          ) s GROUP BY entry_id
        ) p USING (entry_id)
        WHERE e.posting_count IS DISTINCT FROM p.count OR p.off IS NOT NULL OR p.count < 2""",
    "sale": """
        SELECT s.sale_id AS subject,
          format('%s taken back', coalesce(t.taken, 0)) AS rebuilt,
          format('%s refunded and charged back, %s left of %s', s.refunded + s.charged_back, s.left_over, s.gross) AS kept
        FROM (
          SELECT *, (SELECT sum((part ->> 3)::bigint) FROM jsonb_array_elements(parts) AS part) AS left_over FROM sales
        ) s LEFT JOIN (
          SELECT sale_id, sum((SELECT sum(units::text::bigint) FROM jsonb_array_elements(taken) AS units)) AS taken
          FROM takebacks WHERE NOT reversed GROUP BY sale_id
        ) t USING (sale_id)
        WHERE coalesce(t.taken, 0) <> s.refunded + s.charged_back
          OR s.left_over <> CASE WHEN s.reversed THEN 0 ELSE s.gross - s.refunded - s.charged_back END""",
    "payout": """
        SELECT coalesce(k.creator, h.creator) AS subject,
          format('%s on its way, %s settled', coalesce(k.clearing, 0), coalesce(k.settled, 0)) AS rebuilt,
          format('%s on its way, %s settled', coalesce(h.clearing, 0), coalesce(h.settled, 0)) AS kept
        FROM (
          SELECT a.organisation_id || ' ' || a.owner_id || ' ' || a.currency AS creator,
            sum(b.credits - b.debits) FILTER (WHERE a.kind = 10) AS clearing,
            sum(b.credits - b.debits) FILTER (WHERE a.kind = 11) AS settled
          FROM accounts a JOIN balances b USING (account_id) WHERE a.kind IN (10, 11) GROUP BY 1
        ) h FULL JOIN (
          SELECT p.organisation_id || ' ' || p.creator_id || ' ' || p.currency AS creator,
            sum(p.minor_units) FILTER (WHERE e.state IS NULL) AS clearing,
            sum(p.minor_units) FILTER (WHERE e.state = 4) AS settled
          FROM payouts p
          JOIN payout_batch_steps s ON s.payout_batch_id = p.payout_batch_id AND s.state = 2
          LEFT JOIN payout_steps e ON e.payout_id = p.payout_id AND e.state IN (4, 5)
          GROUP BY 1
        ) k USING (creator)
        WHERE (coalesce(k.clearing, 0), coalesce(k.settled, 0)) <> (coalesce(h.clearing, 0), coalesce(h.settled, 0))""",
}
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as its postings say.

    Attributes:
        what: `balance`, `posting`, `entry`, `sale` or `payout`.
        subject: account, account and number, entry, sale, or organisation, creator and currency.
        rebuilt: what the postings make of it.
        kept: what is kept.
    """

    what: str
    subject: str
    rebuilt: str
    kept: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        accounts: how many there are.
        entries: how many there are.
        postings: how many there are.
        differences: all that differs; the first thousand of each kind.
    """

    accounts: int
    entries: int
    postings: int
    differences: tuple[Difference, ...]


async def verified(database: Database) -> Report:
    """Looks through the whole ledger, as it is at one moment."""
    async with database.transaction() as tx:
        await tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        accounts, entries, postings = [await _count(tx, table) for table in ("accounts", "entries", "postings")]
        found = []
        for what, query in _CHECKS.items():
            rows = await tx.execute(sa.text(f"SELECT * FROM ({query}) AS found ORDER BY subject LIMIT {_MOST}"))  # noqa: S608  # our own words
            found += [Difference(what, row.subject, row.rebuilt, row.kept) for row in rows]
        return Report(accounts, entries, postings, tuple(found))


async def _count(tx: Tx, table: str) -> int:
    return int((await tx.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608  # our own words
