"""Requests of persons: proof, limits, holds, due dates, letters, over all services."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from reelmesh.compliance.v1 import events_pb2, rights_pb2
from reelmesh.compliance.v1 import rights_service_pb2 as api
from reelmesh.identity.v1 import accounts_service_pb2 as accounts
from reelmesh.identity.v1 import accounts_service_pb2_grpc
from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.compliance.log.settings import COMPLIANCE_KEY_FILE
from services.compliance.rights.letters import Letters
from services.compliance.rights.reminding import Reminders
from services.compliance.rights.store import Requests, Subjects
from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.sealing import Seal
from tests.compliance.rights.filling import connected
from tests.compliance.rights.scene import Person, Scene, refused, unpacked
from tests.support.mail import sent_to
from tests.support.one_command import Command, edge_of
from tests.support.whole import PASSWORD

ERASURE = rights_pb2.DATA_REQUEST_KIND_ERASURE
ACCESS = rights_pb2.DATA_REQUEST_KIND_ACCESS
OBJECTION = rights_pb2.DATA_REQUEST_KIND_OBJECTION
RESTRICTION = rights_pb2.DATA_REQUEST_KIND_RESTRICTION
HELD = rights_pb2.DATA_REQUEST_STATE_HELD
COMPLETED = rights_pb2.DATA_REQUEST_STATE_COMPLETED


async def letter(scene: Scene, to: str, template: str) -> dict[str, str]:
    """Waits until somebody was written to, and returns what the text was filled with."""
    async with asyncio.timeout(30):
        while True:
            found = [one for one in await sent_to(scene.settings, to) if one.template == template]
            if found:
                return found[-1].parameters
            await asyncio.sleep(0.05)


async def text(scene: Scene, to: str, template: str) -> str:
    """Waits until somebody was sent a letter, and returns what it says."""
    async with asyncio.timeout(30):
        while True:
            for file in (scene.settings.data_dir / "messages").glob("*.json"):
                sent = json.loads(file.read_text(encoding="utf-8"))
                if (sent["to"], sent["template"]) == (to, template):
                    return str(sent["text"])
            await asyncio.sleep(0.05)


async def log_in(scene: Scene, person: Person) -> Any:
    stub = scene.stub(accounts_service_pb2_grpc.AccountsServiceStub, "identity.v1.AccountsService")
    return await stub.LogIn(accounts.LogInRequest(email=person.email, password=PASSWORD))


async def execute(scene: Scene, statement: str, *values: Any) -> list[asyncpg.Record]:
    connection = await connected(scene.settings)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


async def test_staff_takes_in_a_request_and_the_person_proves_it_by_a_mailed_code(scene: Scene) -> None:
    """Wrong codes count; the right one opens the request; then staff hands on the copy."""
    person = await scene.person()
    request = await scene.taken_in(person.account_id, ACCESS, checked=False)
    assert request.state == rights_pb2.DATA_REQUEST_STATE_AWAITING_PROOF
    confirm = api.ConfirmDataRequestRequest(data_request_id=request.data_request_id, code="00000000")
    assert (await refused(scene.rights.ConfirmDataRequest(confirm))).reason == "PROOF_CODE_INVALID"
    fetch = api.GetDataOfRequestRequest(data_request_id=request.data_request_id)
    early = await refused(anext(aiter(scene.rights.GetDataOfRequest(fetch, metadata=scene.operator))))
    assert early.reason == "DATA_REQUEST_WRONG_STATE"
    confirm.code = (await letter(scene, person.email, "data-request-code"))["code"]
    await scene.rights.ConfirmDataRequest(confirm)
    await scene.rights.ConfirmDataRequest(confirm)
    opened = await scene.seen(request.data_request_id)
    assert (opened.state, opened.proof) == (
        rights_pb2.DATA_REQUEST_STATE_OPEN,
        rights_pb2.IDENTITY_PROOF_MAILED_CODE,
    )
    parts = [part.body.data async for part in scene.rights.GetDataOfRequest(fetch, metadata=scene.operator)]
    assert unpacked(b"".join(parts))["identity/accounts.json"][0]["email"] == person.email
    assert (await scene.seen(request.data_request_id)).state == COMPLETED


async def test_five_wrong_codes_are_enough(scene: Scene) -> None:
    person = await scene.person()
    request = await scene.taken_in(person.account_id, ERASURE, checked=False)
    right = (await letter(scene, person.email, "data-request-code"))["code"]
    wrong = "00000000" if right != "00000000" else "00000001"
    for code in [wrong] * 5 + [right]:
        confirm = api.ConfirmDataRequestRequest(data_request_id=request.data_request_id, code=code)
        assert (await refused(scene.rights.ConfirmDataRequest(confirm))).reason == "PROOF_CODE_INVALID"


async def test_nobody_reaches_what_is_not_theirs(scene: Scene) -> None:
    """Another person's copy, another organisation's requests and holds, accounts without the operator's key."""
    ada, bob = await scene.person(), await scene.person("Bob")
    request = await scene.ask(ada, ACCESS)
    fetch = api.GetOwnDataRequest(data_request_id=request.data_request_id)
    theirs = await refused(anext(aiter(scene.rights.GetOwnData(fetch, metadata=bob.shown))))
    assert theirs.reason == "DATA_REQUEST_NOT_FOUND"
    own = (await scene.rights.ListOwnDataRequests(api.ListOwnDataRequestsRequest(), metadata=ada.shown)).data_requests
    assert [one.data_request_id for one in own] == [request.data_request_id]
    assert not (
        await scene.rights.ListOwnDataRequests(api.ListOwnDataRequestsRequest(), metadata=bob.shown)
    ).data_requests
    again = await scene.ask(ada, ACCESS)
    assert again.data_request_id == request.data_request_id, "what is under way is not begun again"


