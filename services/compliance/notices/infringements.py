"""Upheld notices, counted for each uploader of an organisation, for whoever has a policy about repeat infringers (17 U.S.C. 512(i))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2
from sqlalchemy.dialects.postgresql import insert

from services.compliance.notices.domain import Case
from services.compliance.notices.rules import Rules
from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.pagination import Page, number_of

infringements: Final = sa.Table(
    "notice_infringements",
    sa.MetaData(),
    sa.Column("notice_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("uploader", sa.Text),
    sa.Column("count_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Count:
    """How many upheld notices an uploader has had within the window."""

    uploader: str
    count: int
    last_time: datetime


async def count(tx: Tx, before: Case, after: Case, now: datetime) -> None:
    """Keeps the count in step with a case: it counts once for as long as it holds the material, and not any more when the material comes back."""
    if not after.uploader or not after.kind_rules.counted or bool(before.hold.down) == bool(after.hold.down):
        return
    if after.hold.down:
        added = insert(infringements).values(
            notice_id=after.notice_id,
            organisation_id=after.organisation_id,
            uploader=after.uploader,
            count_time=now,
        )
        await tx.execute(added.on_conflict_do_nothing(index_elements=["notice_id"]))
    else:
        await tx.execute(sa.delete(infringements).where(infringements.c.notice_id == after.notice_id))
    since = now - after.rules.infringements_within.fixed
    found = await counts(tx, after.organisation_id, since, uploader=after.uploader)
    number = found[0].count if found else 0
    await announce(
        tx,
        events_pb2.InfringementCounted(
            uploader=after.uploader,
            organisation_id=after.organisation_id,
            notice_id=after.notice_id,
            count=number,
            repeat=number >= after.rules.infringements,
            change_time=timestamp(now),
        ),
    )


async def counts(
    tx: Tx, organisation_id: str, since: datetime, *, uploader: str = "", part: Page | None = None
) -> Sequence[Count]:
    """Uploaders with upheld notices since a moment, those with most first; one more than a page of them to tell whether there is another."""
    number = sa.func.count().label("number")
    table = infringements.c
    query = (
        sa.select(table.uploader, number, sa.func.max(table.count_time).label("last_time"))
        .where(table.organisation_id == organisation_id, table.count_time > since)
        .group_by(table.uploader)
        .order_by(number.desc(), table.uploader)
    )
    if uploader:
        query = query.where(table.uploader == uploader)
    if part is not None:
        query = query.offset(number_of(part.after) if part.after else 0).limit(part.size + 1)
    return [Count(row.uploader, row.number, row.last_time) for row in await tx.execute(query)]


async def forget_old(tx: Tx, rules: Rules, now: datetime) -> None:
    """Removes what counts no more by any rules."""
    await tx.execute(
        sa.delete(infringements).where(infringements.c.count_time < now - 2 * rules.infringements_within.fixed)
    )
