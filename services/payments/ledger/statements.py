"""Statements: what an account held before and after a period, and every posting between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from services.kit.database import Tx
from services.kit.pagination import Page, number_of
from services.payments.ledger.domain import Direction, EntryKind
from services.payments.ledger.store import entries, postings


@dataclass(frozen=True, slots=True)
class Line:
    """One posting as a statement shows it."""

    number: int
    entry_id: str
    kind: EntryKind
    reference: str
    description: str
    direction: Direction
    minor_units: int
    balance: int
    book_time: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """What a period did to an account, all in minor units: opening and debits and credits make closing."""

    opening: int
    closing: int
    debits: int
    credits: int


async def totals(tx: Tx, account_id: str, start: datetime | None, end: datetime | None) -> Totals:
    """What a period did to an account. Booking times of an account never go back, so a period is a run of its postings."""
    within = _within(account_id, start, end)
    sums = sa.select(
        sa.func.coalesce(sa.func.sum(postings.c.minor_units).filter(postings.c.direction == Direction.DEBIT), 0),
        sa.func.coalesce(sa.func.sum(postings.c.minor_units).filter(postings.c.direction == Direction.CREDIT), 0),
    ).where(*within)
    debits, credits_ = (await tx.execute(sums)).one()
    opening = await _held(tx, account_id, start) if start else 0
    closing = await _held(tx, account_id, end)
    return Totals(opening, closing, int(debits), int(credits_))


async def _held(tx: Tx, account_id: str, before: datetime | None) -> int:
    """What the account held just before a moment, or holds now."""
    query = sa.select(postings.c.balance).where(*_within(account_id, None, before))
    return (await tx.execute(query.order_by(postings.c.number.desc()).limit(1))).scalar_one_or_none() or 0


async def lines(tx: Tx, account_id: str, start: datetime | None, end: datetime | None, part: Page) -> Sequence[Line]:
    """One page of a period's postings, oldest first, and one more to tell whether there is another page."""
    query = (
        sa.select(
            postings.c.number,
            postings.c.entry_id,
            entries.c.kind,
            entries.c.reference,
            entries.c.description,
            postings.c.direction,
            postings.c.minor_units,
            postings.c.balance,
            postings.c.book_time,
        )
        .join(entries, entries.c.entry_id == postings.c.entry_id)
        .where(*_within(account_id, start, end))
        .order_by(postings.c.number)
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(postings.c.number > number_of(part.after))
    return [
        Line(
            row.number,
            row.entry_id,
            EntryKind(row.kind),
            row.reference,
            row.description,
            Direction(row.direction),
            row.minor_units,
            row.balance,
            row.book_time,
        )
        for row in await tx.execute(query)
    ]


def _within(account_id: str, start: datetime | None, end: datetime | None) -> list[sa.ColumnElement[bool]]:
    clauses: list[sa.ColumnElement[bool]] = [postings.c.account_id == account_id]
    if start:
        clauses.append(postings.c.book_time >= start)
    if end:
        clauses.append(postings.c.book_time < end)
    return clauses