async def test_a_hold_on_a_person_beats_their_erasure_until_it_is_released(scene: Scene) -> None:
    person = await scene.person()
    place = api.PlaceHoldRequest(
        request_id=new_id("req"), subject=personal.DataSubject(name=person.account_id), ground="case 4711"
    )
    hold = (await scene.rights.PlaceHold(place, metadata=scene.operator)).hold
    assert (await scene.rights.PlaceHold(place, metadata=scene.operator)).hold == hold
    request = await scene.ask(person, ERASURE)
    waiting = await scene.reaches(request.data_request_id, HELD)
    assert list(waiting.hold_ids) == [hold.hold_id], "the operator is told why"
    shown = (
        await scene.rights.ListOwnDataRequests(api.ListOwnDataRequestsRequest(), metadata=person.shown)
    ).data_requests
    assert not shown[0].hold_ids, "the person is not"
    assert await log_in(scene, person)
    standing = (await scene.rights.ListHolds(api.ListHoldsRequest(standing_only=True), metadata=scene.operator)).holds
    assert hold.hold_id in {one.hold_id for one in standing}
    release = api.ReleaseHoldRequest(hold_id=hold.hold_id, reason="settled")
    released = (await scene.rights.ReleaseHold(release, metadata=scene.operator)).hold
    assert released.release_reason == "settled"
    await scene.reaches(request.data_request_id, COMPLETED)
    assert await letter(scene, person.email, "data-erasure-begun") == {}


async def test_a_hold_on_an_asset_beats_the_erasure_of_who_watched_it(scene: Scene) -> None:
    person = await scene.person()
    asset_id = await scene.live(person)
    place = api.PlaceHoldRequest(request_id=new_id("req"), asset_id=asset_id, ground="preserved for a report")
    hold = (await scene.rights.PlaceHold(place, metadata=scene.operator)).hold
    request = await scene.ask(person, ERASURE)
    waiting = await scene.reaches(request.data_request_id, HELD)
    assert list(waiting.hold_ids) == [hold.hold_id]
    release = api.ReleaseHoldRequest(hold_id=hold.hold_id, reason="a year is over")
    await scene.rights.ReleaseHold(release, metadata=scene.operator)
    await scene.reaches(request.data_request_id, COMPLETED)


async def test_a_restricted_account_is_locked_until_that_is_lifted(scene: Scene) -> None:
    person = await scene.person()
    request = await scene.taken_in(person.account_id, RESTRICTION)
    done = await scene.reaches(request.data_request_id, COMPLETED)
    heeded = {one.service: list(one.heeded) for one in done.receipts}
    assert heeded["identity"] == [personal.PROCESSING_LIMIT_STORAGE_ONLY]
    assert (await refused(log_in(scene, person))).reason == "ACCOUNT_LOCKED"
    lifted = await scene.taken_in(person.account_id, RESTRICTION, lift=True)
    await scene.reaches(lifted.data_request_id, COMPLETED)
    assert await log_in(scene, person)


async def test_no_conclusions_are_drawn_about_who_objects(scene: Scene) -> None:
    """What was concluded before goes; what is seen later makes no signal."""
    person = await scene.person()
    await execute(
        scene,
        "INSERT INTO policy.signals VALUES ($1, $2, $3, '', 1, 10, 'two places at once', '{}', now(), NULL)",
        new_id("sig"),
        scene.home,
        person.account_id,
    )
    request = await scene.ask(person, OBJECTION, limits=[personal.PROCESSING_LIMIT_NO_PROFILING])
    await scene.reaches(request.data_request_id, COMPLETED)
    assert not await execute(scene, "SELECT FROM policy.signals WHERE viewer_id = $1", person.account_id)
    kept = await execute(scene, "SELECT limits FROM policy.processing_limits WHERE viewer_id = $1", person.account_id)
    assert [row["limits"] for row in kept] == [[personal.PROCESSING_LIMIT_NO_PROFILING]]
    misplaced = await refused(scene.ask(person, OBJECTION))
    assert misplaced.reason == "LIMITS_MISPLACED"


