"""The whole way of a person who asks for their data and then to be erased, over all services."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import grpc
import pytest
from nats.js.errors import NotFoundError
from reelmesh.compliance.v1 import audit_log_service_pb2 as audit
from reelmesh.compliance.v1 import audit_log_service_pb2_grpc, rights_pb2
from reelmesh.compliance.v1 import rights_service_pb2 as api
from reelmesh.identity.v1 import accounts_service_pb2 as accounts
from reelmesh.identity.v1 import accounts_service_pb2_grpc
from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.kit.events import EVENTS_STREAM
from services.kit.migrate import services_with_schema
from services.kit.personal import Keep
from tests.compliance.rights.filling import connected, everything
from tests.compliance.rights.scene import NAME, NETWORK, STREET, Person, Scene, refused
from tests.compliance.rights.test_declared import declaration_of
from tests.support.leaks import files_below
from tools.audit_verifier.verifying import verified

KEPT = {
    f"{service}.{table.name}"
    for service in services_with_schema()
    for table in declaration_of(service).personal
    if isinstance(table.erasure, Keep)
}
"""Tables that a law has kept."""


async def in_tables(scene: Scene, *texts: str) -> dict[str, list[str]]:
    """Rows of all tables that hold one of some texts."""
    connection = await connected(scene.settings)
    try:
        rows = await everything(connection, services_with_schema())
    finally:
        await connection.close()
    held = {name: [row for row in found if any(text in row for text in texts)] for name, found in rows.items()}
    return {name: found for name, found in held.items() if found}


async def in_requests(scene: Scene, *, request_of: str) -> list[asyncpg.Record]:
    """Other requests of whoever made one."""
    connection = await connected(scene.settings)
    try:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT sealed_subject FROM compliance.rights_requests WHERE data_request_id <> $1 AND subject_digest ="
            " (SELECT subject_digest FROM compliance.rights_requests WHERE data_request_id = $1)",
            request_of,
        )
    finally:
        await connection.close()
    assert found
    return found


async def in_events(scene: Scene, *texts: str) -> list[str]:
    """Events of the stream that hold one of some texts."""
    js = scene.bus.client.jetstream()
    state, found = (await js.stream_info(EVENTS_STREAM)).state, []
    for sequence in range(state.first_seq, state.last_seq + 1):
        try:
            message = await js.get_msg(EVENTS_STREAM, sequence)
        except NotFoundError:  # it was removed
            continue
        held = (message.data or b"") + str(message.headers).encode()
        if any(text.encode() in held for text in texts):
            found.append(message.subject or "")
    return found


def in_files(folder: Path, *texts: str) -> list[str]:
    """Files that hold one of some texts. What the stand-in for a mail server wrote is the person's own mail, and gone in a day."""
    return [
        file
        for file, held in files_below(folder, but=("messages", "postgres", "nats"))
        if any(text.encode() in held for text in texts)
    ]


async def proved(scene: Scene, file: Path) -> bool:
    """Whether the whole audit log verifies, offline, on an export."""
    stub = audit_log_service_pb2_grpc.AuditLogServiceStub(
        scene.whole.channels["reelmesh.compliance.v1.AuditLogService"]
    )
    with file.open("wb") as target:
        async for part in stub.GetExport(audit.GetExportRequest(), metadata=scene.operator):
            target.write(part.part)
    return verified(file).good


async def leaf_of_playback(scene: Scene) -> audit.GetInclusionProofResponse:
    stub = audit_log_service_pb2_grpc.AuditLogServiceStub(
        scene.whole.channels["reelmesh.compliance.v1.AuditLogService"]
    )
    asked = audit.ListLeavesRequest(event_type="reelmesh.policy.v1.PlaybackCreated")
    async with asyncio.timeout(60):  # it hears of it a moment later
        while not (leaves := (await stub.ListLeaves(asked, metadata=scene.operator)).leaves):
            await asyncio.sleep(0.05)
    leaf = leaves[0]
    proof: audit.GetInclusionProofResponse = await stub.GetInclusionProof(
        audit.GetInclusionProofRequest(event_id=leaf.event_id), metadata=scene.operator
    )
    return proof


async def logs_in(scene: Scene, person: Person) -> bool:
    stub = scene.stub(accounts_service_pb2_grpc.AccountsServiceStub, "identity.v1.AccountsService")
    try:
        await stub.LogIn(accounts.LogInRequest(email=person.email, password="seven lanterns over Aarhus"))
    except grpc.aio.AioRpcError:
        return False
    return True


