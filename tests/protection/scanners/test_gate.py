"""Masters pass the gate or are held there, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.protection.v1 import events_pb2 as events
from reelmesh.protection.v1 import hash_lists_service_pb2, holds_pb2
from reelmesh.protection.v1 import holds_service_pb2 as api
from reelmesh.upload.v1.events_pb2 import UploadCommitted
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.kit.clock import FixedClock, SystemClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.protection.scanners import store
from services.protection.scanners.hash_lists import frames
from services.protection.scanners.hash_lists.matching import hash_of
from services.protection.scanners.reports import SECRET_FILE
from tests.protection.scanners.scene import Scene, decide, on_the_scene
from tests.support.clamd import EICAR, Clamd, running_clamd
from tests.support.films import film
from tests.support.http_server import serving
from tests.support.keys import with_api_key

RELEASE, CONFIRM = holds_pb2.HOLD_DECISION_RELEASE, holds_pb2.HOLD_DECISION_CONFIRM
READ, REVIEW = "holds.read", "holds.decide"


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with running_clamd() as clamd:
        yield clamd


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    async with on_the_scene(mesh) as scene:
        yield scene


async def reason(call: object) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return Refusal.from_rpc_error(caught.value).reason


def scanning(clamd: Clamd, **changes: object) -> dict[str, Any]:
    return {"scanners": "clamav,hash-lists", "clamav_address": clamd.address, **changes}


async def test_with_no_scanner_on_masters_are_through_at_once(scene: Scene) -> None:
    async with scene.serving(scanners=frozenset()) as holds:
        event = await scene.upload(EICAR, purpose=UPLOAD_PURPOSE_EVIDENCE)
        cleared = await scene.cleared(event)
        assert (cleared.object_key, cleared.upload_id) == (event.object_key, event.upload_id)
        assert cleared.purpose == UPLOAD_PURPOSE_EVIDENCE
        await scene.bus.publish(event)  # told twice
        gate = await holds.GetGate(api.GetGateRequest())
        assert ([check.name for check in gate.checks], gate.waiting_count) == (["fingerprints"], 0)
    assert len(scene.bus.heard(events.MasterCleared)) == 1


async def test_malware_is_held_preserved_and_confirmed_and_clean_films_pass(scene: Scene, clamd: Clamd) -> None:
    async with scene.serving(**scanning(clamd)) as holds:
        clean, bad = await scene.upload(film(2)), await scene.upload(EICAR)
        await scene.cleared(clean)
        held = await scene.held(bad)
        assert (held.ground, held.check, held.sha256) == (holds_pb2.HOLD_GROUND_MALWARE, "clamav", bad.sha256)
        preserved = await scene.bus.hears(events.EvidencePreserved)
        sealed = scene.sealed(bad).read_bytes()
        assert EICAR not in sealed
        assert hashlib.sha256(sealed).hexdigest() == preserved.sealed_sha256
        hold = (await holds.GetHold(api.GetHoldRequest(hold_id=held.hold_id))).hold
        assert list((await holds.ListHolds(api.ListHoldsRequest())).holds) == [hold]
        assert (hold.entry, hold.state, hold.filename) == (
            "Eicar-Signature.UNOFFICIAL",
            holds_pb2.HOLD_STATE_OPEN,
            "film.mp4",
        )
        request = api.ReadEvidenceRequest(request_id=new_id("req"), hold_id=held.hold_id)
        assert b"".join([answer.chunk async for answer in holds.ReadEvidence(request)]) == EICAR
        opened = await scene.bus.hears(events.EvidenceOpened)
        assert (opened.hold_id, opened.reviewer) == (held.hold_id, "operator")
        confirmed = await decide(holds, held.hold_id, CONFIRM)
        assert confirmed.state == holds_pb2.HOLD_STATE_CONFIRMED
        assert await reason(decide(holds, held.hold_id, RELEASE)) == "HOLD_DECIDED"
        decided = await scene.bus.hears(events.HoldDecided)
        assert (decided.comment, decided.reviewer) == ("looked at it", "operator")
        await asyncio.sleep(0.3)
    assert [one.asset_id for one in scene.bus.heard(events.MasterCleared)] == [clean.asset_id]
    later = FixedClock(SystemClock().now() + timedelta(days=366))
    async with scene.serving(clock=later, **scanning(clamd)) as holds:  # upkeep looks at its start
        destroyed = await scene.bus.hears(events.EvidenceDestroyed)
        assert destroyed.sha256 == bad.sha256
        assert not scene.sealed(bad).exists()
        assert await reason(anext(aiter(holds.ReadEvidence(request)))) == "EVIDENCE_NOT_THERE"


async def test_a_false_alarm_is_released_and_goes_its_way(scene: Scene, clamd: Clamd) -> None:
    async with scene.serving(**scanning(clamd)) as holds:
        event = await scene.upload(EICAR, purpose=UPLOAD_PURPOSE_EVIDENCE)
        held = await scene.held(event)
        assert (await decide(holds, held.hold_id, RELEASE)).state == holds_pb2.HOLD_STATE_RELEASED
        assert (await scene.cleared(event)).purpose == UPLOAD_PURPOSE_EVIDENCE
        assert scene.master(event).read_bytes() == EICAR
        again = await scene.upload(EICAR)  # what one reviewer released for one asset is not released for all
        twin = await _held_beside(scene, again.asset_id)
        hold = (await holds.GetHold(api.GetHoldRequest(hold_id=twin.hold_id))).hold
        assert list(hold.twin_asset_ids) == [event.asset_id]
        assert scene.master(event).exists()  # the first is in use
        await scene.bus.publish(AssetDeleted(asset_id=event.asset_id, organisation_id=scene.house))
        await scene.held(again)  # the file in the clear goes once nobody needs it any more


async def _held_beside(scene: Scene, asset_id: str) -> events.MasterHeld:
    """Waits until a master is held whose file stays, because another asset uses it."""
    async with asyncio.timeout(60):
        while True:
            for one in scene.bus.heard(events.EvidencePreserved):
                for held in scene.bus.heard(events.MasterHeld):
                    if (held.asset_id, held.hold_id) == (asset_id, one.hold_id):
                        return held
            await asyncio.sleep(0.02)


async def test_masters_wait_for_a_scanner_that_is_away_and_go_on_by_themselves(scene: Scene, clamd: Clamd) -> None:
    clamd.stop()
    try:
        async with scene.serving(**scanning(clamd)) as holds:
            event = await scene.upload(film(2))
            assert (await scene.delayed(event)).check == "clamav"
            gate = await holds.GetGate(api.GetGateRequest())
            assert gate.waiting_count == 1
            told = {check.name: (check.reachable, bool(check.problem)) for check in gate.checks}
            assert told == {"clamav": (False, True), "hash-lists": (True, False), "fingerprints": (True, False)}
            assert not scene.bus.heard(events.MasterCleared)
            clamd.start()
            await scene.cleared(event)
            assert len(scene.bus.heard(events.MasterDelayed)) == 1
            assert (await holds.GetGate(api.GetGateRequest())).waiting_count == 0
    finally:
        if clamd.process is None:
            clamd.start()


async def test_a_service_that_is_killed_over_a_master_holds_it_once(scene: Scene, clamd: Clamd) -> None:
    assert clamd.process is not None
    event = await scene.upload(EICAR)
    environment = {"REELMESH_SCANNERS": "clamav", "REELMESH_CLAMAV_ADDRESS": clamd.address}
    clamd.process.send_signal(signal.SIGSTOP)
    try:
        with scene.process(**environment):
            async with asyncio.timeout(60):
                while not await _waiting(scene):
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)  # it is at it
    finally:
        clamd.process.send_signal(signal.SIGCONT)
    async with scene.serving(**scanning(clamd)) as holds:
        await scene.held(event)
        assert len((await holds.ListHolds(api.ListHoldsRequest())).holds) == 1
    assert len(scene.bus.heard(events.MasterHeld)) == 1
    assert not scene.bus.heard(events.MasterCleared)


async def _waiting(scene: Scene) -> bool:
    async with scene.database.transaction() as tx:
        return bool(await store.count_waiting(tx, scene.house))


async def test_a_deleted_asset_is_not_looked_at_and_a_held_one_stays_held(scene: Scene, clamd: Clamd) -> None:
    async with scene.serving(**scanning(clamd)) as holds:
        event = await scene.upload(EICAR)
        held = await scene.held(event)
        await scene.bus.publish(AssetDeleted(asset_id=event.asset_id, organisation_id=scene.house))
        await asyncio.sleep(0.2)
        assert (await holds.GetHold(api.GetHoldRequest(hold_id=held.hold_id))).hold.state == holds_pb2.HOLD_STATE_OPEN
        assert scene.sealed(event).exists()
        # The same file once more, which lies in quarantine and nowhere else: it is held for what was found before.
        again = UploadCommitted()
        again.CopyFrom(event)
        again.asset_id = new_id("ast")
        await scene.bus.publish(again)
        twin = await scene.held(again)
        assert (twin.ground, twin.entry) == (held.ground, held.entry)


async def listed(scene: Scene, note: str = "case 7") -> None:
    """Puts the pictures of a film on a list."""
    entries = []

    def seen(picture: frames.Picture) -> bool:
        entries.append(hash_list_entry(picture, note))
        return True

    await frames.each(film(3), seen)
    async with scene.caller() as (_, lists):
        request = hash_lists_service_pb2.ImportHashesRequest(list_name="known", entries=entries)
        first = await lists.ImportHashes(request)
        assert first.list.entry_count == len({entry.pdq for entry in entries})
        assert (await lists.ImportHashes(request)).list.entry_count == first.list.entry_count
        found = await lists.ListHashLists(hash_lists_service_pb2.ListHashListsRequest())
        assert [one.list_name for one in found.lists] == ["known"]


def hash_list_entry(picture: frames.Picture, note: str) -> hash_lists_service_pb2.HashEntry:
    return hash_lists_service_pb2.HashEntry(pdq=hash_of(picture)[0].hex(), note=note)


async def test_illegal_content_is_for_the_operators_people_and_two_of_them_release_it(scene: Scene) -> None:
    """Nobody of the organisation whose master it is sees the hold, whatever they may do."""
    theirs = new_id("org")
    async with scene.serving() as operator:
        await listed(scene)
        event = await scene.upload(film(3), theirs)
        held = await scene.held(event)
        assert (held.ground, held.list_name, held.organisation_id) == (
            holds_pb2.HOLD_GROUND_ILLEGAL_CONTENT,
            "known",
            theirs,
        )
        asked = api.GetHoldRequest(hold_id=held.hold_id)
        async with scene.somebody("*", organisation_id=theirs) as owner:
            assert not (await owner.ListHolds(api.ListHoldsRequest())).holds
            assert await reason(owner.GetHold(asked)) == "HOLD_NOT_FOUND"
            assert await reason(decide(owner, held.hold_id, RELEASE)) == "HOLD_NOT_FOUND"
        async with scene.somebody("uploads.read", "assets.read", "assets.write") as editor:
            assert await reason(editor.GetHold(asked)) == "PERMISSION_MISSING"
        assert "case 7" in (await operator.GetHold(asked)).hold.detail
        assert await reason(decide(operator, held.hold_id, RELEASE)) == "REVIEWER_NOT_A_PERSON"
        async with scene.somebody(READ, REVIEW) as first, scene.somebody(READ, REVIEW) as second:
            proposed = await decide(first, held.hold_id, RELEASE)
            assert proposed.state == holds_pb2.HOLD_STATE_RELEASE_PROPOSED
            assert await reason(decide(first, held.hold_id, RELEASE)) == "SECOND_REVIEWER_NEEDED"
            assert not scene.bus.heard(events.MasterCleared)
            released = await decide(second, held.hold_id, RELEASE)
        assert released.state == holds_pb2.HOLD_STATE_RELEASED
        assert len({one.reviewer for one in released.reviews}) == 2
        await scene.cleared(event)


async def test_the_second_person_can_confirm_what_the_first_would_release(scene: Scene) -> None:
    async with scene.serving():
        await listed(scene)
        held = await scene.held(await scene.upload(film(3)))
        async with scene.somebody(READ, REVIEW) as first, scene.somebody(READ, REVIEW) as second:
            await decide(first, held.hold_id, RELEASE)
            assert (await decide(second, held.hold_id, CONFIRM)).state == holds_pb2.HOLD_STATE_CONFIRMED
        again = await scene.upload(film(3))
        assert (await scene.held(again)).ground == holds_pb2.HOLD_GROUND_ILLEGAL_CONTENT


async def test_only_the_operator_reaches_hash_lists_and_a_deleted_one_is_not_compared_with(scene: Scene) -> None:
    async with scene.serving(hash_lists_limit=20):
        await listed(scene)
        entry = hash_lists_service_pb2.HashEntry(pdq="0" * 64)
        request = hash_lists_service_pb2.ImportHashesRequest(list_name="known", entries=[entry])
        with with_api_key(scene.settings, organisation_id=scene.house, permissions=["*"], name="api_key/key_1") as key:
            async with scene.caller(key) as (_, lists):
                assert await reason(lists.ImportHashes(request)) == "OPERATOR_ONLY"
        async with scene.caller() as (_, lists):
            many = [hash_lists_service_pb2.HashEntry(pdq=f"{number:064x}") for number in range(21)]
            full = hash_lists_service_pb2.ImportHashesRequest(list_name="more", entries=many)
            assert await reason(lists.ImportHashes(full)) == "HASH_LISTS_FULL"
            gone = hash_lists_service_pb2.DeleteHashListRequest(list_name="known")
            for _ in range(2):
                await lists.DeleteHashList(gone)
        await scene.cleared(await scene.upload(film(3)))
    assert [one.entry_count for one in scene.bus.heard(events.HashListChanged)][-1] == 0


async def test_whoever_has_to_hear_of_holds_is_told_until_they_take_it(scene: Scene, clamd: Clamd) -> None:
    told: list[Request] = []
    bodies: list[bytes] = []

    async def take(request: Request) -> Response:
        body = await request.body()  # together, so that whoever counts the one has the other
        told.append(request)
        bodies.append(body)
        return Response(status_code=503 if len(told) == 1 else 204)

    async with (
        serving(Starlette(routes=[Route("/holds", take, methods=["POST"])])) as url,
        scene.serving(**scanning(clamd, hold_report_url=f"{url}/holds")) as holds,
    ):
        held = await scene.held(await scene.upload(EICAR))
        await decide(holds, held.hold_id, CONFIRM)
        async with asyncio.timeout(60):
            while not (await holds.GetHold(api.GetHoldRequest(hold_id=held.hold_id))).hold.HasField("report_time"):
                await asyncio.sleep(0.05)
            while len(told) < 3:
                await asyncio.sleep(0.05)
    secret = (scene.settings.secrets_dir / SECRET_FILE).read_text().strip()
    for request, body in zip(told, bodies, strict=True):
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.{body.decode()}".encode()
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
        assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    taken = [json.loads(body) for body in bodies[1:]]
    assert sorted(one["type"] for one in taken) == ["hold.confirmed", "hold.open"]
    assert {one["data"]["hold_id"] for one in taken} == {held.hold_id}
    ids = [request.headers["webhook-id"] for request in told]
    assert len(set(ids)) == 2  # the one that was not taken came again under the same name
