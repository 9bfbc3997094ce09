"""The invariants of the ledger, on the real Postgres, with everybody at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.settings import ProcessSettings
from services.payments.ledger import statements, store
from services.payments.ledger.domain import Direction, Posting, Unbalanced
from services.payments.ledger.store import Posted
from services.payments.ledger.verification import verified
from tests.payments.postings import ORGANISATION, draft, held, posted, transfer, wallet
from tests.payments.scene import T0
from tests.support.examples import so_many

FUNDING, ANN, BEN = wallet("funding"), wallet("ann"), wallet("ben")


@pytest.fixture
async def database(mesh: ProcessSettings) -> AsyncIterator[Database]:
    # As many connections as a busy service has: fewer would put callers in a row before Postgres sees them.
    database = Database.of("payments", mesh.model_copy(update={"database_pool": 12}))
    yield database
    report = await verified(database)
    assert report.differences == ()
    await database.close()


async def at_once(*calls: object) -> list[Posted | Refusal]:
    """What became of several calls that are made together."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    for outcome in outcomes:
        if not isinstance(outcome, Posted | Refusal):
            raise outcome
    return list(outcomes)


async def crowd(database: Database, drafts: list[object]) -> list[Posted | Refusal]:
    """Posts all at once, by as many connections as there are."""
    room = asyncio.Semaphore(24)

    async def one(wanted: object) -> Posted:
        async with room:
            return await posted(database, wanted)  # type: ignore[arg-type]

    return await at_once(*(one(wanted) for wanted in drafts))


async def test_a_duplicate_is_a_no_op(database: Database) -> None:
    first = await posted(database, draft("one", transfer(FUNDING, ANN, 500)))
    again = await posted(database, draft("one", transfer(FUNDING, ANN, 500)))
    assert (first.fresh, again.fresh, again.entry_id) == (True, False, first.entry_id)
    assert await held(database, ANN) == 500


async def test_a_reference_stands_for_one_thing(database: Database) -> None:
    await posted(database, draft("one", transfer(FUNDING, ANN, 500)))
    with pytest.raises(Refusal, match="REFERENCE_REUSED"):
        await posted(database, draft("one", transfer(FUNDING, ANN, 501)))


async def test_64_duplicates_at_once_collapse_to_one(database: Database) -> None:
    outcomes = await crowd(database, [draft("race", transfer(FUNDING, ANN, 2500)) for _ in range(64)])
    assert sum(one.fresh for one in outcomes if isinstance(one, Posted)) == 1
    assert len({one.entry_id for one in outcomes if isinstance(one, Posted)}) == 1
    assert await held(database, ANN) == 2500


async def test_500_credits_of_one_account_at_once_lose_nothing(database: Database) -> None:
    outcomes = await crowd(database, [draft(f"hot-{turn}", transfer(FUNDING, ANN, 100)) for turn in range(500)])
    assert all(isinstance(one, Posted) and one.fresh for one in outcomes)
    assert await held(database, ANN) == 50_000


async def test_entries_that_cross_never_wait_in_a_ring(database: Database) -> None:
    """Half go one way and half the other, over accounts that some of them open."""
    pairs = [(wallet(f"w{turn % 5}"), wallet(f"w{(turn * 3 + 1) % 5}")) for turn in range(200)]
    drafts = [draft(f"x{turn}", transfer(*pair, 7)) for turn, pair in enumerate(pairs) if pair[0] != pair[1]]
    outcomes = await crowd(database, list(drafts))
    assert all(isinstance(one, Posted) for one in outcomes)
    assert sum([await held(database, wallet(f"w{turn}")) for turn in range(5)]) == 0


async def test_20_drains_at_once_take_no_more_than_there_is(database: Database) -> None:
    await posted(database, draft("seed", transfer(FUNDING, ANN, 10_000)))
    drains = [draft(f"drain-{turn}", transfer(ANN, BEN, 1000, guarded=True)) for turn in range(20)]
    outcomes = await crowd(database, list(drains))
    refused = [one.reason for one in outcomes if isinstance(one, Refusal)]
    assert refused == ["OVERDRAFT"] * 10
    assert (await held(database, ANN), await held(database, BEN)) == (0, 10_000)


async def test_duplicates_of_what_is_refused_are_refused_too_and_its_reference_stays_free(database: Database) -> None:
    await posted(database, draft("seed", transfer(FUNDING, ANN, 10)))
    tries = [draft("stranded", transfer(ANN, BEN, 1000, guarded=True)) for _ in range(16)]
    assert {type(one) for one in await crowd(database, list(tries))} == {Refusal}
    await posted(database, draft("more", transfer(FUNDING, ANN, 5000)))
    assert (await posted(database, draft("stranded", transfer(ANN, BEN, 900, guarded=True)))).fresh