async def takes_home(scene: Scene, person: Person, asset_id: str) -> None:
    """The copy holds what each service has, and says what it is."""
    request = await scene.ask(person, rights_pb2.DATA_REQUEST_KIND_ACCESS)
    files = await scene.copy(person, request.data_request_id)
    assert files["identity/accounts.json"][0]["email"] == person.email
    assert files["identity/sessions.json"][0]["network"].startswith(NETWORK)
    assert files["identity/profiles.json"][0]["display_name"].startswith(NAME)
    assert files["policy/playback_sessions.json"][0]["asset_id"] == asset_id
    assert files["payments/sales.json"][0]["gross"] == 499
    assert files["payments/billing_details.json"][0]["buyer"]["name"] == NAME
    assert files["compliance/audit_log.json"]
    assert files["compliance/own_requests.json"]
    described = {one["path"]: one for one in files["manifest.json"]["files"]}
    assert set(described) == set(files) - {"manifest.json"}
    assert all(one["rows"] == len(files[path]) and one["purpose"] for path, one in described.items())
    assert "password_hash" in described["identity/accounts.json"]["withheld"]
    assert "password_hash" not in files["identity/accounts.json"][0]
    assert (await scene.seen(request.data_request_id)).state == rights_pb2.DATA_REQUEST_STATE_COMPLETED


async def test_a_person_takes_everything_home_and_is_then_nowhere(scene: Scene, tmp_path: Path) -> None:
    """The copy holds what each service has; after erasure a search over every table, event, and file finds nothing that no law keeps; proofs verify."""
    person = await scene.person()
    asset_id = await scene.live(person)
    told = (person.email, NAME, STREET, NETWORK, person.account_id)

    await takes_home(scene, person, asset_id)
    assert await in_tables(scene, *told)
    assert await in_events(scene, person.account_id)
    before = await leaf_of_playback(scene)
    assert before.leaf.HasField("disclosure")
    assert await logs_in(scene, person)

    erasure = await scene.ask(person, rights_pb2.DATA_REQUEST_KIND_ERASURE)
    done = await scene.reaches(erasure.data_request_id, rights_pb2.DATA_REQUEST_STATE_COMPLETED)

    assert not await logs_in(scene, person)
    assert (
        await refused(scene.rights.ListOwnDataRequests(api.ListOwnDataRequestsRequest(), metadata=person.shown))
    ).reason == "CREDENTIAL_INVALID"
    services = [receipt.service for receipt in done.receipts]
    keepers = ["identity", "policy", "drm", "payments", "protection", "upload", "compliance"]
    assert services == [*keepers, "events", "audit_log"]
    kept = {
        f"{receipt.service}.{table.table}": table
        for receipt in done.receipts
        for table in receipt.tables
        if table.action == personal.ERASURE_ACTION_KEPT
    }
    assert "payments.sales" in kept
    assert "art. 17(3)" in kept["payments.sales"].ground
    assert done.HasField("keep_until_time")
    assert {one.table: one.action for one in done.receipts[-1].tables} == {
        "log_contents": personal.ERASURE_ACTION_SHREDDED
    }

    found = await in_tables(scene, *told)
    others = await in_requests(scene, request_of=erasure.data_request_id)
    assert [row["sealed_subject"] for row in others] == [None] * len(others), "nor who it was that asked before"
    # For a quarter of an hour it has to be known whose tokens are refused.
    assert set(found) - {"identity.revocations"} <= set(kept) <= KEPT, found
    assert not await in_tables(scene, person.email, STREET, NETWORK)
    assert not await in_events(scene, *told)
    assert not in_files(scene.settings.data_dir, *told)
    after = await leaf_of_playback(scene)
    assert not after.leaf.HasField("disclosure"), "its meaning is gone"
    assert after.leaf.record == before.leaf.record
    assert await proved(scene, tmp_path / "export")
    assert scene.whole.heard.take() == []


async def test_events_name_nobody_but_by_ids(scene: Scene) -> None:
    """No address, name or street is ever in an event, whatever a person does."""
    person = await scene.person()
    await scene.live(person)
    assert await in_events(scene, person.account_id)
    assert not await in_events(scene, person.email, NAME, STREET, "+49")


@pytest.mark.parametrize("name", ["pupil-7"])
async def test_whom_an_organisation_names_is_erased_too(scene: Scene, name: str) -> None:
    """Staff answers for who they are; then it goes the same way, without letters."""
    unproven = scene.taken_in(name, rights_pb2.DATA_REQUEST_KIND_ERASURE, checked=False)
    assert (await refused(unproven)).reason == "IDENTITY_UNPROVEN"
    request = await scene.taken_in(name, rights_pb2.DATA_REQUEST_KIND_ERASURE)
    assert request.proof == rights_pb2.IDENTITY_PROOF_CHECKED_BY_STAFF
    done = await scene.reaches(request.data_request_id, rights_pb2.DATA_REQUEST_STATE_COMPLETED)
    assert not done.HasField("subject"), "nothing is kept of them, so not even who it was"
    assert not await in_tables(scene, name)
