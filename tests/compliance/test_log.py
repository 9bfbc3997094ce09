"""The log as its callers see it: what becomes a leaf, what is proved, who sees what, and what erasure leaves."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from pathlib import Path

import asyncpg
import pytest
from reelmesh.compliance.v1 import audit_log_service_pb2 as api
from reelmesh.compliance.v1 import compliance_pb2
from reelmesh.compliance.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.policy.v1 import events_pb2 as policy

from services.compliance.__main__ import CONTRACTS
from services.compliance.log.appending import OriginChanged, Writer
from services.compliance.log.erasing import erase_subject
from services.compliance.log.leaves import Event
from services.compliance.log.publishing import Publisher
from services.compliance.log.subjects import Subject
from services.compliance.log.upkeep import ALL_KEPT, thinned
from services.compliance.log.wiring import signer_of
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.scene import T0, Log, logging_all, refused
from tests.compliance.witness import Witness, listening
from tests.support.running import connected
from tools.audit_verifier import tree
from tools.audit_verifier.note import Key, signed_checkpoint
from tools.audit_verifier.verifying import verified


async def test_an_event_becomes_a_leaf_that_is_proved_at_once(here: Log, tmp_path: Path) -> None:
    event = here.played()
    (event_id,) = await here.tell(event)
    found = await here.api.GetInclusionProof(api.GetInclusionProofRequest(event_id=event_id))
    record = json.loads(found.leaf.record)
    assert found.leaf.record == json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert record["event_id"] == event_id
    assert record["event_type"] == "reelmesh.policy.v1.PlaybackCreated"
    assert record["organisation_id"] == here.organisation_id
    assert event.viewer_id not in found.leaf.record
    checkpoint, _ = signed_checkpoint(found.checkpoint.note, Key.read(await here.key()))
    assert checkpoint.origin == "log.example/audit"
    assert tree.included(
        found.proof.leaf_index,
        found.proof.tree_size,
        tree.leaf(found.leaf.record.encode()),
        list(found.proof.hashes),
        checkpoint.root,
    )
    (file := tmp_path / "leaf.tlog-proof").write_text(found.tlog_proof)
    assert verified(file, key=await here.key()).good


async def test_what_a_leaf_committed_to_is_opened_by_its_disclosure(here: Log) -> None:
    event = policy.TargetRevoked(
        revocation_id=new_id("rvk"), organisation_id=here.organisation_id, actor=f"user/{new_id('usr')}"
    )
    leaf = await here.leaf((await here.tell(event))[0])
    record, opened = json.loads(leaf.record), leaf.disclosure
    assert policy.TargetRevoked.FromString(opened.payload) == event
    assert hmac.digest(opened.salt, opened.payload, "sha256").hex() == record["content"]
    (person,) = opened.subjects
    assert f"user/{person.subject}" == event.actor
    assert [hmac.digest(person.salt, person.subject.encode(), "sha256").hex()] == record["subjects"]


async def test_events_keep_the_order_of_the_bus_and_come_once(here: Log) -> None:
    events = [here.played() for _ in range(40)]
    ids = await here.tell(*events)
    await here.bus.publish(events[3], event_id=ids[3])  # within the server's own window: dropped there
    seen = await here.api.ListLeaves(api.ListLeavesRequest(page_size=200))
    assert [leaf.event_id for leaf in reversed(seen.leaves)] == ids
    assert [leaf.leaf_index for leaf in reversed(seen.leaves)] == list(range(40))


def happened(here: Log, sequence: int, event_id: str = "") -> Event:
    """An event as the follower hands it on."""
    payload = here.played().SerializeToString()
    return Event(event_id or new_id("evt"), "reelmesh.policy.v1.PlaybackCreated", T0, payload, sequence)


async def test_what_was_read_before_adds_nothing_whichever_way_it_comes_again(here: Log) -> None:
    writer = Writer(here.database, here.clock, signer_of(here.process, here.settings), here.install)
    batch = [happened(here, 1), happened(here, 2)]
    assert await writer.append("a stream", batch) == 2
    assert await writer.position("a stream") == 2
    assert await writer.append("a stream", batch) == 0, "the same messages"
    late = happened(here, 7, batch[0].event_id)
    assert await writer.append("a stream", [late, happened(here, 8), late]) == 1, "the same event in another message"
    assert await writer.position("another stream") == 0
    again = happened(here, 1, batch[1].event_id)
    assert await writer.append("another stream", [again, happened(here, 2)]) == 1, "a stream that was made anew"
    assert await here.size() == 4


async def test_two_writers_at_once_write_one_log(here: Log, tmp_path: Path) -> None:
    signer = signer_of(here.process, here.settings)
    writers = [Writer(here.database, here.clock, signer, here.install) for _ in range(2)]
    batches = [[happened(here, 10 * turn + one) for one in range(1, 11)] for turn in range(12)]
    for batch in batches:
        await asyncio.gather(*(writer.append("a stream", batch) for writer in writers))
    assert await here.size() == 120
    assert verified(await here.export(tmp_path / "export")).good


async def test_an_organisation_sees_its_own_leaves_only(here: Log, other_organisation_key: str) -> None:
    (own,) = await here.tell(here.played())
    (foreign,) = await here.tell(here.played(organisation_id=new_id("org")))
    listed = await here.api.ListLeaves(api.ListLeavesRequest())
    assert [leaf.event_id for leaf in listed.leaves] == [own]
    with refused("LEAF_NOT_FOUND"):
        await here.leaf(foreign)
    # That a place is in the tree is no secret; what is there is.
    proved = await here.api.GetInclusionProof(api.GetInclusionProofRequest(leaf_index=1))
    assert proved.proof.hashes
    assert not proved.HasField("leaf")
    assert not proved.tlog_proof
    async with connected(here.settings, "compliance", *CONTRACTS, key=other_organisation_key) as channel:
        theirs = AuditLogServiceStub(channel)
        assert not (await theirs.ListLeaves(api.ListLeavesRequest())).leaves
        with refused("OPERATOR_ONLY"):
            _ = [part async for part in theirs.GetExport(api.GetExportRequest(every_record=True))]


async def test_lists_come_in_pages_and_by_kind(here: Log) -> None:
    await here.tell(here.played(), here.uploaded(new_id("ast")), here.played(), here.played())
    request = api.ListLeavesRequest(page_size=2, event_type="reelmesh.policy.v1.PlaybackCreated")
    first = await here.api.ListLeaves(request)
    assert [leaf.leaf_index for leaf in first.leaves] == [3, 2]
    request.page_token = first.next_page_token
    last = await here.api.ListLeaves(request)
    assert [leaf.leaf_index for leaf in last.leaves] == [0]
    assert not last.next_page_token


async def test_the_log_is_proved_to_have_only_grown(here: Log) -> None:
    await here.tell(*(here.played() for _ in range(3)))
    before = (await here.api.GetCheckpoint(api.GetCheckpointRequest())).checkpoint
    await here.tell(*(here.played() for _ in range(5)))
    after = (await here.api.GetCheckpoint(api.GetCheckpointRequest())).checkpoint
    found = await here.api.GetConsistencyProof(api.GetConsistencyProofRequest(first_tree_size=before.tree_size))
    assert tree.continues(before.tree_size, after.tree_size, before.root_hash, after.root_hash, list(found.hashes))


async def test_proofs_of_what_is_not_there_are_refused(here: Log) -> None:
    await here.tell(here.played())
    with refused("LEAF_NOT_FOUND"):
        await here.api.GetInclusionProof(api.GetInclusionProofRequest(leaf_index=1))
    for request in (api.GetInclusionProofRequest(tree_size=2), api.GetInclusionProofRequest(tree_size=2**62)):
        with refused("TREE_SIZE_INVALID") as caught:
            await here.api.GetInclusionProof(request)
        assert caught[0].metadata["tree_size"] == "1"
    with refused("TREE_SIZE_INVALID"):
        await here.api.GetConsistencyProof(api.GetConsistencyProofRequest(first_tree_size=2))
    with refused("CHECKPOINT_NOT_FOUND"):
        await here.api.GetCheckpoint(api.GetCheckpointRequest(tree_size=77))
    with refused("CHECKPOINT_NOT_FOUND"):
        await here.api.GetCheckpoint(api.GetCheckpointRequest(least_cosignatures=1))


async def test_an_empty_log_has_a_checkpoint_too(here: Log) -> None:
    empty = (await here.api.GetCheckpoint(api.GetCheckpointRequest())).checkpoint
    assert (empty.tree_size, empty.root_hash) == (0, tree.EMPTY)


async def test_erasure_takes_the_meaning_and_leaves_the_proof(here: Log, tmp_path: Path) -> None:
    erased, stays = new_id("usr"), new_id("usr")
    mine = await here.tell(
        here.played(erased),
        identity.PasskeyAdded(account_id=erased, passkey_id=new_id("pky")),
        here.played(stays),
    )
    both = policy.ViewerRiskCleared(
        organisation_id=here.organisation_id, viewer_id=stays, actor=f"user/{erased}", comment="a long comment"
    )
    mine += await here.tell(both)
    async with here.database.transaction() as tx:
        assert await erase_subject(tx, here.install, Subject.of("", erased)) == 3
    async with here.database.transaction() as tx:
        assert await erase_subject(tx, here.install, Subject.of("", erased)) == 0
    assert not (await here.leaf(mine[0])).HasField("disclosure")
    assert (await here.leaf(mine[2])).HasField("disclosure")
    assert not (await here.leaf(mine[3])).HasField("disclosure"), "nobody can tell what was said about whom"
    file = await here.export(tmp_path / "export")
    assert erased.encode() not in file.read_bytes()
    verdict = verified(file, key=await here.key())
    assert verdict.good, verdict.faults
    assert (verdict.records, verdict.opened, verdict.closed) == (3, 1, 2)
    assert not await anywhere(here.settings, erased, both.comment)
    # What happens to them later makes a new key, and the old leaves stay closed.
    (later,) = await here.tell(here.played(erased))
    assert (await here.leaf(later)).HasField("disclosure")
    assert not (await here.leaf(mine[0])).HasField("disclosure")


async def anywhere(settings: ProcessSettings, *texts: str) -> list[str]:
    """Tables of the service in which one of some texts stands, as text or as bytes."""
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'compliance'")
        found = []
        for (table,) in tables:
            for row in await connection.fetch(f"SELECT * FROM compliance.{table}"):
                for value in row.values():
                    shown = value if isinstance(value, bytes) else str(value).encode()
                    if any(text.encode() in shown for text in texts):
                        found.append(table)
        return found
    finally:
        await connection.close()


async def test_nothing_personal_stands_in_the_tables(here: Log) -> None:
    viewer = new_id("usr")
    await here.tell(here.played(viewer), here.uploaded(new_id("ast"), title="A title that nobody should see"))
    assert not await anywhere(here.settings, viewer, "A title that nobody should see")


async def test_an_event_of_an_unknown_kind_is_a_leaf_without_content(here: Log) -> None:
    headers = {"Nats-Msg-Id": (event_id := new_id("evt"))}
    await here.bus.client.jetstream().publish("reelmesh.future.v1.SomethingHappened", b"\xff\xff", headers=headers)
    await here.bus.client.jetstream().publish("reelmesh.policy.v1.PlaybackCreated", b"\xff\xff")
    await here.has([event_id])
    await here.tell(here.played())
    assert await here.size() == 3
    assert not (await here.api.GetInclusionProof(api.GetInclusionProofRequest(leaf_index=0))).HasField("leaf")


async def test_a_slot_is_reserved_by_the_upload_and_committed_by_the_publication(here: Log, tmp_path: Path) -> None:
    asset_id = new_id("ast")
    with refused("SLOT_NOT_FOUND"):
        await here.api.GetContentSlot(api.GetContentSlotRequest(asset_id=asset_id))
    await here.tell(here.uploaded(asset_id))
    reserved = await here.api.GetContentSlot(api.GetContentSlotRequest(asset_id=asset_id))
    assert not reserved.slot.committed
    assert json.loads(reserved.leaf.record)["slot"]["state"] == "reserved"
    published = here.published(asset_id)
    await here.tell(here.played(), published)
    found = await here.api.GetContentSlot(api.GetContentSlotRequest(asset_id=asset_id))
    assert found.slot.committed
    assert (found.slot.reserved_leaf_index, found.slot.committed_leaf_index) == (0, 2)
    assert json.loads(found.leaf.record)["slot"] == {
        "asset_id": asset_id,
        "content_sha256": "ab" * 32,
        "package_id": published.package_id,
        "state": "committed",
    }
    (file := tmp_path / "slot.tlog-proof").write_text(found.tlog_proof)
    assert verified(file, key=await here.key()).good
    changed = found.tlog_proof.replace("index 2", "index 1")
    file.write_text(changed)
    assert not verified(file, key=await here.key()).good


async def test_what_was_never_uploaded_has_no_slot_to_commit(here: Log) -> None:
    asset_id = new_id("ast")
    await here.tell(here.published(asset_id), here.uploaded(asset_id, organisation_id=new_id("org")))
    with refused("SLOT_NOT_FOUND"):
        await here.api.GetContentSlot(api.GetContentSlotRequest(asset_id=asset_id))


async def test_witnesses_cosign_what_continues_what_they_saw(mesh: ProcessSettings, tmp_path: Path) -> None:
    pushed, brought = Witness("pushed.example"), Witness("brought.example")
    async with listening(pushed) as url:
        witnesses = [{"key": pushed.verifier_key, "url": url}, {"key": brought.verifier_key}]
        async with logging_all(
            mesh, compliance_audit_witnesses=witnesses, compliance_audit_witness_seconds=0.05
        ) as here:
            pushed.log_key = await here.key()
            await here.tell(*(here.played() for _ in range(5)))
            await cosigned(here, 5)
            await here.tell(*(here.played() for _ in range(4)))
            await cosigned(here, 9)
            assert pushed.latest is not None
            assert pushed.latest.size == 9
            # The witness remembers more than the log does of it: asked once more, from where the witness is.
            async with here.database.transaction() as tx:
                await tx.exec_driver_sql("DELETE FROM log_cosignatures")
            await here.tell(here.played())
            await cosigned(here, 10)
            assert 409 in pushed.asked
            assert 422 not in pushed.asked
            note = (await here.api.GetCheckpoint(api.GetCheckpointRequest(tree_size=10))).checkpoint.note
            text = note.partition("\n\n")[0] + "\n"
            with refused("COSIGNATURE_INVALID"):
                await here.api.AddCosignature(api.AddCosignatureRequest(tree_size=9, lines=brought.cosignature(text)))
            request = api.AddCosignatureRequest(tree_size=10, lines=brought.cosignature(text))
            assert (await here.api.AddCosignature(request)).checkpoint.cosignatures == 2
            assert (await here.api.AddCosignature(request)).checkpoint.cosignatures == 2
            with refused("CHECKPOINT_NOT_FOUND"):
                await here.api.AddCosignature(api.AddCosignatureRequest(tree_size=4321, lines="x"))
            verdict = verified(
                await here.export(tmp_path / "export"),
                key=await here.key(),
                witnesses=(pushed.verifier_key, brought.verifier_key),
            )
            assert verdict.good
            assert verdict.witnesses == ["brought.example", "pushed.example"]


async def cosigned(here: Log, size: int) -> None:
    """Waits for a cosignature of a size."""
    async with asyncio.timeout(60):
        while True:
            found = (await here.api.GetCheckpoint(api.GetCheckpointRequest(tree_size=size))).checkpoint
            if found.cosignatures:
                return
            await asyncio.sleep(0.02)


async def test_the_published_tiles_are_the_log(mesh: ProcessSettings) -> None:
    async with logging_all(mesh, compliance_audit_publish_seconds=3600) as here:
        publishers = [Publisher(here.database, here.process.store()) for _ in range(2)]
        for size in (100, 300):
            await here.tell(*(here.played() for _ in range(size - await here.size())))
            assert await asyncio.gather(*(publisher.once() for publisher in publishers)) == [size, size]
        await look_at_what_is_published(here)


async def look_at_what_is_published(here: Log) -> None:
    folder = here.settings.data_dir / "objects/audit"
    verdict = verified(folder, key=await here.key())
    assert verdict.good, verdict.faults
    assert verdict.leaves == 300
    tile = folder / "tile/0/000"
    assert tile.read_bytes()[:32] == (await proof_of(here, 0)).leaf_hash
    assert not tile.with_name("000.p").exists(), "a full tile takes the place of the partial ones"
    entries = here.settings.data_dir / "objects/audit-entries/tile/entries/000"
    record = entries.read_bytes()[2 : 2 + int.from_bytes(entries.read_bytes()[:2])]
    assert tree.leaf(record) == tile.read_bytes()[:32]
    # Any byte that is changed is found, and the tile is named.
    changed = bytearray(tile.read_bytes())
    changed[1000] ^= 1
    tile.chmod(0o644)
    tile.write_bytes(changed)
    where = [where for where, _ in verified(folder, key=await here.key()).faults]
    assert where[0] == "leaves 0 to 255"


async def proof_of(here: Log, leaf_index: int) -> compliance_pb2.InclusionProof:
    return (await here.api.GetInclusionProof(api.GetInclusionProofRequest(leaf_index=leaf_index))).proof


async def test_old_checkpoints_are_thinned_out_but_for_those_that_were_witnessed(here: Log) -> None:
    for _ in range(5):
        await here.tell(here.played())
    async with here.database.transaction() as tx:
        await tx.exec_driver_sql("INSERT INTO log_cosignatures VALUES (1, 'w', 'line', now()), (3, 'w', 'line', now())")
    assert await thinned(here.database, here.clock) == 0
    here.clock.advance(ALL_KEPT * 2)
    await thinned(here.database, here.clock)
    async with here.database.transaction() as tx:
        kept = (await tx.exec_driver_sql("SELECT tree_size FROM log_checkpoints ORDER BY 1")).scalars().all()
    assert kept == [3, 5]


async def test_a_log_keeps_its_name(here: Log) -> None:
    await here.tell(here.played())
    with pytest.raises(OriginChanged, match=r"log\.example/audit"):
        async with logging_all(here.settings, compliance_audit_origin="another.example"):
            pass


async def test_an_export_can_leave_the_content_out(here: Log, tmp_path: Path) -> None:
    viewer = new_id("usr")
    await here.tell(here.played(viewer), here.played(organisation_id=new_id("org")))
    without = await here.export(tmp_path / "without", without_content=True)
    assert base64.b64encode(viewer.encode())[:20] not in without.read_bytes()
    assert verified(without).records == 1
    everything = await here.export(tmp_path / "everything", every_record=True)
    assert verified(everything).records == 2
