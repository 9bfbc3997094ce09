"""The table of subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.bulk import Bulk
from services.payments.plans.calendar import Interval, Unit
from services.payments.subscriptions.domain import End, Payer, State, Subscription
from services.payments.subscriptions.periods import Deal, Period

METADATA: Final = sa.MetaData()
_TIME: Final = sa.DateTime(timezone=True)


def deal_and_period() -> list[sa.Column[Any]]:
    """Columns that say what is paid for."""
    return [
        sa.Column("plan_id", sa.Text),
        sa.Column("plan_version", sa.Integer),
        sa.Column("tier", sa.Text),
        sa.Column("unit", sa.SmallInteger),
        sa.Column("unit_count", sa.Integer),
        sa.Column("price", sa.BigInteger),
        sa.Column("grace_days", sa.Integer),
        sa.Column("dunning_days", ARRAY(sa.Integer)),
        sa.Column("anchor", _TIME),
        sa.Column("number", sa.Integer),
        sa.Column("period_start", _TIME),
        sa.Column("period_end", _TIME),
    ]


subscriptions: Final = sa.Table(
    "subscriptions",
    METADATA,
    sa.Column("subscription_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("territory", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("account_id", sa.Text),
    sa.Column("payment_method", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("checkout_id", sa.Text),
    sa.Column("renews_by_itself", sa.Boolean),
    *deal_and_period(),
    sa.Column("state", sa.SmallInteger),
    sa.Column("entitlement_id", sa.Text),
    sa.Column("open_charge_id", sa.Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("retry_time", _TIME),
    sa.Column("given_up", sa.Boolean),
    sa.Column("lapsed", sa.Boolean),
    sa.Column("next_plan_id", sa.Text),
    sa.Column("next_version", sa.Integer),
    sa.Column("trial_end", _TIME),
    sa.Column("end_reason", sa.SmallInteger),
    sa.Column("end_time", _TIME),
    sa.Column("due_time", _TIME),
    sa.Column("create_time", _TIME),
    sa.Column("change_time", _TIME),
)
_FIXED: Final = (
    "organisation_id",
    "viewer_id",
    "territory",
    "currency",
    "entitlement_id",
    "create_time",
    "checkout_id",
    "trial_end",
)
_BULK: Final = Bulk(subscriptions, "subscription_id", _FIXED)


async def add_all(tx: Tx, made: Sequence[Subscription]) -> None:
    """Keeps new subscriptions."""
    await _BULK.add(tx, [_row(one) for one in made])


async def put_all(tx: Tx, changed: Sequence[Subscription]) -> None:
    """Keeps the next states of subscriptions, which are locked."""
    await _BULK.put(tx, [_row(one) for one in changed])


async def find(tx: Tx, organisation_id: str, subscription_id: str, *, for_update: bool = False) -> Subscription | None:
    """One subscription; None when there is none."""
    query = sa.select(subscriptions).where(
        subscriptions.c.organisation_id == organisation_id, subscriptions.c.subscription_id == subscription_id
    )
    return await _one(tx, query.with_for_update() if for_update else query)


async def by_reference(tx: Tx, organisation_id: str, processor: str, reference: str) -> Subscription | None:
    """The one that a processor knows by a reference, locked; None when there is none."""
    query = sa.select(subscriptions).where(
        subscriptions.c.organisation_id == organisation_id,
        subscriptions.c.processor == processor,
        subscriptions.c.reference == reference,
        subscriptions.c.reference != "",
    )
    return await _one(tx, query.with_for_update())


async def waiting_for(
    tx: Tx, organisation_id: str, processor: str, checkout_id: str, payment_method: str
) -> Subscription | None:
    """The one with a charge under way that was begun by a checkout, or is paid by a payment method; locked. None when there is none."""
    query = sa.select(subscriptions).where(
        subscriptions.c.organisation_id == organisation_id,
        subscriptions.c.processor == processor,
        subscriptions.c.open_charge_id != "",
        sa.or_(
            sa.and_(subscriptions.c.checkout_id == checkout_id, subscriptions.c.checkout_id != ""),
            sa.and_(subscriptions.c.payment_method == payment_method, subscriptions.c.payment_method != ""),
        ),
    )
    return await _one(tx, query.limit(1).with_for_update())


async def tried(tx: Tx, organisation_id: str, viewer_id: str) -> bool:
    """Whether a viewer had a trial before."""
    query = sa.select(subscriptions.c.subscription_id).where(
        subscriptions.c.organisation_id == organisation_id,
        subscriptions.c.viewer_id == viewer_id,
        subscriptions.c.trial_end.is_not(None),
    )
    return (await tx.execute(query.limit(1))).one_or_none() is not None


async def living(tx: Tx, organisation_id: str, viewer_id: str) -> Subscription | None:
    """The one of a viewer that is not over, or may live again; None when there is none."""
    query = sa.select(subscriptions).where(
        subscriptions.c.organisation_id == organisation_id,
        subscriptions.c.viewer_id == viewer_id,
        sa.or_(subscriptions.c.state != State.EXPIRED, subscriptions.c.open_charge_id != ""),
    )
    return await _one(tx, query)


async def locked(tx: Tx, subscription_ids: Sequence[str]) -> dict[str, Subscription]:
    """Subscriptions by their ids, locked in one order, so that two who lock several do not wait in a ring."""
    query = sa.select(subscriptions).where(
        subscriptions.c.subscription_id == sa.any_(sa.cast(list(subscription_ids), ARRAY(sa.Text)))
    )
    rows = await tx.execute(query.order_by(subscriptions.c.subscription_id).with_for_update())
    return {row.subscription_id: subscription_of(row) for row in rows}


async def payers(tx: Tx, subscription_ids: Sequence[str]) -> dict[str, Payer]:
    """Who pays for subscriptions, by their ids."""
    query = sa.select(subscriptions).where(subscriptions.c.subscription_id.in_(sorted(set(subscription_ids))))
    return {row.subscription_id: subscription_of(row).payer for row in await tx.execute(query)}


async def due(tx: Tx, now: datetime, most: int) -> list[Subscription]:
    """Subscriptions about which something is to be done by now, longest due first, locked. Those that somebody else holds are left to them."""
    query = (
        sa.select(subscriptions)
        .where(subscriptions.c.due_time <= now)
        .order_by(subscriptions.c.due_time)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return [subscription_of(row) for row in await tx.execute(query)]


async def page(tx: Tx, organisation_id: str, viewer_id: str, part: Page) -> Sequence[Subscription]:
    """One page of an organisation's subscriptions, newest first, and one more to tell whether there is another page; of one viewer, or of all."""
    query = sa.select(subscriptions).where(subscriptions.c.organisation_id == organisation_id)
    if viewer_id:
        query = query.where(subscriptions.c.viewer_id == viewer_id)
    if part.after:
        query = query.where(subscriptions.c.subscription_id < part.after)
    rows = await tx.execute(query.order_by(subscriptions.c.subscription_id.desc()).limit(part.size + 1))
    return [subscription_of(row) for row in rows]


