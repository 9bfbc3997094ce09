"""Checkpoints on an EVM chain: once each, whatever the chain does and whenever the process dies."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import sqlalchemy as sa
from reelmesh.compliance.v1 import audit_log_service_pb2 as api
from reelmesh.compliance.v1 import compliance_pb2

from services.compliance.anchoring.evm import GWEI, EvmAnchor, Rules
from services.compliance.anchoring.evm_chain import Chain
from services.compliance.anchoring.running import Anchoring
from services.compliance.log.upkeep import ALL_KEPT, thinned
from tests.compliance.anchoring.chain import LocalChain
from tests.compliance.anchoring.conftest import EVERY, RULES
from tests.compliance.scene import Log


async def shown(here: Log, tree_size: int = 0) -> list[compliance_pb2.Anchor]:
    return list((await here.api.ListAnchors(api.ListAnchorsRequest(tree_size=tree_size))).anchors)


async def trouble(here: Log) -> str:
    async with here.database.transaction() as tx:
        return (await tx.execute(sa.text("SELECT coalesce(max(trouble), '') FROM anchor_troubles"))).scalar_one()


async def transactions(here: Log) -> list[tuple[int, int, bool]]:
    """Nonce, attempt, and whether it is lost, of all that were signed."""
    query = "SELECT nonce, attempt, lost FROM anchor_transactions ORDER BY create_time, nonce, attempt"
    async with here.database.transaction() as tx:
        return [tuple(row) for row in await tx.execute(sa.text(query))]


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
    assert found.chain_id == chain.chain_id
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
    async with here.database.transaction() as tx:
        outbox = "SELECT count(*) FROM log_leaves WHERE event_type = 'reelmesh.compliance.v1.CheckpointAnchored'"
        while (await tx.execute(sa.text(outbox))).scalar_one() < 2:
            pass
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
    standing = (await here.api.ListAnchors(api.ListAnchorsRequest())).standings
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
    old = dict(chain.pool)
    chain.pressure = 20 * GWEI
    here.clock.advance(timedelta(minutes=6))
    await anchoring.once()
    chain.pressure, chain.pool = 0, old  # a miner that had not heard of the second one
    chain.mine(3)
    await anchoring.once()
    (found,) = await shown(here)
    assert found.confirmed
    assert found.transaction_hash == next(iter(old))


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


async def test_trouble_never_tells_the_nodes_address(
    here: Log, chain: LocalChain, one_chain: tuple[LocalChain, str], tmp_path: object
) -> None:
    gone = Chain("http://127.0.0.1:9/v3/0123456789abcdef0123456789abcdef", chain.chain_id)
    anchor = EvmAnchor(here.database, here.clock, gone, chain_key(chain), Rules(**RULES))
    await here.tell(here.played())
    await Anchoring(here.database, here.clock, anchor, EVERY).once()
    assert "does not answer" in (told := await trouble(here))
    assert "0123456789abcdef" not in told
    await gone.close()


def chain_key(chain: LocalChain) -> object:
    from eth_account import Account

    return Account.from_key(chain.backend.account_keys[0].to_hex())


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
