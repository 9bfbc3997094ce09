"""What the records amount to for playback: worked out anew after each change, and announced where it differs from what was announced before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2
from sqlalchemy.dialects.postgresql import insert

from services.compliance.performers import store
from services.compliance.performers.domain import Consent, Gap, Production, consent_of, consent_of_all, gaps_of
from services.compliance.performers.persons import Persons
from services.compliance.performers.tables import consents
from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce

_NEXT: Final = timedelta(microseconds=1)


class Consents:
    """Works it out. Whoever calls has locked the organisation's records."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    async def gaps(
        self, tx: Tx, organisation_id: str, productions: Collection[Production], now: datetime
    ) -> dict[str, tuple[Gap, ...]]:
        """What keeps the assets of each production from being played."""
        performer_ids = {one for production in productions for one in production.performer_ids}
        performers = await self._persons.of(tx, organisation_id, performer_ids)
        births = {one.performer_id: one.person.date_of_birth for one in performers.values()}
        documents = await store.documents_of(tx, performer_ids)
        releases = await store.releases_of(tx, [production.production_id for production in productions])
        return {one.production_id: gaps_of(one, births, documents, releases, now) for one in productions}

    async def settle(self, tx: Tx, organisation_id: str, asset_ids: Collection[str], now: datetime) -> None:
        """Announces how the consent of some assets stands, where that changed."""
        if not asset_ids:
            return
        productions = await store.productions_showing(tx, asset_ids)
        gaps = await self.gaps(tx, organisation_id, productions, now)
        for asset_id in sorted(asset_ids):
            showing = [one for one in productions if asset_id in one.asset_ids]
            state = consent_of_all([consent_of(gaps[one.production_id]) for one in showing])
            await _announced(tx, organisation_id, asset_id, state, now)

    async def settle_performer(self, tx: Tx, organisation_id: str, performer_id: str, now: datetime) -> None:
        """The same for all assets that a performer is seen in."""
        found = await store.productions_with(tx, performer_id)
        await self.settle(tx, organisation_id, {one for production in found for one in production.asset_ids}, now)


async def _announced(tx: Tx, organisation_id: str, asset_id: str, state: Consent, now: datetime) -> None:
    before = (await tx.execute(sa.select(consents).where(consents.c.asset_id == asset_id))).one_or_none()
    if before is not None and before.state == state:
        return
    # Who hears of it goes by the later one, so no two have the same moment.
    moment = now if before is None else max(now, before.change_time + _NEXT)
    values = {"organisation_id": organisation_id, "state": int(state), "change_time": moment}
    statement = insert(consents).values(asset_id=asset_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["asset_id"], set_=values))
    await announce(
        tx,
        events_pb2.ConsentChanged(
            asset_id=asset_id,
            organisation_id=organisation_id,
            state=events_pb2.ConsentState.ValueType(state),
            change_time=timestamp(moment),
        ),
    )
