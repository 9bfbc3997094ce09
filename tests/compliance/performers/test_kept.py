"""Papers that a legal hold is on outlast their years."""

from __future__ import annotations

from datetime import timedelta

from reelmesh.compliance.v1 import productions_service_pb2

from services.compliance.log.settings import COMPLIANCE_KEY_FILE
from services.compliance.rights import holds
from services.compliance.rights.store import Subjects
from services.kit.personal import DataSubject
from services.kit.sealing import Seal
from tests.compliance.performers.filing import Files
from tests.compliance.performers.test_ends import changes


async def test_papers_that_a_legal_hold_is_on_outlast_their_years(files: Files) -> None:
    """Those of the performer it is on, and the release of the film it is on; once it is released they go."""
    start = files.clock.now()
    until_when = (start + timedelta(days=30)).date().isoformat()
    by_film, by_person, free = [await files.complete(expire_date=until_when) for _ in range(3)]
    subjects = Subjects(Seal(files.settings.secret(COMPLIANCE_KEY_FILE), "compliance"))
    placed = [
        holds.new_hold(files.organisation_id, on=on, ground="a case in court", actor="", now=start)
        for on in (by_film.asset_id, DataSubject(files.organisation_id, by_person.performer.performer_id))
    ]
    async with files.database.transaction() as tx:
        for hold in placed:
            await holds.place(tx, subjects, hold)
    files.clock.advance(timedelta(days=365 * 7 + 40))
    told = ("SUBMITTED", "APPROVED", "EXPIRED")
    await changes(files, free.release.release_id, *told, "DESTROYED")
    for filed in (by_film, by_person):
        await changes(files, filed.release.release_id, *told)
        request = productions_service_pb2.OpenReleaseRequest(
            release_id=filed.release.release_id, purpose="the court asks"
        )
        assert (await files.reviewer.productions.OpenRelease(request)).copy
    async with files.database.transaction() as tx:
        for hold in placed:
            await holds.release(
                tx, subjects, files.organisation_id, hold.hold_id, reason="it is over", now=files.clock.now()
            )
    for filed in (by_film, by_person):
        await changes(files, filed.release.release_id, *told, "DESTROYED")
