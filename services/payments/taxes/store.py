"""The table of rates. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from services.kit.database import Tx
from services.kit.ids import new_id
from services.kit.pagination import Page
from services.payments.taxes.domain import Rate, TaxableOrder, TaxLine, jurisdictions_of, worked_out

tax_rates: Final = sa.Table(
    "tax_rates",
    sa.MetaData(),
    sa.Column("rate_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("jurisdiction", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("millionths", sa.Integer),
    sa.Column("inclusive", sa.Boolean),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class KeptRate:
    """A rate, and when it was said."""

    rate_id: str
    rate: Rate
    create_time: datetime


async def add(tx: Tx, organisation_id: str, rate: Rate, now: datetime) -> None:
    """Keeps a rate."""
    await tx.execute(
        sa.insert(tax_rates).values(
            rate_id=new_id("txr"),
            organisation_id=organisation_id,
            jurisdiction=rate.jurisdiction,
            name=rate.name,
            millionths=rate.millionths,
            inclusive=rate.inclusive,
            start_time=rate.start_time,
            create_time=now,
        )
    )


async def in_force(tx: Tx, organisation_id: str, jurisdictions: Sequence[str], at: datetime) -> list[Rate]:
    """The rates of jurisdictions at a moment, in their order; of two that start together the one that was said later."""
    query = (
        sa.select(tax_rates)
        .ext(distinct_on(tax_rates.c.jurisdiction))
        .where(
            tax_rates.c.organisation_id == organisation_id,
            tax_rates.c.jurisdiction.in_(jurisdictions),
            tax_rates.c.start_time <= at,
        )
        .order_by(
            tax_rates.c.jurisdiction,
            tax_rates.c.start_time.desc(),
            tax_rates.c.create_time.desc(),
            tax_rates.c.rate_id.desc(),
        )
    )
    found = {row.jurisdiction: _rate(row) for row in await tx.execute(query)}
    return [found[jurisdiction] for jurisdiction in jurisdictions if jurisdiction in found]


async def page(tx: Tx, organisation_id: str, jurisdiction: str, part: Page) -> list[KeptRate]:
    """One page of rates, newest first, and one more to tell whether there is another page."""
    query = sa.select(tax_rates).where(tax_rates.c.organisation_id == organisation_id)
    if jurisdiction:
        query = query.where(tax_rates.c.jurisdiction == jurisdiction)
    if part.after:
        query = query.where(tax_rates.c.rate_id < part.after)
    rows = await tx.execute(query.order_by(tax_rates.c.rate_id.desc()).limit(part.size + 1))
    return [KeptRate(row.rate_id, _rate(row), row.create_time) for row in rows]


class TableTaxes:
    """Works taxes out by the organisation's own table of rates: those of where the buyer is, and of that country."""

    async def lines(self, tx: Tx, order: TaxableOrder) -> tuple[TaxLine, ...]:
        """See `TaxProvider`."""
        rates = await in_force(tx, order.organisation_id, jurisdictions_of(order.territory), order.sell_time)
        return worked_out(order, rates)


def _rate(row: sa.Row[Any]) -> Rate:
    return Rate(row.jurisdiction, row.name, row.millionths, row.inclusive, row.start_time)