async def test_an_entry_is_reversed_once_even_by_many_at_once(database: Database) -> None:
    made = await posted(database, draft("one", transfer(FUNDING, ANN, 500)))
    undo = [
        draft(f"undo-{turn}", transfer(ANN, FUNDING, 500), content=str(turn), reverses=made.entry_id)
        for turn in range(8)
    ]
    outcomes = await crowd(database, list(undo))
    assert [one.reason for one in outcomes if isinstance(one, Refusal)] == ["ALREADY_REVERSED"] * 7
    assert await held(database, ANN) == 0
    async with database.transaction() as tx:
        entry = await store.find_entry(tx, ORGANISATION, made.entry_id)
    assert entry is not None, "compensated, not deleted"
    assert len(entry.postings) == 2


async def test_postings_of_one_account_are_numbered_in_the_order_of_their_balances(database: Database) -> None:
    await crowd(database, [draft(f"n{turn}", transfer(FUNDING, ANN, 3)) for turn in range(100)])
    async with database.transaction() as tx:
        balance = await store.balance_of(tx, ORGANISATION, ANN)
        assert balance is not None
        rows = (
            await tx.execute(
                store.postings.select()
                .where(store.postings.c.account_id == balance.account_id)
                .order_by(store.postings.c.position)
            )
        ).all()
    assert [(row.number, row.balance) for row in rows] == [(turn, 3 * turn) for turn in range(1, 101)]


async def test_currencies_do_not_mix(database: Database) -> None:
    mixed = (Posting(ANN, Direction.DEBIT, 1000), Posting(wallet("ben", "EUR"), Direction.CREDIT, 1000))
    with pytest.raises(Unbalanced, match="differ"):
        await posted(database, draft("fx", mixed))
    exchange = (*transfer(ANN, BEN, 1000), *transfer(wallet("ben", "EUR"), wallet("ann", "EUR"), 900))
    await posted(database, draft("fx", exchange))  # each currency balances by itself
    assert (await held(database, BEN), await held(database, wallet("ann", "EUR"))) == (1000, 900)


async def test_what_is_no_entry_is_not_made(database: Database) -> None:
    for postings in (
        (),
        (Posting(ANN, Direction.DEBIT, 5),),
        (Posting(ANN, Direction.DEBIT, 5), Posting(ANN, Direction.CREDIT, 5)),
        (*transfer(ANN, BEN, 5), Posting(BEN, Direction.CREDIT, 1)),
    ):
        with pytest.raises(Unbalanced):
            await posted(database, draft("bad", postings))
    for minor_units in (0, -5):
        with pytest.raises(Refusal, match="AMOUNT_INVALID"):
            await posted(database, draft("bad", transfer(ANN, BEN, minor_units)))
    with pytest.raises(Refusal, match="CURRENCY_UNKNOWN"):
        await posted(database, draft("bad", transfer(wallet("ann", "XXX"), wallet("ben", "XXX"), 5)))


async def test_more_than_can_be_counted_is_refused(database: Database) -> None:
    await posted(database, draft("much", transfer(FUNDING, ANN, 2**63 - 1)))
    with pytest.raises(Refusal, match="BALANCE_OUT_OF_RANGE"):
        await posted(database, draft("more", transfer(FUNDING, ANN, 1)))
    assert await held(database, ANN) == 2**63 - 1


async def test_small_movements_drift_by_nothing(database: Database) -> None:
    """A thousand in `make soak`."""
    count = so_many(150, long=1000)
    await posted(database, draft("seed", transfer(FUNDING, ANN, 100_000)))
    await crowd(database, [draft(f"penny-{turn}", transfer(ANN, BEN, 1)) for turn in range(count)])
    assert (await held(database, ANN), await held(database, BEN)) == (100_000 - count, count)


async def test_statements_are_whole_though_the_clock_goes_back(database: Database) -> None:
    """A posting is never booked before the one before it, so a period is a run of postings."""
    for turn, minutes in enumerate((0, 10, 3, 20)):
        await posted(database, draft(f"t{turn}", transfer(FUNDING, ANN, 1 + turn)), T0 + timedelta(minutes=minutes))
    async with database.transaction() as tx:
        balance = await store.balance_of(tx, ORGANISATION, ANN)
        assert balance is not None
        start, end = T0 + timedelta(minutes=5), T0 + timedelta(minutes=15)
        totals = await statements.totals(tx, balance.account_id, start, end)
    assert (totals.opening, totals.credits, totals.debits, totals.closing) == (1, 5, 0, 6)
