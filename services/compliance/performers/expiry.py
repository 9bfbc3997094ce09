"""Tells when papers come to their end, and destroys what need not be kept any more."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
import structlog
from reelmesh.compliance.v1 import events_pb2

from services.compliance.performers import store
from services.compliance.performers.announcements import changed
from services.compliance.performers.domain import WARNED_BEFORE, Paper, Release, State, end_of
from services.compliance.performers.office import Office
from services.compliance.performers.retention import Retention, destroy_paper
from services.compliance.performers.tables import documents, releases
from services.compliance.rights import holds
from services.compliance.rights.store import Subjects
from services.kit import telemetry
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.personal import DataSubject

log = structlog.stdlib.get_logger()

_NEAR: Final = 1
_COME: Final = 2
_AT_A_TIME: Final = 100
_TABLES: Final = (documents, releases)


class Expiry:
    """Looks after ends.

    Args:
        office: where records are kept.
        years: how long what is not in force any more is kept, from the last that happened to it.
    """

    def __init__(self, office: Office, years: int) -> None:
        self._office = office
        self._years = years
        self._retention = Retention(office, years)
        self._subjects = Subjects(office.install)

    async def run(self, every: float) -> None:
        """Looks every so many seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                while await self.once() or await self._required_once():
                    pass
                await self._office.copies.sweep(self._office.clock.now())
            except asyncio.CancelledError:
                raise
            except Exception as error:  # a server may be away for a moment; what is due stays due
                log.warning(
                    "records are looked at later", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300]
                )
            await asyncio.sleep(every)

    async def once(self) -> bool:
        """Does what is due now for some papers. Returns whether there was anything."""
        now, did = self._office.clock.now(), False
        for table in _TABLES:
            async with self._office.database.transaction() as tx:
                due = await _due(tx, table, now)
            for organisation_id, record_id in due:
                did = True
                async with self._office.database.transaction() as tx:
                    await store.lock(tx, organisation_id)
                    await self._told(tx, table, organisation_id, record_id, now)
            did |= await self._all_destroyed(table, now)
        return await self._retention.once() or did

    async def _all_destroyed(self, table: sa.Table, now: datetime) -> bool:
        """Destroys what need not be kept any more. Returns whether there was anything; what a legal hold is on does not count."""
        did, after = False, ""
        while True:
            async with self._office.database.transaction() as tx:
                over = await _over(tx, table, now, after, self._years)
            for organisation_id, record_id in over:
                async with self._office.database.transaction() as tx:
                    await store.lock(tx, organisation_id)
                    did |= await self._destroyed(tx, table, organisation_id, record_id, now)
            if len(over) < _AT_A_TIME:
                return did
            after = over[-1][1]

    async def _required_once(self) -> bool:
        """Applies a change of what an organisation requires to some of its assets. Returns whether there was any."""
        async with self._office.database.transaction() as tx:
            organisation_id = await store.unsettled_organisation(tx)
            if organisation_id is None:
                return False
            await store.lock(tx, organisation_id)
            asset_ids = await store.next_unsettled(tx, organisation_id, _AT_A_TIME)
            await self._office.consents.settle(tx, organisation_id, asset_ids, self._office.clock.now())
        return True

    async def _told(self, tx: Tx, table: sa.Table, organisation_id: str, record_id: str, now: datetime) -> None:
        """Announces the end of a paper, once when it is near and once when it has come."""
        mine = table.primary_key.columns[0] == record_id
        told = (await tx.execute(sa.select(table.c.told).where(mine))).scalar_one()
        paper = await _found(tx, table, organisation_id, record_id)
        assert paper.expire_date is not None
        ends = end_of(paper.expire_date)
        stage = _COME if now >= ends else _NEAR
        if told >= stage:
            return
        await tx.execute(sa.update(table).where(mine).values(told=stage))
        if paper.reviewed.state is not State.APPROVED:
            return
        said = events_pb2.RECORD_CHANGE_EXPIRED if stage == _COME else events_pb2.RECORD_CHANGE_EXPIRING
        await announce(tx, changed(paper, said, "", now, ends))
        if stage == _COME:
            await self._office.consents.settle_performer(tx, organisation_id, paper.performer_id, now)

    async def _destroyed(self, tx: Tx, table: sa.Table, organisation_id: str, record_id: str, now: datetime) -> bool:
        """Destroys a paper that has been in force no more for long enough. One that a legal hold is on is kept: then it returns False."""
        paper = await _found(tx, table, organisation_id, record_id)
        performer = DataSubject(organisation_id, paper.performer_id)
        staff = holds.people_of(paper.reviewed.submitter, paper.reviewed.reviewer)
        if await holds.covered(tx, self._subjects, [performer, *staff], await _assets_of(tx, paper)):
            return False
        await destroy_paper(tx, table, paper, now)
        return True


async def _found(tx: Tx, table: sa.Table, organisation_id: str, record_id: str) -> Paper:
    if table is documents:
        return await store.find_document(tx, organisation_id, record_id)
    return await store.find_release(tx, organisation_id, record_id)


async def _assets_of(tx: Tx, paper: Paper) -> set[str]:
    """Assets that a paper is about: a release's, or all in which the performer is seen."""
    if isinstance(paper, Release):
        return set((await store.find_production(tx, paper.organisation_id, paper.production_id)).asset_ids)
    return {asset_id for one in await store.productions_with(tx, paper.performer_id) for asset_id in one.asset_ids}


async def _due(tx: Tx, table: sa.Table, now: datetime) -> list[tuple[str, str]]:
    """Papers whose end is near or has come, and nobody was told."""
    key = table.primary_key.columns[0]
    query = sa.select(table.c.organisation_id, key).where(
        sa.or_(
            sa.and_(table.c.told < _COME, table.c.expire_date < now.date()),
            sa.and_(table.c.told < _NEAR, table.c.expire_date < (now + WARNED_BEFORE).date()),
        )
    )
    return [(row[0], row[1]) for row in await tx.execute(query.order_by(key).limit(_AT_A_TIME))]


async def _over(tx: Tx, table: sa.Table, now: datetime, after: str, years: int) -> list[tuple[str, str]]:
    """Some papers that are not in force, and that nothing happened to for long enough; those with ids after one."""
    key = table.primary_key.columns[0]
    last = sa.func.greatest(
        sa.func.coalesce(table.c.review_time, table.c.submit_time),
        sa.cast(table.c.expire_date, sa.DateTime(timezone=True)) + timedelta(days=1),
        *([table.c.withdraw_time] if table is releases else []),
    )
    query = sa.select(table.c.organisation_id, key).where(
        sa.or_(table.c.state != int(State.APPROVED), table.c.expire_date.is_not(None)),
        key > after,
        last + sa.func.make_interval(years) <= now,
    )
    return [(row[0], row[1]) for row in await tx.execute(query.order_by(key).limit(_AT_A_TIME))]