async def of_entitlement(tx: Tx, organisation_id: str, entitlement_id: str) -> Subscription | None:
    """The one by which an entitlement is had; None when there is none."""
    mine = subscriptions.c.organisation_id == organisation_id, subscriptions.c.entitlement_id == entitlement_id
    return await _one(tx, sa.select(subscriptions).where(*mine))


async def page_by_entitlement(tx: Tx, organisation_id: str, viewer_id: str, part: Page) -> Sequence[Subscription]:
    """One page of subscriptions by which something is or was paid, newest entitlement first, and one more as in `page`."""
    query = sa.select(subscriptions).where(
        subscriptions.c.organisation_id == organisation_id, subscriptions.c.period_end > subscriptions.c.period_start
    )
    if viewer_id:
        query = query.where(subscriptions.c.viewer_id == viewer_id)
    if part.after:
        query = query.where(subscriptions.c.entitlement_id < part.after)
    rows = await tx.execute(query.order_by(subscriptions.c.entitlement_id.desc()).limit(part.size + 1))
    return [subscription_of(row) for row in rows]


async def _one(tx: Tx, query: sa.Select[Any]) -> Subscription | None:
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else subscription_of(row)


def subscription_of(row: sa.Row[Any]) -> Subscription:
    """A row as a subscription."""
    return Subscription(
        subscription_id=row.subscription_id,
        organisation_id=row.organisation_id,
        viewer_id=row.viewer_id,
        territory=row.territory,
        currency=row.currency,
        payer=Payer(
            row.processor,
            row.account_id,
            row.payment_method,
            row.reference,
            row.checkout_id,
            renews_by_itself=row.renews_by_itself,
        ),
        deal=deal_of(row),
        period=period_of(row),
        state=State(row.state),
        entitlement_id=row.entitlement_id,
        create_time=row.create_time,
        change_time=row.change_time,
        open_charge_id=row.open_charge_id,
        attempts=row.attempts,
        retry_time=row.retry_time,
        given_up=row.given_up,
        lapsed=row.lapsed,
        next_plan_id=row.next_plan_id,
        next_version=row.next_version,
        trial_end=row.trial_end,
        end=End(row.end_reason),
        end_time=row.end_time,
    )


def deal_of(row: sa.Row[Any]) -> Deal:
    """What was agreed, of a row."""
    interval = Interval(Unit(row.unit), row.unit_count)
    return Deal(row.plan_id, row.plan_version, row.tier, interval, row.price, row.grace_days, tuple(row.dunning_days))


def period_of(row: sa.Row[Any]) -> Period:
    """The period of a row."""
    return Period(row.anchor, row.number, row.period_start, row.period_end)


def deal_and_period_values(deal: Deal, period: Period) -> dict[str, Any]:
    """Values of the columns that say what is paid for."""
    return {
        "plan_id": deal.plan_id,
        "plan_version": deal.version,
        "tier": deal.tier,
        "unit": deal.interval.unit,
        "unit_count": deal.interval.count,
        "price": deal.price,
        "grace_days": deal.grace_days,
        "dunning_days": deal.dunning_days,
        "anchor": period.anchor,
        "number": period.number,
        "period_start": period.start,
        "period_end": period.end,
    }


def _row(one: Subscription) -> dict[str, Any]:
    return deal_and_period_values(one.deal, one.period) | {
        "subscription_id": one.subscription_id,
        "organisation_id": one.organisation_id,
        "viewer_id": one.viewer_id,
        "territory": one.territory,
        "currency": one.currency,
        "processor": one.payer.processor,
        "account_id": one.payer.account_id,
        "payment_method": one.payer.payment_method,
        "reference": one.payer.reference,
        "checkout_id": one.payer.checkout_id,
        "renews_by_itself": one.payer.renews_by_itself,
        "state": one.state,
        "entitlement_id": one.entitlement_id,
        "open_charge_id": one.open_charge_id,
        "attempts": one.attempts,
        "retry_time": one.retry_time,
        "given_up": one.given_up,
        "lapsed": one.lapsed,
        "next_plan_id": one.next_plan_id,
        "next_version": one.next_version,
        "trial_end": one.trial_end,
        "end_reason": one.end,
        "end_time": one.end_time,
        "due_time": one.due_time,
        "create_time": one.create_time,
        "change_time": one.change_time,
    }
