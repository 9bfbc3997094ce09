"""Balances, entries and statements, as people ask for them; who may; and the command that verifies."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
from reelmesh.payments.v1 import ledger_service_pb2 as api
from reelmesh.payments.v1 import ledger_service_pb2_grpc, sales_service_pb2, sales_service_pb2_grpc
from typer.testing import CliRunner

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.payments.__main__ import CONTRACTS
from tests.payments.scene import CREATOR, PLATFORM, RECEIVABLE, T0, Books, once, refused
from tests.support.examples import so_many
from tests.support.keys import with_api_key
from tests.support.running import connected
from tools.reelmesh_cli.app import app


def statement(**changes: Any) -> api.GetStatementRequest:
    usual: dict[str, Any] = {"kind": RECEIVABLE, "owner_id": "ccbill", "currency": "EUR"}
    return api.GetStatementRequest(**(usual | changes))


async def test_a_balance_tells_its_turnover(here: Books) -> None:
    sale = await here.sell(1000)
    await here.refund(sale, 400)
    request = api.GetBalanceRequest(kind=RECEIVABLE, owner_id="ccbill", currency="EUR")
    balance = (await here.ledger.GetBalance(request)).balance
    told = (balance.minor_units, balance.debited_minor_units, balance.credited_minor_units, balance.postings)
    assert told == (600, 1000, 400, 2)
    with refused("ACCOUNT_NOT_FOUND"):
        await here.ledger.GetBalance(api.GetBalanceRequest(kind=PLATFORM, currency="USD"))


async def test_balances_come_in_pages_and_by_owner(here: Books) -> None:
    await here.sell(1000)
    seen, token = [], ""
    while True:
        answer = await here.ledger.ListBalances(api.ListBalancesRequest(page_size=2, page_token=token))
        seen += [(one.account.kind, one.account.owner_id) for one in answer.balances]
        token = answer.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 6
    of_ada = await here.ledger.ListBalances(api.ListBalancesRequest(owner_id="ada", kind=CREATOR))
    assert [one.account.owner_id for one in of_ada.balances] == ["ada"]


async def test_an_entry_shows_its_postings_and_what_it_takes_back(here: Books) -> None:
    sale = await here.sell(1000)
    refund = await here.refund(sale, 250)
    await here.sell(1)
    entry = (await here.ledger.GetEntry(api.GetEntryRequest(entry_id=refund.entry_id))).entry
    assert (entry.kind, entry.reverses_entry_id) == (api.ENTRY_KIND_REFUND, sale.entry_id)
    assert entry.reference.startswith("refund/ccbill/")
    sides = {side: sum(one.minor_units for one in entry.postings if one.direction == side) for side in (1, 2)}
    assert sides == {api.DIRECTION_DEBIT: 250, api.DIRECTION_CREDIT: 250}
    about = await here.ledger.ListEntries(api.ListEntriesRequest(entry_id=sale.entry_id))
    assert [one.entry_id for one in about.entries] == [refund.entry_id, sale.entry_id]
    of_a_kind = await here.ledger.ListEntries(api.ListEntriesRequest(kind=api.ENTRY_KIND_SALE, page_size=1))
    assert len(of_a_kind.entries) == 1
    assert of_a_kind.next_page_token
    with refused("ENTRY_NOT_FOUND"):
        await here.ledger.GetEntry(api.GetEntryRequest(entry_id=new_id("jnl")))


async def test_a_statement_goes_from_what_was_held_to_what_is_held(here: Books) -> None:
    sales = []
    for day in range(6):
        sales.append(await here.sell(100 + day))
        here.clock.advance(timedelta(days=1))
    await here.refund(sales[0])
    period = {"start_time": timestamp(T0 + timedelta(days=1)), "end_time": timestamp(T0 + timedelta(days=4))}
    answer = await here.ledger.GetStatement(statement(**period))
    assert (answer.opening_minor_units, answer.closing_minor_units) == (100, 100 + 101 + 102 + 103)
    assert (answer.debited_minor_units, answer.credited_minor_units) == (306, 0)
    assert [line.minor_units for line in answer.lines] == [101, 102, 103]
    assert answer.lines[-1].balance_minor_units == answer.closing_minor_units
    assert [line.number for line in answer.lines] == [2, 3, 4]
    seen, token = [], ""
    while True:
        part = await here.ledger.GetStatement(statement(page_size=3, page_token=token))
        assert (part.opening_minor_units, part.closing_minor_units) == (0, 515)
        seen += [line.number for line in part.lines]
        token = part.next_page_token
        if not token:
            break
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    beyond = await here.ledger.GetStatement(statement(start_time=timestamp(T0 + timedelta(days=90))))
    assert (beyond.opening_minor_units, beyond.closing_minor_units, len(beyond.lines)) == (515, 515, 0)


async def test_each_organisation_has_books_of_its_own(here: Books, other_organisation_key: str) -> None:
    sale = await here.sell(1000)
    async with connected(here.settings, "payments", *CONTRACTS, key=other_organisation_key) as channel:
        ledger = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        sales = sales_service_pb2_grpc.SalesServiceStub(channel)
        assert not (await ledger.ListEntries(api.ListEntriesRequest())).entries
        assert not (await ledger.ListBalances(api.ListBalancesRequest())).balances
        with refused("ENTRY_NOT_FOUND"):
            await ledger.GetEntry(api.GetEntryRequest(entry_id=sale.entry_id))
        with refused("ACCOUNT_NOT_FOUND"):
            await ledger.GetStatement(statement())
        with refused("SALE_NOT_FOUND"):
            await sales.GetSale(sales_service_pb2.GetSaleRequest(sale_id=sale.sale_id))
        with refused("SALE_NOT_FOUND"):
            request = sales_service_pb2.RecordRefundRequest(request_id=once(), sale_id=sale.sale_id, reference="r")
            await sales.RecordRefund(request)


async def test_who_records_may_not_reverse_and_who_reads_may_not_record(here: Books) -> None:
    sale = await here.sell(1000)
    recorder = with_api_key(here.settings, organisation_id=here.organisation_id, permissions=["payments.record"])
    with recorder as key:
        async with connected(here.settings, "payments", *CONTRACTS, key=key) as channel:
            await sales_service_pb2_grpc.SalesServiceStub(channel).RecordSale(here.order())
            with refused("PERMISSION_MISSING"):
                request = api.ReverseEntryRequest(request_id=once(), entry_id=sale.entry_id, description="no")
                await ledger_service_pb2_grpc.LedgerServiceStub(channel).ReverseEntry(request)
    with with_api_key(here.settings, organisation_id=here.organisation_id, permissions=["payments.read"]) as key:
        async with connected(here.settings, "payments", *CONTRACTS, key=key) as channel:
            await ledger_service_pb2_grpc.LedgerServiceStub(channel).ListBalances(api.ListBalancesRequest())
            with refused("PERMISSION_MISSING"):
                await sales_service_pb2_grpc.SalesServiceStub(channel).RecordSale(here.order())


async def test_64_calls_that_tell_of_one_sale_make_one(here: Books) -> None:
    """With the same request id and with others, as a processor and our own retries would."""
    order = here.order()
    calls = []
    for turn in range(64):
        copy = sales_service_pb2.RecordSaleRequest()
        copy.CopyFrom(order)
        copy.request_id = order.request_id if turn % 2 else once()
        calls.append(here.sales.RecordSale(copy, timeout=30))
    answers = await asyncio.gather(*calls)
    assert len({answer.sale.sale_id for answer in answers}) == 1
    report = await here.in_order()
    assert report.entries == 1


async def test_sales_at_once_on_the_same_accounts_lose_nothing(here: Books) -> None:
    """500 of them in `make soak`; the ordinary run has that many on one account in test_ledger.py."""
    count = so_many(100, long=500)
    await asyncio.gather(*(here.sales.RecordSale(here.order(1999), timeout=50) for _ in range(count)))
    held = await here.balances()
    assert held[RECEIVABLE, "ccbill", "EUR"] == count * 1999
    assert held[CREATOR, "ada", "EUR"] == count * 1138
    assert (await here.in_order()).entries == count


async def test_the_command_says_whether_the_books_are_in_order(here: Books) -> None:
    await here.sell(1000)
    environment = {"REELMESH_DATABASE_HOST": here.settings.database_host}

    async def run(*words: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "verify", *words], env=environment)
        return result.exit_code, result.output

    assert await run() == (
        0,
        "✓ 6 accounts, 1 entries, 6 postings: every balance is what its postings make, and every entry balances\n",
    )
    status, text = await run("--json")
    assert (status, json.loads(text)["differences"]) == (0, [])
    owner = await asyncpg.connect(
        host=here.settings.database_host, user=here.settings.database_admin, database=here.settings.database_name
    )
    await owner.execute("SET session_replication_role = replica")
    await owner.execute("UPDATE payments.balances SET credits = credits + 1 WHERE credits = 50")
    await owner.close()
    status, text = await run("--json")
    (difference,) = json.loads(text)["differences"]
    assert (status, difference["what"]) == (1, "balance")
    assert (difference["rebuilt"], difference["kept"]) == (
        "debits 0, credits 50, postings 1",
        "debits 0, credits 51, postings 1",
    )
    status, text = await run()
    assert status == 1
    assert "balance acc_" in text


async def test_the_command_says_when_there_is_no_database(here: Books) -> None:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "verify", "--data", "/nowhere"])
    assert result.exit_code == 4
