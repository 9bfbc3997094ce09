"""What services do with their tables for a person, from their declarations, on the real schemas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from reelmesh.rpc.v1 import personal_data_service_pb2 as api

from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.migrate import services_with_schema
from services.kit.personal import NOBODY, DataSubject, Fades, Keep
from services.kit.personal_data import PersonalData
from services.kit.settings import ProcessSettings
from tests.compliance.rights.filling import Filler, connected, everything
from tests.compliance.rights.test_declared import declaration_of

T0 = datetime(2026, 11, 29, tzinfo=UTC)
TELLING = "Zebulon Quastenflosser"
KEEPING = [service for service in services_with_schema() if declaration_of(service).personal]


@pytest.fixture
async def tables(mesh: ProcessSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connected(mesh)
    yield connection
    await connection.close()


@pytest.fixture
async def database(mesh: ProcessSettings, service: str) -> AsyncIterator[Database]:
    made = Database.of(service, mesh)
    yield made
    await made.close()


async def exported(data: PersonalData, subject: DataSubject) -> dict[str, list[str]]:
    """Rows by table."""
    found: dict[str, list[str]] = {}
    async for part in data.export(subject):
        rows = part.rows.decode().splitlines()
        assert len(rows) == part.row_count
        for row in rows:
            json.loads(row)
        found.setdefault(part.table, []).extend(rows)
    return found


@pytest.mark.parametrize("service", KEEPING)
async def test_an_account_is_exported_and_erased_from_every_table(
    mesh: ProcessSettings, tables: asyncpg.Connection, database: Database, service: str
) -> None:
    """Nothing of them is left but what is declared to be kept; again does nothing; others stay as they are."""
    declaration, clock = declaration_of(service), FixedClock(T0)
    subject, other = DataSubject("", new_id("usr")), DataSubject("", new_id("usr"))
    await Filler(tables, service, subject, TELLING).fill(declaration)
    await Filler(tables, service, other, "somebody else").fill(declaration)
    data = PersonalData(database, clock, declaration)
    findable = {one.name for one in declaration.personal if one.match.sql != "FALSE"}
    before, others = await exported(data, subject), await exported(data, other)
    assert {name for name, rows in before.items() if rows} >= findable - {"processing_limits"}
    assert not any("somebody else" in row for rows in before.values() for row in rows)
    receipt = await data.erase(subject)
    stays = {one.name for one in declaration.personal if isinstance(one.erasure, Keep | Fades)}
    left = {name for name, rows in (await exported(data, subject)).items() if rows}
    assert left <= stays
    assert {one.table for one in receipt.tables if one.action == api.ERASURE_ACTION_KEPT} <= stays
    assert all(one.ground for one in receipt.tables if one.action == api.ERASURE_ACTION_KEPT)
    for name, rows in (await everything(tables, [service])).items():
        if name.partition(".")[2] not in stays:
            assert not [row for row in rows if subject.name in row or TELLING in row], name
    assert await exported(data, other) == others
    again = await data.erase(subject)
    assert {one.action for one in again.tables} <= {api.ERASURE_ACTION_KEPT}


@pytest.mark.parametrize("service", ["policy", "drm", "payments", "protection"])
async def test_whom_an_organisation_names_is_another_person_than_its_neighbours_namesake(
    mesh: ProcessSettings, tables: asyncpg.Connection, database: Database, service: str
) -> None:
    declaration = declaration_of(service)
    mine, theirs = DataSubject(new_id("org"), "pupil-7"), DataSubject(new_id("org"), "pupil-7")
    await Filler(tables, service, mine, TELLING).fill(declaration)
    await Filler(tables, service, theirs, "somebody else").fill(declaration)
    data = PersonalData(database, FixedClock(T0), declaration)
    before = await exported(data, theirs)
    found = [row for rows in (await exported(data, mine)).values() for row in rows]
    assert found
    assert not [row for row in found if "somebody else" in row or theirs.scope in row]
    await data.erase(mine)
    assert await exported(data, theirs) == before


@pytest.mark.parametrize("service", ["payments"])
async def test_what_a_law_asked_for_goes_when_its_time_is_over(
    mesh: ProcessSettings, tables: asyncpg.Connection, database: Database, service: str
) -> None:
    declaration, clock = declaration_of(service), FixedClock(T0)
    subject = DataSubject("", new_id("usr"))
    await Filler(tables, service, subject, TELLING).fill(declaration)
    data = PersonalData(database, clock, declaration)
    kept = {one.table: one for one in (await data.erase(subject)).tables if one.action == api.ERASURE_ACTION_KEPT}
    assert kept["sales"].keep_until_time.ToDatetime(tzinfo=UTC) == datetime(2036, 11, 28, 12, tzinfo=UTC)
    assert not kept["invoices"].HasField("keep_until_time"), "the books are append-only: they leave as a whole"
    clock.advance(timedelta(days=3653))
    after = {one.table: one.action for one in (await data.erase(subject)).tables}
    assert after["sales"] == api.ERASURE_ACTION_BLANKED


@pytest.mark.parametrize("service", ["protection"])
async def test_staff_is_taken_out_of_what_was_kept_for_claims(
    mesh: ProcessSettings, tables: asyncpg.Connection, database: Database, service: str
) -> None:
    """Once its years are over; what others decided stays, in its order."""
    declaration, clock = declaration_of(service), FixedClock(T0)
    subject = DataSubject("", new_id("usr"))
    await Filler(tables, service, subject, TELLING).fill(declaration)
    theirs = {"actor": "user/usr_other", "comment": "something"}
    mine = {"actor": f"user/{subject.name}", "comment": "something"}
    await tables.execute(
        "UPDATE protection.takedowns SET steps = $1 WHERE steps::text LIKE '%' || $2 || '%'",
        json.dumps([theirs, mine, theirs]),
        subject.name,
    )
    data = PersonalData(database, clock, declaration)
    kept = {one.table for one in (await data.erase(subject)).tables if one.action == api.ERASURE_ACTION_KEPT}
    assert kept == {"leak_actions", "takedowns", "holds"}
    clock.advance(timedelta(days=366 * 3))
    after = {one.table: one.action for one in (await data.erase(subject)).tables}
    assert after == dict.fromkeys(kept, api.ERASURE_ACTION_BLANKED)
    assert not [
        row for row in await tables.fetch("SELECT * FROM protection.holds") if subject.name in str(row["reviews"])
    ]
    steps = [json.loads(row["steps"]) for row in await tables.fetch("SELECT steps FROM protection.takedowns")]
    assert [theirs, {**mine, "actor": NOBODY}, theirs] in steps


@pytest.mark.parametrize("service", ["identity"])
async def test_first_answers_that_name_the_person_are_emptied(
    mesh: ProcessSettings, tables: asyncpg.Connection, database: Database, service: str
) -> None:
    """By account, by address and by phone; a repeat of the request still finds that it was done."""
    declaration, subject = declaration_of(service), DataSubject("", new_id("usr"))
    await Filler(tables, service, subject, TELLING).fill(declaration)
    for number, answer in enumerate((f"by {subject.name}", f"mail {TELLING}", "nobody")):
        await tables.execute(
            "INSERT INTO identity.replies (organisation_id, method, request_id, request_sha256, response) VALUES ('o', 'm', $1, '', $2)",
            str(number),
            answer.encode(),
        )
    await PersonalData(database, FixedClock(T0), declaration).erase(subject)
    rows = await tables.fetch("SELECT response FROM identity.replies ORDER BY request_id")
    assert [row["response"] for row in rows] == [b"", b"", b"nobody"]
