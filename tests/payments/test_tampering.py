"""What is written stays as it is, whoever tries: grants and triggers refuse, and verification finds what came past them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.ledger.verification import verified
from tests.payments.postings import ORGANISATION, draft, posted, transfer, wallet
from tests.payments.scene import Books

LEDGER = ("accounts", "entries", "postings", "balances")


@pytest.fixture
async def database(mesh: ProcessSettings) -> AsyncIterator[Database]:
    database = Database.of("payments", mesh)
    await posted(database, draft("one", transfer(wallet("ann"), wallet("ben"), 500)))
    yield database
    await database.close()


async def connected(settings: ProcessSettings, user: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=settings.database_host,
        user=user,
        database=settings.database_name,
        server_settings={"search_path": "payments"},
    )


@pytest.fixture
async def service(mesh: ProcessSettings, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The service's own role, which owns the tables."""
    connection = await connected(mesh, "payments")
    yield connection
    await connection.close()


@pytest.fixture
async def owner(mesh: ProcessSettings, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The database's own superuser, whom no grant binds."""
    connection = await connected(mesh, mesh.database_admin)
    yield connection
    await connection.close()


CHANGES = {
    "accounts": ["UPDATE accounts SET owner_id = 'eve'", "DELETE FROM accounts", "TRUNCATE accounts"],
    "entries": ["UPDATE entries SET description = 'other'", "DELETE FROM entries", "TRUNCATE entries"],
    "postings": ["UPDATE postings SET minor_units = 1", "DELETE FROM postings", "TRUNCATE postings"],
    "balances": [
        "UPDATE balances SET credits = credits + 1",
        "DELETE FROM balances",
        "TRUNCATE balances",
        "INSERT INTO balances VALUES ('acc_x', 0, 1, 1, now())",
    ],
}
TRIES = [statement for statements in CHANGES.values() for statement in statements]


@pytest.mark.parametrize("statement", TRIES)
async def test_the_service_cannot_change_what_is_written(service: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"permission denied|by postings only"):
        await service.execute(statement)


@pytest.mark.parametrize("statement", TRIES)
async def test_nor_can_who_has_every_right(owner: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"append-only|by postings only"):
        await owner.execute(statement)


async def test_the_right_is_not_even_there(service: asyncpg.Connection) -> None:
    for table in LEDGER[:3]:
        rights = {
            right: await service.fetchval("SELECT has_table_privilege($1, $2)", table, right)
            for right in ("INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE")
        }
        assert rights == {"INSERT": True, "SELECT": True, "UPDATE": False, "DELETE": False, "TRUNCATE": False}


ENTRY = "INSERT INTO entries VALUES ($1, $2, 1, $3, '', $4, '', '', now(), now())"
POSTING = """INSERT INTO postings (entry_id, account_id, currency, direction, minor_units, guarded, book_time)
    SELECT $1, account_id, $4, $3, $5, false, now() FROM accounts WHERE owner_id = $2"""


async def test_an_entry_without_its_postings_is_not_committed(service: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.PostgresError, match="has not the postings"):
        await service.execute(ENTRY, new_id("jnl"), ORGANISATION, "bare", 2)


@pytest.mark.parametrize(
    ("sides", "why"),
    [
        ([("ann", 1, "USD", 5)], "has not the postings"),
        ([("ann", 1, "USD", 5), ("ben", 2, "USD", 6)], "does not balance"),
        ([("ann", 1, "USD", 5), ("ben", 2, "EUR", 5)], "fits no entry"),
        ([("ann", 1, "USD", -5), ("ben", 2, "USD", -5)], "above_zero"),
        ([("ann", 3, "USD", 5), ("ben", 2, "USD", 5)], "one_side"),
    ],
)
async def test_entries_that_are_none_are_not_committed(
    service: asyncpg.Connection, sides: list[tuple[str, int, str, int]], why: str
) -> None:
    entry_id = new_id("jnl")
    with pytest.raises(asyncpg.PostgresError, match=why):
        async with service.transaction():
            await service.execute(ENTRY, entry_id, ORGANISATION, "bad", len(sides))
            # In one statement, as the service does it.
            values = ", ".join(
                f"('{entry_id}', (SELECT account_id FROM accounts WHERE owner_id = '{owner}'), '{code}', {side}, {units}, false, now())"
                for owner, side, code, units in sides
            )
            await service.execute(
                "INSERT INTO postings (entry_id, account_id, currency, direction, minor_units, guarded, book_time) VALUES "
                + values
            )


async def test_nothing_is_added_to_an_entry_that_was_made(service: asyncpg.Connection) -> None:
    entry_id = await service.fetchval("SELECT entry_id FROM entries")
    carl = "INSERT INTO accounts VALUES ($1, $2, 2, $3, 'USD', false, now())"
    for name in ("carl", "dora"):
        await service.execute(carl, new_id("acc"), ORGANISATION, name)
    with pytest.raises(asyncpg.PostgresError, match="has not the postings"):
        await service.execute(
            "INSERT INTO postings (entry_id, account_id, currency, direction, minor_units, guarded, book_time)"
            " SELECT $1, account_id, 'USD', CASE owner_id WHEN 'carl' THEN 1 ELSE 2 END, 5, false, now()"
            " FROM accounts WHERE owner_id IN ('carl', 'dora')",
            entry_id,
        )


async def test_nothing_is_posted_to_another_organisations_account(service: asyncpg.Connection) -> None:
    entry_id = new_id("jnl")
    with pytest.raises(asyncpg.PostgresError, match="fits no entry"):
        async with service.transaction():
            await service.execute(ENTRY, entry_id, new_id("org"), "foreign", 2)
            await service.execute(POSTING, entry_id, "ann", 1, "USD", 5)


async def test_a_table_of_ones_own_does_not_stand_in_for_the_balances(
    database: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("CREATE TEMP TABLE balances (LIKE payments.balances INCLUDING ALL)")
    entry_id = new_id("jnl")
    async with owner.transaction():
        await owner.execute(ENTRY, entry_id, ORGANISATION, "sly", 2)
        await owner.execute(
            "INSERT INTO postings (entry_id, account_id, currency, direction, minor_units, guarded, book_time)"
            " SELECT $1, account_id, 'USD', CASE owner_id WHEN 'ann' THEN 1 ELSE 2 END, 5, false, now() FROM accounts",
            entry_id,
        )
    assert await owner.fetchval("SELECT count(*) FROM pg_temp.balances") == 0
    assert (await verified(database)).differences == ()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE balances SET credits = credits + 1", {"balance"}),
        ("DELETE FROM balances", {"balance"}),
        ("UPDATE postings SET minor_units = minor_units + 1 WHERE direction = 1", {"balance", "posting", "entry"}),
        ("UPDATE postings SET balance = balance + 1 WHERE direction = 1", {"posting"}),
        ("UPDATE postings SET number = 7 WHERE direction = 2", {"posting"}),
        ("DELETE FROM postings WHERE direction = 2", {"balance", "entry"}),
        ("DELETE FROM entries", {"entry"}),
        ("UPDATE accounts SET currency = 'EUR' WHERE owner_id = 'ann'", {"posting"}),
        ("DELETE FROM accounts WHERE owner_id = 'ann'", {"posting"}),
    ],
)
async def test_verification_finds_what_came_past_the_triggers(
    database: Database, owner: asyncpg.Connection, statement: str, found: set[str]
) -> None:
    assert (await verified(database)).differences == ()
    await owner.execute("SET session_replication_role = replica")
    await owner.execute(statement)
    report = await verified(database)
    assert {difference.what for difference in report.differences} == found, report.differences
    assert all(one.rebuilt != one.kept for one in report.differences if one.what == "balance")


async def test_verification_holds_sales_against_what_was_given_back(here: Books) -> None:
    sale = await here.sell(1000)
    await here.refund(sale, 300)
    await here.in_order()
    connection = await connected(here.settings, "payments")
    await connection.execute("UPDATE sales SET refunded = 299")
    await connection.close()
    assert [one.subject for one in (await here.verified()).differences] == [sale.sale_id]
