"""Checkpoints on an EVM chain: once each, whatever the chain does and whenever the process dies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from reelmesh.compliance.v1 import audit_log_service_pb2 as api
from reelmesh.compliance.v1 import compliance_pb2
from reelmesh.compliance.v1 import events_pb2 as events

from services.compliance.anchoring.evm import GWEI, EvmAnchor, Rules
from services.compliance.anchoring.evm_chain import Chain
from services.compliance.anchoring.running import Anchoring
from services.compliance.log.upkeep import ALL_KEPT, thinned
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.anchoring.chain import LocalChain, Refused
from tests.compliance.anchoring.conftest import EVERY, RULES
from tests.compliance.killing import a_process
from tests.compliance.scene import Log, logging_all
from tests.support.service_forks import Forked
from tools.audit_verifier import tree
from tools.audit_verifier.ethereum import keccak
from tools.audit_verifier.verifying import verified
from tools.reelmesh_cli.supervisor.layout import REPOSITORY


async def shown(here: Log, tree_size: int = 0) -> list[compliance_pb2.Anchor]:
    return list((await here.api.ListAnchors(api.ListAnchorsRequest(tree_size=tree_size))).anchors)


async def trouble(here: Log) -> str:
    async with here.database.transaction() as tx:
        query = sa.text("SELECT coalesce(max(trouble), '') FROM anchor_troubles")
        return str((await tx.execute(query)).scalar_one())


async def transactions(here: Log) -> list[tuple[int, int, bool]]:
    """Nonce, attempt, and whether it is lost, of all that were signed."""
    query = "SELECT nonce, attempt, lost FROM anchor_transactions ORDER BY create_time, nonce, attempt"
    async with here.database.transaction() as tx:
        return [tuple(row) for row in await tx.execute(sa.text(query))]


async def has_news_of(here: Log, anchors: int) -> None:
    """Waits until the log itself says of so many anchors that they are confirmed."""
    query = sa.text("SELECT count(*) FROM log_leaves WHERE event_type = 'reelmesh.compliance.v1.CheckpointAnchored'")
    async with asyncio.timeout(60):
        while True:
            async with here.database.transaction() as tx:
                if (await tx.execute(query)).scalar_one() == anchors:
                    return
            await asyncio.sleep(0.02)


async def waiting(chain: LocalChain) -> None:
    """Waits until somebody sent something."""
    async with asyncio.timeout(30):
        while not chain.pool:
            await asyncio.sleep(0.02)


async def test_a_checkpoint_is_anchored_by_one_transaction_that_names_it(
    here: Log, chain: LocalChain, anchoring: Anchoring
) -> None:
    await here.tell(*(here.played() for _ in range(5)))
    await anchoring.once()
    assert list(chain.pool) == chain.sent
    chain.mine()
    await anchoring.once()
    (found,) = await shown(here)
    assert not found.confirmed, "one block is too few"
    chain.mine(2)
    await anchoring.once()
    (found,) = await shown(here)
    assert found.confirmed
    assert found.anchor == f"evm-{chain.chain_id}"
    assert found.evm_chain == chain.chain_id
    assert found.transaction_hash == chain.sent[0]
    assert found.block_number == chain.head - 2
    data = chain.data_of(found.transaction_hash)
    assert data == b"RMA1" + hashlib.sha256(b"log.example/audit").digest() + (5).to_bytes(8) + found.root_hash
    checkpoint = (await here.api.GetCheckpoint(api.GetCheckpointRequest(tree_size=5))).checkpoint
    assert (checkpoint.root_hash, checkpoint.note) == (found.root_hash, found.note)
    assert len(chain.sent) == 1


async def test_the_next_one_waits_for_its_time_and_for_news(here: Log, chain: LocalChain, anchoring: Anchoring) -> None:
    await anchoring.once()
    assert await shown(here) == [], "an empty log is no news"
    await here.tell(here.played())
    await anchoring.once()
    await here.tell(here.played())
    chain.mine(3)
    await anchoring.once()
    await anchoring.once()
    assert [one.tree_size for one in await shown(here)] == [1]
    here.clock.advance(EVERY)
    await anchoring.once()
    latest = (await shown(here))[0]
    assert latest.tree_size >= 2, "with the news of the first anchor, where it came by then"
    chain.mine(3)
    await anchoring.once()
    await has_news_of(here, anchors=2)
    here.clock.advance(EVERY)
    await anchoring.once()
    assert len(await shown(here)) == 2, "the news of an anchor alone asks for no other"
    assert [one.tree_size for one in await shown(here, tree_size=1)] == [1]


async def test_what_the_node_forgot_is_sent_again_as_it_was(here: Log, chain: LocalChain, anchoring: Anchoring) -> None:
    await here.tell(here.played())
    await anchoring.once()
    chain.pool.clear()
    await anchoring.once()
    assert len(chain.pool) == 1
    await anchoring.once()
    assert len(set(chain.sent)) == 1, "it is known already, and that is no trouble"
    assert await trouble(here) == ""


async def test_a_block_that_is_taken_back_is_noticed_and_the_anchor_sent_again(
    here: Log, chain: LocalChain, anchoring: Anchoring
) -> None:
    await here.tell(here.played())
    await anchoring.once()
    with chain.another_branch():
        chain.mine(2)
        await anchoring.once()
        assert not (await shown(here))[0].confirmed
    chain.mine(4)  # longer, and without it
    await anchoring.once()
    assert not (await shown(here))[0].confirmed
    assert len(chain.pool) == 1
    chain.mine(3)
    await anchoring.once()
    (found,) = await shown(here)
    assert found.confirmed
    assert found.block_number == chain.head - 2
    assert set(chain.sent) == {found.transaction_hash}


async def test_fees_above_the_cap_are_waited_out(here: Log, chain: LocalChain, anchoring: Anchoring) -> None:
    await here.tell(here.played())
    chain.pressure = 100 * GWEI
    await anchoring.once()
    assert chain.sent == []
    assert "more than the 1000000 that are allowed" in await trouble(here)
    standing = (await here.api.ListAnchors(api.ListAnchorsRequest())).status.standings
    assert list(standing) == [], "nothing is set in the service itself here"
    chain.pressure = 0
    await anchoring.once()
    assert len(chain.pool) == 1
    assert await trouble(here) == ""


async def test_a_transaction_that_waits_for_long_gives_its_place_to_a_dearer_one(
    here: Log, chain: LocalChain, anchoring: Anchoring
) -> None:
    await here.tell(here.played())
    await anchoring.once()
    chain.pressure = 20 * GWEI
    chain.mine()
    await anchoring.once()
    assert len(set(chain.sent)) == 1, "not at once"
    here.clock.advance(timedelta(minutes=6))
    await anchoring.once()
    first, second = await transactions(here)
    assert first[0] == second[0], "the same nonce: the chain takes one of them"
    assert second[1] == 1
    assert list(chain.pool) == [chain.sent[-1]] != [chain.sent[0]]
    chain.pressure = 200 * GWEI
    here.clock.advance(timedelta(minutes=6))
    await anchoring.once()
    assert "allowed" in await trouble(here)
    assert len(await transactions(here)) == 2, "none that costs more than the cap"
    chain.pressure = 20 * GWEI
    chain.mine(3)
    await anchoring.once()
    (found,) = await shown(here)
    assert found.confirmed
    assert found.transaction_hash == chain.sent[-1]


async def test_the_one_that_was_replaced_counts_when_the_chain_takes_that(
    here: Log, chain: LocalChain, anchoring: Anchoring
) -> None:
    await here.tell(here.played())
    await anchoring.once()
    first, old = chain.sent[0], dict(chain.pool)
    chain.pressure = 20 * GWEI
    here.clock.advance(timedelta(minutes=6))
    await anchoring.once()
    chain.pressure, chain.pool = 0, old  # a miner that had not heard of the second one
    chain.mine(3)
    await anchoring.once()
    (found,) = await shown(here)
    assert found.confirmed
    assert found.transaction_hash == first


async def test_a_nonce_that_somebody_else_used_is_given_up_once_that_is_for_good(
    here: Log, chain: LocalChain, anchoring: Anchoring
) -> None:
    await here.tell(here.played())
    await anchoring.once()
    chain.pool.clear()
    chain.spend()
    await anchoring.once()
    assert [one[2] for one in await transactions(here)] == [False], "it may be taken back yet"
    chain.mine(2)
    await anchoring.once()
    lost, again = await transactions(here)
    assert lost[2]
    assert again[0] == lost[0] + 1
    chain.mine(3)
    await anchoring.once()
    assert (await shown(here))[0].transaction_hash == chain.sent[-1]


async def test_a_node_that_is_away_or_of_another_chain_is_sent_nothing(
    here: Log, chain: LocalChain, anchoring: Anchoring
) -> None:
    await here.tell(here.played())
    chain.away = True
    await anchoring.once()
    assert "does not answer" in await trouble(here)
    chain.away, chain.says_chain_id = False, 1
    await anchoring.once()
    assert "is of chain 1" in await trouble(here)
    assert chain.sent == []
    async with here.database.transaction() as tx:
        assert (await tx.execute(sa.text("SELECT count(*) FROM anchor_transactions"))).scalar_one() == 0
    chain.says_chain_id = 0
    await anchoring.once()
    assert len(chain.pool) == 1


async def test_neither_trouble_nor_logs_tell_the_nodes_address(
    here: Log, chain: LocalChain, caplog: pytest.LogCaptureFixture
) -> None:
    from eth_account import Account

    caplog.set_level(logging.DEBUG)
    node = Chain("http://127.0.0.1:9/v3/0123456789abcdef0123456789abcdef", chain.chain_id)
    key = Account.from_key(chain.backend.account_keys[0].to_hex())
    await here.tell(here.played())
    await Anchoring(
        here.database, here.clock, EvmAnchor(here.database, here.clock, node, key, Rules(**RULES)), EVERY
    ).once()
    assert "does not answer" in (told := await trouble(here))
    await node.close()
    assert "0123456789abcdef" not in told + caplog.text


async def test_two_processes_anchor_once(here: Log, chain: LocalChain, anchoring: Anchoring) -> None:
    await here.tell(here.played())
    async with here.database.transaction() as tx:
        lock = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.anchoring.evm-' || :chain, 0))"
        await tx.execute(sa.text(lock), {"chain": str(chain.chain_id)})
        assert not await anchoring.once(), "somebody else is at it"
    assert chain.sent == []
    assert await anchoring.once()


async def test_an_anchored_checkpoint_is_kept(here: Log, chain: LocalChain, anchoring: Anchoring) -> None:
    await here.tell(here.played())
    await anchoring.once()
    await here.tell(here.played())
    await here.tell(here.played())
    here.clock.advance(ALL_KEPT + timedelta(seconds=1))
    assert await thinned(here.database, here.clock) >= 1
    assert (await here.api.GetCheckpoint(api.GetCheckpointRequest(tree_size=1))).checkpoint.tree_size == 1


def set_up(chain: LocalChain, url: str, folder: Path) -> dict[str, Any]:
    """Settings of a service that anchors to the chain."""
    return {
        "compliance_anchoring_evm_url": url,
        "compliance_anchoring_evm_chain_id": chain.chain_id,
        "compliance_anchoring_evm_key_file": chain.key_file(folder),
        "compliance_anchoring_evm_confirmations": 2,
        "compliance_anchoring_evm_poll_seconds": 0.1,
    }


async def test_a_slot_has_the_hash_of_the_transaction_once_its_latest_leaf_is_anchored(
    mesh: ProcessSettings, chain: LocalChain, one_chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    asset_id = new_id("ast")
    request = api.GetContentSlotRequest(asset_id=asset_id)
    async with logging_all(mesh) as here:  # both are there before anything is anchored
        await here.tell(here.played(), here.uploaded(asset_id))
    async with logging_all(mesh, **set_up(chain, one_chain[1], tmp_path)) as here:
        found = await here.api.GetContentSlot(request)
        assert found.slot.transaction_hash == ""
        assert not found.HasField("anchor")
        await waiting(chain)
        (standing,) = (await here.api.ListAnchors(api.ListAnchorsRequest())).status.standings
        assert (standing.behind_leaves, standing.pending, standing.trouble) == (2, 1, "")
        chain.mine(2)
        told = await here.bus.hears(events.CheckpointAnchored)
        found = await here.api.GetContentSlot(request)
        assert found.slot.transaction_hash == told.transaction_hash == chain.sent[0]
        assert found.anchor.anchor_id == told.anchor_id
        proof = found.anchor_proof
        assert tree.included(
            proof.leaf_index,
            found.anchor.tree_size,
            tree.leaf(found.leaf.record.encode()),
            list(proof.hashes),
            found.anchor.root_hash,
        )
        (file := tmp_path / "slot.tlog-proof").write_text(found.anchor_tlog_proof)
        verdict = verified(file, key=await here.key())
        assert (verdict.good, verdict.tree_size) == (True, found.anchor.tree_size)
        assert chain.data_of(told.transaction_hash).endswith(found.anchor.root_hash)

        await here.tell(here.published(asset_id))
        assert (await here.api.GetContentSlot(request)).slot.transaction_hash == "", "its commit is not anchored yet"
        here.clock.advance(EVERY)
        await waiting(chain)
        chain.mine(2)
        await here.bus.hears(events.CheckpointAnchored, count=2)
        while not (found := await here.api.GetContentSlot(request)).slot.transaction_hash:
            await asyncio.sleep(0.05)
        assert found.slot.transaction_hash == chain.sent[-1]
        await has_news_of(here, anchors=2)
        (standing,) = (await here.api.ListAnchors(api.ListAnchorsRequest())).status.standings
        assert (standing.behind_leaves, standing.pending, standing.trouble) == (0, 0, "")
        page = await here.api.ListAnchors(api.ListAnchorsRequest(page_size=1))
        rest = await here.api.ListAnchors(api.ListAnchorsRequest(page_size=1, page_token=page.next_page_token))
        assert [one.transaction_hash for one in (*page.anchors, *rest.anchors)] == list(
            dict.fromkeys(reversed(chain.sent))
        )
        assert rest.next_page_token == ""
        judge_export(await here.export(tmp_path / "export"), await here.key(), chain)


def judge_export(export: Path, key: str, chain: LocalChain) -> None:
    """What the export says of its two anchors is verified without anybody, and what is changed in it is found."""
    verdict = verified(export, key=key)
    assert verdict.good, verdict.faults
    assert [anchor.transaction_hash for anchor in verdict.anchors] == list(dict.fromkeys(chain.sent))
    assert f"is the input of {chain.sent[-1]}" in "\n".join(verdict.lines())
    lines = [json.loads(line) for line in export.read_text().splitlines()]
    places = [at for at, line in enumerate(lines) if "anchor" in line]
    assert len(places) == 2
    first, second = (lines[at]["anchor"] for at in places)
    raw = bytes.fromhex(first["transaction"])
    changes: list[dict[str, Any]] = [
        {"note": second["note"]},
        {"root": second["root"]},
        {"root": "?"},
        {"tree_size": first["tree_size"] + 1},
        {"note": first["note"].replace("— log.example/audit ", "— log.example/audit A")},
        {"transaction": second["transaction"], "transaction_hash": second["transaction_hash"]},
        {"transaction": first["transaction"][:-2] + "00"},
        {"transaction": ""},
        {"transaction": "zz"},
        {"transaction": raw.hex()[:60], "transaction_hash": f"0x{keccak(raw[:30]).hex()}"},
        {"transaction_hash": second["transaction_hash"]},
        {"chain_id": 1},
        {"anchor": "evm-1"},
        {"tree_size": second["tree_size"], "root": second["root"], "note": second["note"]},
    ]
    for change in changes:
        changed = [*lines[: places[0]], {"anchor": first | change}, *lines[places[0] + 1 :]]
        (file := export.with_name("changed")).write_text("".join(json.dumps(line) + "\n" for line in changed))
        found = verified(file, key=key)
        assert not found.good, change
        assert found.faults[0][0] == f"the anchor in line {places[0] + 1}", (change, found.faults)


@pytest.mark.timeout(300)
async def test_an_anchor_is_in_the_chain_once_wherever_its_process_is_killed(
    mesh: ProcessSettings, chain: LocalChain, one_chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    settings = set_up(chain, one_chain[1], tmp_path)
    environment = {name: str(value) for name, value in settings.items()}
    before = len(chain.mined())
    async with logging_all(mesh) as here:
        await here.tell(here.played())
    # Committed, and not sent.
    await killed(mesh, environment, chain, "before_taking")
    assert chain.pool == {}
    assert len(chain.sent) == 1
    # Sent, and not told so.
    await killed(mesh, environment, chain, "after_taking")
    assert list(chain.pool) == chain.sent[:1]
    chain.mine(2)
    async with logging_all(mesh, **settings) as here:
        await here.bus.hears(events.CheckpointAnchored)
        (found,) = await shown(here)
        assert len(await transactions(here)) == 1
    assert found.confirmed
    assert chain.mined()[before:] == [found.transaction_hash] == chain.sent[:1]
    assert set(chain.sent) == {found.transaction_hash}


async def killed(mesh: ProcessSettings, environment: dict[str, str], chain: LocalChain, moment: str) -> None:
    """Runs the service in a process of its own, and kills it at a moment of its sending."""

    def dying(process: Forked) -> Callable[[], None]:
        def kill() -> None:
            process.kill()
            process.wait()
            raise Refused("nobody listens any more")

        return kill

    with a_process(mesh, **environment) as process:
        setattr(chain, moment, dying(process))
        async with asyncio.timeout(120):
            while process.poll() is None:
                await asyncio.sleep(0.05)
    assert process.returncode == -9
    setattr(chain, moment, lambda: None)


def test_whoever_anchors_recurses_no_deeper_than_others(tmp_path: Path) -> None:
    """web3 would have the whole process do so, and nested JSON end it. In a process of its own, as it happens at the first import only."""
    (tmp_path / "key").write_text("11" * 32)
    (tmp_path / "key").chmod(0o600)
    asked = (
        "import pathlib, sys; from services.compliance.anchoring.evm_chain import Chain, key_of;"
        f" before = sys.getrecursionlimit(); key_of(pathlib.Path({str(tmp_path / 'key')!r})); Chain('http://127.0.0.1:9', 1);"
        " sys.exit(sys.getrecursionlimit() != before)"
    )
    paths = f"{REPOSITORY}:{REPOSITORY / 'gen/python'}"
    ran = subprocess.run([sys.executable, "-c", asked], env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert ran.returncode == 0
