"""Productions and performers go once their years are over: not while an asset is there, and not while a legal hold stands."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import sqlalchemy as sa
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.compliance.v1 import events_pb2

from services.compliance.log.settings import COMPLIANCE_KEY_FILE
from services.compliance.performers import tables
from services.compliance.performers.copies import key_of
from services.compliance.performers.domain import KEPT_FOR_YEARS
from services.compliance.rights import holds
from services.compliance.rights.store import Subjects
from services.kit.clock import timestamp
from services.kit.personal import DataSubject
from services.kit.sealing import Seal
from services.kit.storage import ObjectStore
from tests.compliance.performers.filing import T0, Filed, Files, until
from tests.compliance.performers.test_ends import changes, move_to

YEARS = timedelta(days=365 * KEPT_FOR_YEARS + 2)


async def deleted(files: Files, filed: Filed) -> None:
    """The asset of a production is deleted, and the office knows."""
    event = assets.AssetDeleted(
        asset_id=filed.asset_id, organisation_id=files.organisation_id, delete_time=timestamp(files.clock.now())
    )
    await files.bus.publish(event)

    async def known() -> bool:
        async with files.database.transaction() as tx:
            query = sa.select(tables.assets.c.delete_time).where(tables.assets.c.asset_id == filed.asset_id)
            return (await tx.execute(query)).scalar_one() is not None

    await until(known)


async def rows(files: Files, filed: Filed) -> int:
    """How much of what was filed is there: the performer, the document, the production, the release."""
    kept = (
        (tables.performers.c.performer_id, filed.performer.performer_id),
        (tables.documents.c.identity_document_id, filed.document.identity_document_id),
        (tables.productions.c.production_id, filed.production.production_id),
        (tables.releases.c.release_id, filed.release.release_id),
    )
    async with files.database.transaction() as tx:
        found = [await tx.execute(sa.select(key).where(key == value)) for key, value in kept]
        return sum(len(one.all()) for one in found)


async def gone(files: Files, filed: Filed) -> None:
    """Waits until everything of what was filed is gone. What else was due then is gone in the same look or the next."""

    async def none() -> bool:
        return await rows(files, filed) == 0

    await until(none)


async def test_a_production_and_who_was_seen_in_it_go_when_their_years_are_over(files: Files) -> None:
    """Seven years from the day on which the title went, each with an event; and the copies with them."""
    move_to(files, T0)
    earlier, filed = await files.complete(), await files.complete()
    await deleted(files, earlier)
    files.clock.advance(timedelta(days=100))
    await deleted(files, filed)
    files.clock.advance(YEARS - timedelta(days=50))
    await gone(files, earlier)
    assert await rows(files, filed) == 4
    files.clock.advance(timedelta(days=51))
    for record_id in (filed.production.production_id, filed.performer.performer_id):
        await until_destroyed(files, record_id)
    await changes(files, filed.release.release_id, "SUBMITTED", "APPROVED", "DESTROYED")
    await gone(files, filed)
    store = ObjectStore.at(files.settings.storage_location())

    async def swept() -> bool:
        keys = (filed.document.identity_document_id, filed.release.release_id)
        return [await store.size_of(key_of(files.organisation_id, key)) for key in keys] == [None, None]

    await until(swept)


async def until_destroyed(files: Files, record_id: str) -> None:
    """Waits until it was told that a record was destroyed."""

    async def told() -> bool:
        return any(
            one.record_id == record_id and one.change == events_pb2.RECORD_CHANGE_DESTROYED
            for one in files.bus.heard(events_pb2.RecordChanged)
        )

    await until(told)


async def test_as_long_as_an_asset_is_there_everything_stays(files: Files) -> None:
    move_to(files, T0)
    filed, other = await files.complete(), await files.complete()
    await deleted(files, other)
    files.clock.advance(2 * YEARS)
    await gone(files, other)

    async def but_the_document() -> bool:
        """It came to its end and had its years, which may be seen in the next look only: the clock went on in the midst of one."""
        return await rows(files, filed) == 3

    await until(but_the_document)
    await asyncio.sleep(0.2)
    assert await but_the_document()


async def test_what_a_legal_hold_is_on_stays_until_it_is_released(files: Files) -> None:
    move_to(files, T0)
    by_film, by_person, free = [await files.complete() for _ in range(3)]
    subjects = Subjects(Seal(files.settings.secret(COMPLIANCE_KEY_FILE), "compliance"))
    on = (by_film.asset_id, DataSubject(files.organisation_id, by_person.performer.performer_id))
    placed = [
        holds.new_hold(files.organisation_id, on=one, ground="a case", actor="", now=files.clock.now()) for one in on
    ]
    async with files.database.transaction() as tx:
        for hold in placed:
            await holds.place(tx, subjects, hold)
    for filed in (by_film, by_person, free):
        await deleted(files, filed)
    files.clock.advance(YEARS)
    await gone(files, free)
    assert [await rows(files, filed) for filed in (by_film, by_person)] == [4, 4]
    async with files.database.transaction() as tx:
        for hold in placed:
            await holds.release(
                tx, subjects, files.organisation_id, hold.hold_id, reason="it is over", now=files.clock.now()
            )
    for filed in (by_film, by_person):
        await until_destroyed(files, filed.production.production_id)
        await until_destroyed(files, filed.performer.performer_id)
        await gone(files, filed)


async def test_a_performer_of_another_production_stays_with_it(files: Files) -> None:
    """What goes is the one production; who is seen in another that is there, and their paper, stay."""
    move_to(files, T0)
    first, other = await files.complete(), await files.complete()
    await files.production([first.performer.performer_id], [await files.asset()])
    for filed in (first, other):
        await deleted(files, filed)
    files.clock.advance(YEARS)
    await until_destroyed(files, first.production.production_id)
    await gone(files, other)
    assert await rows(files, first) == 2
