"""The tables of checkouts and of refunds that processors are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import Tx
from services.payments.checkouts.domain import Checkout, CheckoutState, Refund, RefundState

_METADATA: Final = sa.MetaData()
_TIME: Final = sa.DateTime(timezone=True)

checkouts: Final = sa.Table(
    "checkouts",
    _METADATA,
    sa.Column("checkout_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("request_key", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("offer_id", sa.Text),
    sa.Column("offer_version", sa.BigInteger),
    sa.Column("territory", sa.Text),
    sa.Column("asset_id", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("account_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("return_path", sa.Text),
    sa.Column("state", sa.SmallInteger),
    sa.Column("page", JSONB),
    sa.Column("page_reference", sa.Text),
    sa.Column("sale_id", sa.Text),
    sa.Column("transaction_reference", sa.Text),
    sa.Column("payment_method_reference", sa.Text),
    sa.Column("create_time", _TIME),
    sa.Column("expire_time", _TIME),
    sa.Column("ask_time", _TIME),
    sa.Column("pay_time", _TIME),
)
refunds: Final = sa.Table(
    "checkout_refunds",
    _METADATA,
    sa.Column("refund_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("checkout_id", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("whole", sa.Boolean),
    sa.Column("state", sa.SmallInteger),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("due_time", _TIME),
    sa.Column("create_time", _TIME),
)


async def add(tx: Tx, checkout: Checkout) -> None:
    """Keeps a new checkout."""
    await tx.execute(sa.insert(checkouts).values(**_values(checkout)))


async def put(tx: Tx, checkout: Checkout) -> None:
    """Keeps the next state of a checkout, which is locked."""
    statement = sa.update(checkouts).where(checkouts.c.checkout_id == checkout.checkout_id)
    await tx.execute(statement.values(**_values(checkout)))


async def find(tx: Tx, organisation_id: str, checkout_id: str, *, for_update: bool = False) -> Checkout | None:
    """One checkout; None when there is none."""
    query = sa.select(checkouts).where(
        checkouts.c.organisation_id == organisation_id, checkouts.c.checkout_id == checkout_id
    )
    return await _checkout(tx, query.with_for_update() if for_update else query)


async def of_request(tx: Tx, organisation_id: str, request_key: str) -> Checkout | None:
    """The checkout that a request opened before it was cut off; None when there is none."""
    query = sa.select(checkouts).where(
        checkouts.c.organisation_id == organisation_id, checkouts.c.request_key == request_key
    )
    return await _checkout(tx, query)


async def claim_to_ask(tx: Tx, now: datetime) -> Checkout | None:
    """The next checkout whose processor is to be asked, which nobody else has in hand; None when there is none."""
    query = (
        sa.select(checkouts)
        .where(checkouts.c.ask_time <= now)
        .order_by(checkouts.c.ask_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return await _checkout(tx, query)


async def add_refund(tx: Tx, refund: Refund) -> None:
    """Keeps a new refund."""
    await tx.execute(sa.insert(refunds).values(**_refund_values(refund)))


async def put_refund(tx: Tx, refund: Refund) -> None:
    """Keeps the next state of a refund, which is locked."""
    await tx.execute(sa.update(refunds).where(refunds.c.refund_id == refund.refund_id).values(**_refund_values(refund)))


async def find_refund(tx: Tx, refund_id: str, *, for_update: bool = False) -> Refund:
    """One refund, which there is."""
    query = sa.select(refunds).where(refunds.c.refund_id == refund_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one()
    return _refund(row)


async def refunds_of(tx: Tx, checkout_id: str) -> Sequence[Refund]:
    """All refunds of a checkout, oldest first."""
    query = sa.select(refunds).where(refunds.c.checkout_id == checkout_id).order_by(refunds.c.refund_id)
    return [_refund(row) for row in await tx.execute(query)]


async def claim_refund(tx: Tx, now: datetime) -> Refund | None:
    """The next refund whose processor is to be asked again, which nobody else has in hand; None when there is none."""
    query = (
        sa.select(refunds)
        .where(refunds.c.due_time <= now)
        .order_by(refunds.c.due_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _refund(row)


async def _checkout(tx: Tx, query: sa.Select[Any]) -> Checkout | None:
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        return None
    return Checkout(**(row._asdict() | {"state": CheckoutState(row.state)}))


def _values(checkout: Checkout) -> dict[str, Any]:
    values = {one.name: getattr(checkout, one.name) for one in fields(checkout)}
    return values | {"state": int(checkout.state), "page": dict(checkout.page)}


def _refund(row: sa.Row[Any]) -> Refund:
    return Refund(**(row._asdict() | {"state": RefundState(row.state)}))


def _refund_values(refund: Refund) -> dict[str, Any]:
    return {one.name: getattr(refund, one.name) for one in fields(refund)} | {"state": int(refund.state)}
