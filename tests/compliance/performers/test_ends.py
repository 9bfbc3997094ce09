"""Ends of records are told, stop what rests on them, and after seven years more destroy what was kept; and what a process left behind that died is swept away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from reelmesh.compliance.v1 import events_pb2, productions_service_pb2

from services.compliance.performers.copies import Copies, copies, key_of
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.storage import ObjectStore
from tests.compliance.performers.filing import PASSPORT, T0, Files, refused, until

COMPLETE, MISSING = events_pb2.CONSENT_STATE_COMPLETE, events_pb2.CONSENT_STATE_MISSING
NAMES = events_pb2.RecordChange


async def changes(files: Files, record_id: str, *wanted: str) -> None:
    """Waits until these are the changes that were told of a record."""

    async def told() -> bool:
        heard = [one for one in files.bus.heard(events_pb2.RecordChanged) if one.record_id == record_id]
        return [NAMES.Name(one.change).removeprefix("RECORD_CHANGE_") for one in heard] == list(wanted)

    await until(told)


def move_to(files: Files, moment: datetime) -> None:
    files.clock.advance(moment - files.clock.now())


async def test_the_end_of_a_release_is_told_before_and_stops_the_film_when_it_comes(files: Files) -> None:
    filed = await files.complete(expire_date="2027-01-31")
    await files.consent(filed.asset_id, MISSING, COMPLETE)
    release_id = filed.release.release_id
    move_to(files, datetime(2027, 1, 2, 1, tzinfo=UTC))
    await changes(files, release_id, "SUBMITTED", "APPROVED", "EXPIRING")
    near = [one for one in files.bus.heard(events_pb2.RecordChanged) if one.record_id == release_id][-1]
    assert near.expire_time.ToDatetime(tzinfo=UTC) == datetime(2027, 2, 1, tzinfo=UTC)
    await files.consent(filed.asset_id, MISSING, COMPLETE)
    move_to(files, datetime(2027, 1, 31, 23, 59, tzinfo=UTC))
    assert await files.gaps(filed.production.production_id) == []
    move_to(files, datetime(2027, 2, 1, tzinfo=UTC))
    await changes(files, release_id, "SUBMITTED", "APPROVED", "EXPIRING", "EXPIRED")
    await files.consent(filed.asset_id, MISSING, COMPLETE, MISSING)
    assert await files.gaps(filed.production.production_id) == ["RELEASE_EXPIRED"]
    # A new one, found good, lets the film go on.
    new = await files.release(filed.production.production_id, filed.performer.performer_id)
    await files.reviewer.opens_release(new.release_id)
    await files.reviewer.reviews_release(new.release_id)
    await files.consent(filed.asset_id, MISSING, COMPLETE, MISSING, COMPLETE)
    # So does the end of the identity document, and seven years later it is destroyed. What is in force is kept.
    document_id = filed.document.identity_document_id
    move_to(files, datetime(2031, 5, 2, tzinfo=UTC))
    await files.consent(filed.asset_id, MISSING, COMPLETE, MISSING, COMPLETE, MISSING)
    store = ObjectStore.at(files.settings.storage_location())
    files.clock.advance(timedelta(days=365 * 7 - 3))
    await changes(files, release_id, "SUBMITTED", "APPROVED", "EXPIRING", "EXPIRED", "DESTROYED")
    assert await files.custodian.opens(document_id) == PASSPORT
    files.clock.advance(timedelta(days=6))

    async def gone() -> bool:
        return await store.size_of(key_of(files.organisation_id, document_id)) is None

    await until(gone)
    with refused("RECORD_NOT_FOUND"):
        await files.custodian.opens(document_id)
    request = productions_service_pb2.OpenReleaseRequest(release_id=new.release_id, purpose="it is in force")
    assert (await files.reviewer.productions.OpenRelease(request)).copy


async def test_a_copy_that_no_record_names_is_swept_away(files: Files) -> None:
    """As a process leaves it that dies between the object and the record."""
    store = ObjectStore.at(files.settings.storage_location())
    kept = Copies(files.database, store, Seal(bytes(32), "compliance"))
    record_id = new_id("idd")
    await kept.put(record_id, files.organisation_id, PASSPORT, files.clock.now())
    assert await store.size_of(key_of(files.organisation_id, record_id)) is not None
    files.clock.advance(timedelta(hours=2))

    async def gone() -> bool:
        async with files.database.transaction() as tx:
            row = (await tx.execute(sa.select(copies).where(copies.c.record_id == record_id))).one_or_none()
        return row is None and await store.size_of(key_of(files.organisation_id, record_id)) is None

    await until(gone)
    assert files.clock.now() > T0