async def test_a_request_is_extended_or_refused_and_the_person_is_told_why(scene: Scene) -> None:
    person = await scene.person()
    place = api.PlaceHoldRequest(
        request_id=new_id("req"), subject=personal.DataSubject(name=person.account_id), ground="for now"
    )
    await scene.rights.PlaceHold(place, metadata=scene.operator)
    request = await scene.ask(person, ERASURE)
    await scene.reaches(request.data_request_id, HELD)
    extend = api.ExtendDataRequestRequest(data_request_id=request.data_request_id, reason="a court\nhas it")
    extended = (await scene.rights.ExtendDataRequest(extend, metadata=scene.operator)).data_request
    assert extended.due_time.ToDatetime() > request.due_time.ToDatetime() + timedelta(days=58)
    assert "a court has it" in await text(scene, person.email, "data-request-extended")
    refuse = api.RefuseDataRequestRequest(data_request_id=request.data_request_id, reason="we need it")
    assert (
        await scene.rights.RefuseDataRequest(refuse, metadata=scene.operator)
    ).data_request.state == rights_pb2.DATA_REQUEST_STATE_REFUSED
    assert "we need it" in await text(scene, person.email, "data-request-refused")


async def test_staff_is_reminded_and_what_nobody_proved_is_given_up(scene: Scene) -> None:
    """By an event, which names holds and nobody, and by mail to the address that the install set."""
    person = await scene.person()
    place = api.PlaceHoldRequest(
        request_id=new_id("req"), subject=personal.DataSubject(name=person.account_id), ground="for now"
    )
    hold = (await scene.rights.PlaceHold(place, metadata=scene.operator)).hold
    request = await scene.ask(person, ERASURE)
    unproved = await scene.taken_in((await scene.person("Bob")).account_id, ACCESS, checked=False)
    await scene.reaches(request.data_request_id, HELD)
    install = Seal(scene.settings.secret(COMPLIANCE_KEY_FILE), "compliance")
    database = Database.of("compliance", scene.settings)
    clock = FixedClock(datetime.now(UTC) + timedelta(days=29))
    process = scene.whole.processes["compliance"]
    channel = process.peer("notifications", personal.DESCRIPTOR.services_by_name["PersonalDataService"])
    box = Letters(database, clock, install, identity=channel, notifications=channel)
    await Reminders(database, clock, Requests(Subjects(install)), box, "dpo@example.com").once()
    told, count = await scene.bus.hears(events_pb2.DataRequestReminded), 1
    while told.data_request_id != request.data_request_id:
        count += 1
        told = await scene.bus.hears(events_pb2.DataRequestReminded, count=count)
    assert list(told.hold_ids) == [hold.hold_id]
    assert 0 <= told.days_left <= 2
    assert person.account_id.encode() not in told.SerializeToString()
    given_up = await scene.seen(unproved.data_request_id)
    assert given_up.state == rights_pb2.DATA_REQUEST_STATE_EXPIRED
    await database.close()
    letters = [
        json.loads(install.open(row["sealed"], row["message_id"]))
        for row in await execute(scene, "SELECT message_id, sealed FROM compliance.rights_letters")
    ]
    assert any(one["to"] == "dpo@example.com" for one in letters), "it is sent once its time has come"


async def test_the_command_takes_requests_in_shows_them_and_holds_them_up(scene: Scene, tmp_path: Path) -> None:
    """`reelmesh rights`, as a person would run it."""
    person = await scene.person()
    async with edge_of(scene.settings, "compliance") as port:
        command = Command(scene.settings, f"http://127.0.0.1:{port}")
        file = tmp_path / "ada.zip"
        told = await command.told("rights", "export", person.account_id, str(file), "--identity-checked")
        assert told["size_bytes"] == file.stat().st_size
        assert file.stat().st_mode & 0o077 == 0, "it is for nobody else"
        assert unpacked(file.read_bytes())["identity/accounts.json"][0]["email"] == person.email
        hold = (await command.told("rights", "hold", person.account_id, "case 4711"))["hold"]
        asked = (await command.told("rights", "erase", person.account_id, "--identity-checked"))["data_request"]
        await scene.reaches(asked["data_request_id"], HELD)
        listed = await command.run("rights", "list")
        assert asked["data_request_id"] in listed.out
        assert hold["hold_id"] in listed.out, "it says what it waits for"
        await command.told("rights", "release", hold["hold_id"], "settled")
        await scene.reaches(asked["data_request_id"], COMPLETED)
        shown = await command.run("rights", "show", asked["data_request_id"])
        assert "shredded" in shown.out
