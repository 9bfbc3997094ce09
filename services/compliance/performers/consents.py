"""What the records amount to for playback: worked out anew after each change, and announced where it differs from what was announced before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2
from sqlalchemy.dialects.postgresql import insert

from services.compliance.performers import store
from services.compliance.performers.domain import (
    Consent,
    Gap,
    Production,
    consent_of,
    consent_of_all,
    consent_of_unnamed,
    gaps_of,
)
from services.compliance.performers.persons import Persons
from services.compliance.performers.tables import consents
from services.kit.clock import timestamp
from services.kit.database import Tx, one_of
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
        required = (await store.settings_of(tx, organisation_id)).records_required
        known = await _announced_of(tx, asset_ids)
        for asset_id in sorted(asset_ids):
            before = known.get(asset_id)
            states = [consent_of(gaps[one.production_id]) for one in productions if asset_id in one.asset_ids]
            named = bool(states) or (before is not None and before.named)
            last = None if before is None else before.state
            state = consent_of_all(states) if states else consent_of_unnamed(last, named=named, required=required)
            if state is not None:
                after = _Announced(state, named, now if before is None else max(now, before.change_time + _NEXT))
                await _keep(tx, organisation_id, asset_id, before, after)

    async def settle_performer(self, tx: Tx, organisation_id: str, performer_id: str, now: datetime) -> None:
        """The same for all assets that a performer is seen in."""
        found = await store.productions_with(tx, performer_id)
        await self.settle(tx, organisation_id, {one for production in found for one in production.asset_ids}, now)


@dataclass(frozen=True, slots=True)
class _Announced:
    """What was announced of an asset last. Who hears of it goes by the later one, so no two have the same moment."""

    state: Consent
    named: bool
    change_time: datetime


async def _announced_of(tx: Tx, asset_ids: Collection[str]) -> dict[str, _Announced]:
    rows = await tx.execute(sa.select(consents).where(consents.c.asset_id == one_of(asset_ids)))
    return {row.asset_id: _Announced(Consent(row.state), row.named, row.change_time) for row in rows}


async def _keep(tx: Tx, organisation_id: str, asset_id: str, before: _Announced | None, after: _Announced) -> None:
    """Keeps how the consent of an asset stands, and announces it if that is news."""
    if before is not None and (before.state, before.named) == (after.state, after.named):
        return
    values = {
        "organisation_id": organisation_id,
        "state": int(after.state),
        "named": after.named,
        "change_time": after.change_time,
    }
    statement = insert(consents).values(asset_id=asset_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["asset_id"], set_=values))
    if before is not None and before.state is after.state:
        return
    await announce(
        tx,
        events_pb2.ConsentChanged(
            asset_id=asset_id,
            organisation_id=organisation_id,
            state=events_pb2.ConsentState.ValueType(after.state),
            change_time=timestamp(after.change_time),
        ),
    )
