"""The tables of plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kit.database import Tx
from services.kit.pagination import Page
from services.payments.plans.calendar import Interval, Unit
from services.payments.plans.domain import Plan, Price, Terms

_METADATA: Final = sa.MetaData()

plans: Final = sa.Table(
    "plans",
    _METADATA,
    sa.Column("plan_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("display_name", sa.Text),
    sa.Column("retire_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
plan_terms: Final = sa.Table(
    "plan_terms",
    _METADATA,
    sa.Column("plan_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("tier", sa.Text),
    sa.Column("unit", sa.SmallInteger),
    sa.Column("unit_count", sa.Integer),
    sa.Column("trial_days", sa.Integer),
    sa.Column("grace_days", sa.Integer),
    sa.Column("dunning_days", ARRAY(sa.Integer)),
    sa.Column("prices", JSONB),
    sa.Column("move_time", sa.DateTime(timezone=True)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


async def add(tx: Tx, plan: Plan) -> None:
    """Keeps a new plan with its terms."""
    await tx.execute(
        sa.insert(plans).values(
            plan_id=plan.plan_id,
            organisation_id=plan.organisation_id,
            display_name=plan.display_name,
            create_time=plan.create_time,
        )
    )
    for terms in plan.terms:
        await add_terms(tx, plan.plan_id, terms)


async def add_terms(tx: Tx, plan_id: str, terms: Terms) -> None:
    """Keeps new terms of a plan, which is locked."""
    await tx.execute(
        sa.insert(plan_terms).values(
            plan_id=plan_id,
            version=terms.version,
            tier=terms.tier,
            unit=terms.interval.unit,
            unit_count=terms.interval.count,
            trial_days=terms.trial_days,
            grace_days=terms.grace_days,
            dunning_days=list(terms.dunning_days),
            prices=[[price.territory, price.currency, price.minor_units] for price in terms.prices],
            move_time=terms.move_time,
            create_time=terms.create_time,
        )
    )


async def retire(tx: Tx, plan_id: str, now: datetime) -> None:
    """Keeps that a plan is not offered any more."""
    await tx.execute(sa.update(plans).where(plans.c.plan_id == plan_id).values(retire_time=now))


async def find(tx: Tx, organisation_id: str, plan_id: str, *, for_update: bool = False) -> Plan | None:
    """One plan; None when there is none."""
    query = sa.select(plans).where(plans.c.organisation_id == organisation_id, plans.c.plan_id == plan_id)
    rows = (await tx.execute(query.with_for_update() if for_update else query)).all()
    return (await _with_terms(tx, rows))[0] if rows else None


async def by_ids(tx: Tx, plan_ids: Iterable[str]) -> dict[str, Plan]:
    """Plans by their ids."""
    rows = (await tx.execute(sa.select(plans).where(plans.c.plan_id.in_(sorted(plan_ids))))).all()
    return {plan.plan_id: plan for plan in await _with_terms(tx, rows)}


async def page(tx: Tx, organisation_id: str, part: Page, *, retired: bool) -> Sequence[Plan]:
    """One page of an organisation's plans, newest first, and one more to tell whether there is another page."""
    query = sa.select(plans).where(plans.c.organisation_id == organisation_id)
    if not retired:
        query = query.where(plans.c.retire_time.is_(None))
    if part.after:
        query = query.where(plans.c.plan_id < part.after)
    rows = (await tx.execute(query.order_by(plans.c.plan_id.desc()).limit(part.size + 1))).all()
    return await _with_terms(tx, rows)


async def _with_terms(tx: Tx, rows: Sequence[sa.Row[Any]]) -> list[Plan]:
    found: dict[str, list[Terms]] = {row.plan_id: [] for row in rows}
    query = sa.select(plan_terms).where(plan_terms.c.plan_id.in_(list(found))).order_by(plan_terms.c.version)
    for row in await tx.execute(query):
        found[row.plan_id].append(
            Terms(
                version=row.version,
                tier=row.tier,
                interval=Interval(Unit(row.unit), row.unit_count),
                trial_days=row.trial_days,
                grace_days=row.grace_days,
                dunning_days=tuple(row.dunning_days),
                prices=tuple(Price(*price) for price in row.prices),
                move_time=row.move_time,
                create_time=row.create_time,
            )
        )
    return [
        Plan(row.plan_id, row.organisation_id, row.display_name, row.retire_time, row.create_time, found[row.plan_id])
        for row in rows
    ]
