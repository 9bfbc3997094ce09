"""Destroys productions and performers once their years are over, with the papers that are left of them (28 CFR 75.4: seven years from the last change).

A production's years begin with the last that happened to it, to one of its releases, or to an asset that it names: as long as one of these is there it stays, for a
title may be published again. A performer goes after the last production that names them. What a legal hold is on stays until that is released.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2

from services.compliance.performers import copies, store
from services.compliance.performers.announcements import changed
from services.compliance.performers.domain import Paper
from services.compliance.performers.office import Office
from services.compliance.performers.tables import documents, openings, performers, productions, releases
from services.compliance.rights import holds
from services.compliance.rights.store import Subjects
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.personal import DataSubject

_AT_A_TIME: Final = 100
_PRODUCTIONS: Final = sa.text("""
    SELECT p.organisation_id, p.production_id FROM productions AS p
    WHERE p.production_id > :after AND (:only = '' OR p.production_id = :only)
    AND GREATEST(p.submit_time, p.review_time) + make_interval(years => :years) <= :now
    AND NOT EXISTS (
        SELECT FROM unnest(p.asset_ids) AS named (asset_id) LEFT JOIN recorded_assets AS a USING (asset_id)
        WHERE a.delete_time IS NULL OR a.delete_time + make_interval(years => :years) > :now)
    AND NOT EXISTS (
        SELECT FROM releases AS r WHERE r.production_id = p.production_id
        AND GREATEST(r.submit_time, r.review_time, r.withdraw_time) + make_interval(years => :years) > :now)
    ORDER BY p.production_id LIMIT :count
""")
_PERFORMERS: Final = sa.text("""
    SELECT p.organisation_id, p.performer_id FROM performers AS p
    WHERE p.performer_id > :after AND (:only = '' OR p.performer_id = :only)
    AND p.create_time + make_interval(years => :years) <= :now
    AND NOT EXISTS (SELECT FROM productions AS q WHERE q.performer_ids @> ARRAY[p.performer_id])
    AND NOT EXISTS (SELECT FROM releases AS r WHERE r.performer_id = p.performer_id)
    AND NOT EXISTS (
        SELECT FROM identity_documents AS d WHERE d.performer_id = p.performer_id
        AND GREATEST(d.submit_time, d.review_time) + make_interval(years => :years) > :now)
    ORDER BY p.performer_id LIMIT :count
""")


class Retention:
    """Looks after the years of productions and performers.

    Args:
        office: where they are kept.
        years: for how long, from the last that happened.
    """

    def __init__(self, office: Office, years: int) -> None:
        self._office = office
        self._years = years
        self._subjects = Subjects(office.install)

    async def once(self) -> bool:
        """Destroys what need not be kept any more. Returns whether there was anything; what a legal hold is on does not count."""
        # In this order: who was seen in nothing but a production that goes can go with it.
        did = await self._all_over(_PRODUCTIONS, self._production)
        return await self._all_over(_PERFORMERS, self._performer) or did

    async def _all_over(self, query: sa.TextClause, destroyed: Any) -> bool:
        did, after, now = False, "", self._office.clock.now()
        while True:
            async with self._office.database.transaction() as tx:
                over = await self._found(tx, query, now, after=after)
            for organisation_id, record_id in over:
                async with self._office.database.transaction() as tx:
                    await store.lock(tx, organisation_id)
                    if await self._found(tx, query, now, only=record_id):  # nothing happened to it meanwhile
                        did |= await destroyed(tx, organisation_id, record_id, now)
            if len(over) < _AT_A_TIME:
                return did
            after = over[-1][1]

    async def _found(
        self, tx: Tx, query: sa.TextClause, now: datetime, *, after: str = "", only: str = ""
    ) -> list[tuple[str, str]]:
        given = {"after": after, "only": only, "years": self._years, "now": now, "count": _AT_A_TIME}
        return [(row[0], row[1]) for row in await tx.execute(query, given)]

    async def _production(self, tx: Tx, organisation_id: str, production_id: str, now: datetime) -> bool:
        production = await store.find_production(tx, organisation_id, production_id)
        given = await store.releases_of(tx, [production_id])
        people = [DataSubject(organisation_id, performer_id) for performer_id in production.performer_ids]
        for reviewed in (production.reviewed, *(one.reviewed for one in given)):
            people += holds.people_of(reviewed.submitter, reviewed.reviewer)
        if await holds.covered(tx, self._subjects, people, production.asset_ids):
            return False
        for release in given:
            await destroy_paper(tx, releases, release, now)
        await announce(tx, changed(production, events_pb2.RECORD_CHANGE_DESTROYED, "", now))
        await tx.execute(sa.delete(productions).where(productions.c.production_id == production_id))
        return True

    async def _performer(self, tx: Tx, organisation_id: str, performer_id: str, now: datetime) -> bool:
        performer = await self._office.performer(tx, organisation_id, performer_id)
        papers = await store.documents_of(tx, [performer_id])
        people = [DataSubject(organisation_id, performer_id)]
        for paper in papers:
            people += holds.people_of(paper.reviewed.submitter, paper.reviewed.reviewer)
        if await holds.covered(tx, self._subjects, people):
            return False
        for paper in papers:
            await destroy_paper(tx, documents, paper, now)
        await announce(tx, changed(performer, events_pb2.RECORD_CHANGE_DESTROYED, "", now))
        await tx.execute(sa.delete(performers).where(performers.c.performer_id == performer_id))
        return True


async def destroy_paper(tx: Tx, table: sa.Table, paper: Paper, now: datetime) -> None:
    """Destroys a paper, the key of its copy first, and tells."""
    record_id = store.record_id_of(paper)
    await announce(tx, changed(paper, events_pb2.RECORD_CHANGE_DESTROYED, "", now))
    await copies.destroy(tx, record_id)
    await tx.execute(sa.delete(openings).where(openings.c.record_id == record_id))
    await tx.execute(sa.delete(table).where(table.primary_key.columns[0] == record_id))
