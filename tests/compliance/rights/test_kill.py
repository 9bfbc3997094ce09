"""Death in the middle of an erasure: the next process goes on, and every service answers once in each round."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.compliance.log.settings import COMPLIANCE_KEY_FILE
from services.compliance.rights.domain import DataRequest, Kind, State, months_after
from services.compliance.rights.keepers import OWN
from services.compliance.rights.running import AUDIT_LOG, EVENTS
from services.compliance.rights.store import Requests, Subjects
from services.kit.clock import SystemClock
from services.kit.database import Database
from services.kit.events import EVENTS_STREAM, ensure_events
from services.kit.ids import new_id
from services.kit.personal import DataSubject, Fades
from services.kit.personal_data import PersonalData
from services.kit.process import Process
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from tests.compliance.killing import a_process
from tests.compliance.rights.filling import Filler, connected, everything
from tests.compliance.rights.test_declared import SERVING, declaration_of
from tests.compliance.rights.test_erasure import KEPT
from tests.support.bus import on_the_bus

TELLING = "Zebulon Quastenflosser"
FADING = {
    f"{service}.{table.name}"
    for service in SERVING
    for table in declaration_of(service).personal
    if isinstance(table.erasure, Fades)
}
"""Tables whose rows go by themselves."""


@contextlib.asynccontextmanager
async def others(settings: ProcessSettings) -> AsyncIterator[None]:
    """The other services, as far as they answer for persons' data."""
    async with contextlib.AsyncExitStack() as stack:
        for name in SERVING:
            process = Process(name, settings.model_copy(update={"drain_timeout": timedelta(seconds=0.1)}), stack)
            declaration = importlib.import_module(f"services.{name}.personal").DECLARATION
            data = PersonalData(process.database(), process.clock, declaration)
            await process.serve([], lambda server: None, personal=data)
        yield


async def without_readers(settings: ProcessSettings) -> None:
    """Forgets how far services of earlier tests have read, which run no more and would be waited for."""
    async with on_the_bus(settings) as bus:
        js = bus.client.jetstream()
        await ensure_events(js)
        for consumer in await js.consumers_info(EVENTS_STREAM):
            if consumer.config.durable_name is not None:
                await js.delete_consumer(EVENTS_STREAM, consumer.config.durable_name)


@pytest.mark.timeout(300)
async def test_an_erasure_goes_on_after_every_death(mesh: ProcessSettings) -> None:
    """Begun while the other services are away, and killed after some have answered, and again: nothing is left out, nothing is answered for twice."""
    await without_readers(mesh)
    install = Seal(mesh.secret(COMPLIANCE_KEY_FILE), "compliance")
    subjects, subject, now = Subjects(install), DataSubject("", new_id("usr")), SystemClock().now()
    tables, database = await connected(mesh), Database.of("compliance", mesh)
    for name in SERVING:
        declaration = importlib.import_module(f"services.{name}.personal").DECLARATION
        await Filler(tables, name, subject, TELLING).fill(declaration)
    due_time = months_after(now, 1)
    request = DataRequest(
        new_id("drq"), "", subjects.digest(subject), subject, Kind.ERASURE, State.OPEN, now, due_time, due_time, now
    )
    async with database.transaction() as tx:
        await Requests(subjects).add(tx, request)

    async def answered() -> list[tuple[int, str]]:
        rows = await tables.fetch("SELECT round, service FROM compliance.rights_receipts")
        return [(row["round"], row["service"]) for row in rows]

    quick = {
        "compliance_rights_seconds": "0.1",
        "compliance_rights_lease": "PT0.5S",
        "compliance_rights_settle": "PT0.5S",
    }
    async with contextlib.AsyncExitStack() as stack:
        with a_process(mesh, **quick) as process:
            async with asyncio.timeout(120):
                while await tables.fetchval("SELECT next_time FROM compliance.rights_requests") == now:
                    await asyncio.sleep(0.02)
                assert not await answered(), "nobody was there to answer"
                await stack.enter_async_context(others(mesh))
                while len(await answered()) < 2:
                    assert process.poll() is None, "it ended by itself"
                    await asyncio.sleep(0.002)
        with a_process(mesh, **quick):
            async with asyncio.timeout(120):
                while len(await answered()) < len(SERVING) + 4:
                    await asyncio.sleep(0.002)
        with a_process(mesh, **quick):
            async with asyncio.timeout(120):
                while await tables.fetchval("SELECT state FROM compliance.rights_requests") != State.COMPLETED:
                    await asyncio.sleep(0.02)
    expected = [*SERVING, OWN, EVENTS, AUDIT_LOG]
    assert sorted(await answered()) == sorted((number, name) for number in (1, 2) for name in expected)
    for name, rows in (await everything(tables, list(SERVING))).items():
        if name not in KEPT | FADING and name != "identity.revocations":
            assert not [row for row in rows if subject.name in row or TELLING in row], name
    await tables.close()
    await database.close()
