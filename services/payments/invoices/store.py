"""The tables of invoices, and of who stands on them. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.invoices.domain import Content, Invoice, Party, party

_METADATA: Final = sa.MetaData()

issuers: Final = sa.Table(
    "invoice_issuers",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("seller", JSONB),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
billing_details: Final = sa.Table(
    "billing_details",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("viewer_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("buyer", JSONB),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
invoices: Final = sa.Table(
    "invoices",
    _METADATA,
    sa.Column("invoice_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("series", sa.Text),
    sa.Column("year", sa.Integer),
    sa.Column("serial", sa.BigInteger),
    sa.Column("entry_id", sa.Text),
    sa.Column("sale_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("content", JSONB),
    sa.Column("issue_time", sa.DateTime(timezone=True)),
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('invoices:' || :organisation_id, 0))")
_CORRECTS: Final = "corrects_invoice_id"


async def lock(tx: Tx, organisation_id: str) -> None:
    """Has nobody else number invoices of an organisation until the transaction ends: so that one number follows another, and a number that was
    taken and undone is taken again."""
    await tx.execute(_LOCK, {"organisation_id": organisation_id})


async def put_issuer(tx: Tx, organisation_id: str, seller: Party, footer: str, now: datetime) -> None:
    """Keeps who sells from now on; the organisation is locked."""
    newest = sa.select(sa.func.coalesce(sa.func.max(issuers.c.version), 0) + 1).where(
        issuers.c.organisation_id == organisation_id
    )
    await tx.execute(
        sa.insert(issuers).values(
            organisation_id=organisation_id,
            version=newest.scalar_subquery(),
            seller=asdict(seller) | {"footer": footer},
            change_time=now,
        )
    )


async def issuer(tx: Tx, organisation_id: str) -> tuple[Party, str] | None:
    """Who sells, and the last line of invoices; None when nobody said."""
    query = (
        sa.select(issuers.c.seller)
        .where(issuers.c.organisation_id == organisation_id)
        .order_by(issuers.c.version.desc())
        .limit(1)
    )
    found = (await tx.execute(query)).scalar_one_or_none()
    return None if found is None else (party(found), str(found["footer"]))


async def put_buyer(tx: Tx, organisation_id: str, viewer_id: str, buyer: Party, now: datetime) -> None:
    """Keeps what stands on a viewer's invoices from now on; the organisation is locked."""
    newest = sa.select(sa.func.coalesce(sa.func.max(billing_details.c.version), 0) + 1).where(
        billing_details.c.organisation_id == organisation_id, billing_details.c.viewer_id == viewer_id
    )
    await tx.execute(
        sa.insert(billing_details).values(
            organisation_id=organisation_id,
            viewer_id=viewer_id,
            version=newest.scalar_subquery(),
            buyer=asdict(buyer),
            change_time=now,
        )
    )


async def buyer(tx: Tx, organisation_id: str, viewer_id: str) -> Party | None:
    """What stands on a viewer's invoices; None when they did not say."""
    query = (
        sa.select(billing_details.c.buyer)
        .where(billing_details.c.organisation_id == organisation_id, billing_details.c.viewer_id == viewer_id)
        .order_by(billing_details.c.version.desc())
        .limit(1)
    )
    found = (await tx.execute(query)).scalar_one_or_none()
    return None if found is None else party(found)


async def next_serial(tx: Tx, organisation_id: str, series: str, year: int) -> int:
    """The number after the last one; the organisation is locked."""
    query = sa.select(sa.func.coalesce(sa.func.max(invoices.c.serial), 0) + 1).where(
        invoices.c.organisation_id == organisation_id, invoices.c.series == series, invoices.c.year == year
    )
    return int((await tx.execute(query)).scalar_one())


async def add(tx: Tx, invoice: Invoice) -> None:
    """Keeps an invoice."""
    values = {name: getattr(invoice, name) for name in invoices.c.keys() if name != "content"}  # noqa: SIM118  # a collection of columns, no mapping
    content = invoice.content.as_json() | {_CORRECTS: invoice.corrects_invoice_id}
    await tx.execute(sa.insert(invoices).values(**values, content=content))


async def of_entry(tx: Tx, entry_id: str) -> Invoice | None:
    """The invoice about an entry; None when there is none."""
    row = (await tx.execute(sa.select(invoices).where(invoices.c.entry_id == entry_id))).one_or_none()
    return None if row is None else _invoice(row)


async def find(tx: Tx, organisation_id: str, invoice_id: str) -> Invoice | None:
    """One invoice; None when there is none."""
    query = sa.select(invoices).where(
        invoices.c.organisation_id == organisation_id, invoices.c.invoice_id == invoice_id
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _invoice(row)


async def page(tx: Tx, organisation_id: str, viewer_id: str, part: Page) -> Sequence[Invoice]:
    """One page of invoices, newest first, and one more to tell whether there is another page."""
    query = sa.select(invoices).where(invoices.c.organisation_id == organisation_id)
    if viewer_id:
        query = query.where(invoices.c.viewer_id == viewer_id)
    if part.after:
        query = query.where(invoices.c.invoice_id < part.after)
    rows = await tx.execute(query.order_by(invoices.c.invoice_id.desc()).limit(part.size + 1))
    return [_invoice(row) for row in rows]


def _invoice(row: sa.Row[Any]) -> Invoice:
    values = dict(row.content)
    corrects = values.pop(_CORRECTS)
    return Invoice(
        invoice_id=row.invoice_id,
        organisation_id=row.organisation_id,
        series=row.series,
        year=row.year,
        serial=row.serial,
        entry_id=row.entry_id,
        sale_id=row.sale_id,
        viewer_id=row.viewer_id,
        corrects_invoice_id=corrects,
        content=Content.from_json(values),
        issue_time=row.issue_time,
    )
