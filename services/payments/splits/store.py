"""The tables of split rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.kit.database import Tx
from services.kit.pagination import Page, number_of
from services.payments.splits.domain import KeptRules, Rules

_METADATA: Final = sa.MetaData()

split_rules: Final = sa.Table(
    "split_rules",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("platform", sa.Integer),
    sa.Column("tax", sa.Integer),
    sa.Column("fee", sa.Integer),
    sa.Column("reserve", sa.Integer),
    sa.Column("fee_kept_on_refund", sa.Boolean),
    sa.Column("chargeback_fee_on_creators", sa.Boolean),
    sa.Column("comment", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("activate_time", sa.DateTime(timezone=True)),
)
active_split_rules: Final = sa.Table(
    "active_split_rules",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
)
_RULES: Final = tuple(field.name for field in fields(Rules))
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('split_rules:' || :organisation_id, 0))"


async def add(tx: Tx, organisation_id: str, rules: Rules, comment: str, now: datetime) -> int:
    """Keeps new rules. Returns their version: one more than the newest."""
    await tx.execute(sa.text(_LOCK), {"organisation_id": organisation_id})
    newest = sa.select(sa.func.max(split_rules.c.version)).where(split_rules.c.organisation_id == organisation_id)
    version = int((await tx.execute(newest)).scalar_one_or_none() or 0) + 1
    values = asdict(rules) | {"comment": comment, "create_time": now}
    await tx.execute(sa.insert(split_rules).values(organisation_id=organisation_id, version=version, **values))
    return version


async def activate(tx: Tx, organisation_id: str, version: int, now: datetime) -> bool:
    """Divides by these rules, which are there. Tells whether others did before."""
    await tx.execute(sa.text(_LOCK), {"organisation_id": organisation_id})
    if await _active(tx, organisation_id) == version:
        return False
    await tx.execute(
        sa.update(split_rules)
        .where(split_rules.c.organisation_id == organisation_id, split_rules.c.version == version)
        .values(activate_time=now)
    )
    await tx.execute(
        insert(active_split_rules)
        .values(organisation_id=organisation_id, version=version)
        .on_conflict_do_update(index_elements=["organisation_id"], set_={"version": version})
    )
    return True


async def find(tx: Tx, organisation_id: str, version: int) -> KeptRules | None:
    """Rules by their version, or with 0 the active ones; None when there are none."""
    active = await _active(tx, organisation_id)
    query = sa.select(split_rules).where(
        split_rules.c.organisation_id == organisation_id, split_rules.c.version == (version or active)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _kept(row, active)


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[KeptRules]:
    """One page of an organisation's rules, newest first, and one more to tell whether there is another page."""
    active = await _active(tx, organisation_id)
    query = sa.select(split_rules).where(split_rules.c.organisation_id == organisation_id)
    if part.after:
        query = query.where(split_rules.c.version < number_of(part.after))
    rows = await tx.execute(query.order_by(split_rules.c.version.desc()).limit(part.size + 1))
    return [_kept(row, active) for row in rows]


async def _active(tx: Tx, organisation_id: str) -> int:
    query = sa.select(active_split_rules.c.version).where(active_split_rules.c.organisation_id == organisation_id)
    return (await tx.execute(query)).scalar_one_or_none() or 0


def _kept(row: sa.Row[Any], active: int) -> KeptRules:
    values = row._asdict()
    return KeptRules(
        row.version,
        Rules(**{name: values[name] for name in _RULES}),
        row.comment,
        row.create_time,
        row.activate_time,
        active=row.version == active,
    )
