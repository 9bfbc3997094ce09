"""The tables of sales and of what was given back of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.payments.v1 import payments_pb2
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.bulk import Bulk
from services.payments.ledger.domain import AccountKind
from services.payments.sales.domain import Sale, Takeback, Taken
from services.payments.splits.domain import Part

_METADATA: Final = sa.MetaData()

sales: Final = sa.Table(
    "sales",
    _METADATA,
    sa.Column("sale_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("entry_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("gross", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("split_rules_version", sa.BigInteger),
    sa.Column("parts", JSONB),
    sa.Column("refunded", sa.BigInteger),
    sa.Column("charged_back", sa.BigInteger),
    sa.Column("reversed", sa.Boolean),
    sa.Column("entitlement_id", sa.Text),
    sa.Column("entitled", sa.Boolean),
    sa.Column("sell_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
takebacks: Final = sa.Table(
    "takebacks",
    _METADATA,
    sa.Column("entry_id", sa.Text, primary_key=True),
    sa.Column("sale_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("taken", JSONB),
    sa.Column("revoked", sa.Boolean),
    sa.Column("reversed", sa.Boolean),
)
_written: Final = sa.Table(
    "sales",
    sa.MetaData(),
    *(sa.Column(column.name, column.type) for column in sales.columns),
    sa.Column("asset_id", sa.Text),
    sa.Column("grant_kind", sa.SmallInteger),
)
"""The same with what was sold, by which reports sum up."""
_BULK: Final = Bulk(_written, "sale_id")
_KINDS: Final = {int(takeback.value): takeback for takeback in Takeback}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sales are asked for; what is empty does not matter."""

    viewer_id: str = ""
    processor: str = ""
    reference: str = ""


async def add(tx: Tx, sale: Sale, grant: payments_pb2.Grant | None) -> None:
    """Keeps a new sale, and what was sold."""
    asset_id, kind = (grant.asset_id, grant.kind) if grant else ("", 0)
    await tx.execute(sa.insert(_written).values(**_values(sale), asset_id=asset_id, grant_kind=kind))


async def subject(tx: Tx, sale_id: str) -> tuple[str, int]:
    """What was sold: the asset, empty when it was no single one, and as what, as the contract's `EntitlementKind`; 0 when nothing was granted."""
    query = sa.select(_written.c.asset_id, _written.c.grant_kind).where(_written.c.sale_id == sale_id)
    row = (await tx.execute(query)).one()
    return row.asset_id, row.grant_kind


async def add_all(tx: Tx, made: Sequence[Sale], kind: int) -> None:
    """Keeps new sales, and as what all of them were sold, as the contract's `EntitlementKind`."""
    await _BULK.add(tx, [{**_values(sale), "asset_id": "", "grant_kind": kind} for sale in made])


async def put(tx: Tx, sale: Sale) -> None:
    """Keeps the next state of a sale, which is locked."""
    await tx.execute(sa.update(sales).where(sales.c.sale_id == sale.sale_id).values(**_values(sale)))


async def find(tx: Tx, organisation_id: str, sale_id: str, *, for_update: bool = False) -> Sale | None:
    """One sale; None when there is none."""
    query = sa.select(sales).where(sales.c.organisation_id == organisation_id, sales.c.sale_id == sale_id)
    return await _one(tx, query.with_for_update() if for_update else query)


async def of_entry(tx: Tx, entry_id: str, *, for_update: bool = False) -> Sale | None:
    """The sale that was made by an entry; None when there is none."""
    query = sa.select(sales).where(sales.c.entry_id == entry_id)
    return await _one(tx, query.with_for_update() if for_update else query)


async def of_reference(tx: Tx, organisation_id: str, processor: str, reference: str) -> Sale | None:
    """The sale that a processor knows by a reference; None when there is none."""
    query = sa.select(sales).where(
        sales.c.organisation_id == organisation_id, sales.c.processor == processor, sales.c.reference == reference
    )
    return await _one(tx, query)


async def page(tx: Tx, organisation_id: str, wanted: Wanted, part: Page) -> Sequence[Sale]:
    """One page of an organisation's sales, newest first, and one more to tell whether there is another page."""
    query = sa.select(sales).where(sales.c.organisation_id == organisation_id)
    for column, value in (
        (sales.c.viewer_id, wanted.viewer_id),
        (sales.c.processor, wanted.processor),
        (sales.c.reference, wanted.reference),
    ):
        if value:
            query = query.where(column == value)
    if part.after:
        query = query.where(sales.c.sale_id < part.after)
    return [_sale(row) for row in await tx.execute(query.order_by(sales.c.sale_id.desc()).limit(part.size + 1))]


async def add_takeback(tx: Tx, taken: Taken) -> None:
    """Keeps what was given back of a sale."""
    await tx.execute(
        sa.insert(takebacks).values(
            entry_id=taken.entry_id,
            sale_id=taken.sale_id,
            kind=taken.kind.value,
            taken=list(taken.amounts),
            revoked=taken.revoked,
            reversed=taken.reversed,
        )
    )


async def mark_reversed(tx: Tx, entry_id: str) -> None:
    """Keeps that something given back was won, or was a mistake."""
    await tx.execute(sa.update(takebacks).where(takebacks.c.entry_id == entry_id).values(reversed=True))


async def takebacks_of(tx: Tx, sale_id: str) -> list[Taken]:
    """All that was given back of a sale, oldest first."""
    query = sa.select(takebacks).where(takebacks.c.sale_id == sale_id).order_by(takebacks.c.entry_id)
    return [_taken(row) for row in await tx.execute(query)]


async def find_takeback(tx: Tx, entry_id: str) -> Taken | None:
    """What an entry gave back; None when it is no such entry."""
    row = (await tx.execute(sa.select(takebacks).where(takebacks.c.entry_id == entry_id))).one_or_none()
    return None if row is None else _taken(row)


async def _one(tx: Tx, query: sa.Select[Any]) -> Sale | None:
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _sale(row)


def _sale(row: sa.Row[Any]) -> Sale:
    values = row._asdict()
    values["parts"] = tuple(Part(AccountKind(kind), owner_id, units, left) for kind, owner_id, units, left in row.parts)
    return Sale(**values)


def _values(sale: Sale) -> dict[str, Any]:
    values = {field.name: getattr(sale, field.name) for field in fields(sale)}
    values["parts"] = [[part.kind, part.owner_id, part.minor_units, part.remaining] for part in sale.parts]
    return values


def _taken(row: sa.Row[Any]) -> Taken:
    return Taken(row.entry_id, row.sale_id, _KINDS[row.kind], tuple(row.taken), row.revoked, row.reversed)
