"""Revenue reports, held against what was done."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest
from reelmesh.payments.v1 import events_pb2, sales_service_pb2
from reelmesh.payments.v1 import reports_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.ids import new_id
from tests.payments.desk import Desk, Office, desk
from tests.payments.scene import CREATOR, PLATFORM, RESERVE, refused, rental

DAY, MONTH = api.REVENUE_DIVISION_DAY, api.REVENUE_DIVISION_MONTH
ASSET, KIND = api.REVENUE_DIVISION_ASSET, api.REVENUE_DIVISION_KIND


def period(own: Desk, *divisions: int, **changes: Any) -> dict[str, Any]:
    now = own.clock.now()
    usual = {
        "start_time": timestamp(now - timedelta(days=400)),
        "end_time": timestamp(now + timedelta(days=1)),
        "divisions": divisions,
    }
    return usual | changes


async def rows(own: Desk, *divisions: int, **changes: Any) -> list[api.RevenueRow]:
    request = api.GetRevenueReportRequest(**period(own, *divisions, **changes))
    return list((await own.reports.GetRevenueReport(request)).rows)


def amounts(row: api.RevenueRow) -> dict[str, int]:
    return {
        field.name.removesuffix("_minor_units"): getattr(row, field.name)
        for field in row.DESCRIPTOR.fields
        if field.name.endswith("_minor_units") and getattr(row, field.name)
    } | {"sales": row.sales}


USUAL = {
    "platform_basis_points": 2000,
    "tax_basis_points": 1900,
    "fee_basis_points": 500,
    "reserve_basis_points": 1000,
}


async def test_a_report_tells_what_is_in_the_books(shared_office: Office) -> None:
    async with desk(shared_office, "", **USUAL) as own:
        sale = await own.books.sell(1999)
        (row,) = await rows(own)
        assert amounts(row) == {
            "sales": 1,
            "gross": 1999,
            "tax": 319,
            "fees": 100,
            "net": 1580,
            "platform": 316,
            "earnings": 1264,
        }
        refund = await own.books.refund(sale, 999)
        charged = await own.books.charge_back(sale, 1500)
        (row,) = await rows(own)
        assert (row.refunds_minor_units, row.chargebacks_minor_units) == (999, 1000)
        assert row.net_minor_units == -1500
        held = await own.books.balances()
        assert row.platform_minor_units == held[PLATFORM, "", "EUR"]
        assert row.fees_minor_units == 1500
        await own.books.win(sale, charged.entry_id)
        await own.books.reverse(refund.entry_id)
        (row,) = await rows(own)
        assert (row.refunds_minor_units, row.chargebacks_minor_units) == (0, 0)
        held = await own.books.balances()
        earned = held[CREATOR, "ada", "EUR"] + held[RESERVE, "ada", "EUR"]
        assert (row.earnings_minor_units, row.platform_minor_units) == (earned, held[PLATFORM, "", "EUR"])
        assert row.net_minor_units == row.earnings_minor_units + row.platform_minor_units


async def test_a_sale_that_was_a_mistake_is_none(own_desk: Desk) -> None:
    sale = await own_desk.books.sell(1000)
    await own_desk.books.sell(500)
    await own_desk.books.reverse(sale.entry_id)
    (row,) = await rows(own_desk)
    assert amounts(row) == {"sales": 1, "gross": 500, "net": 500, "earnings": 500}


async def test_payouts_and_reserves_are_no_revenue(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(8)
    await own_desk.approved()
    (row,) = await rows(own_desk)
    assert amounts(row) == {"sales": 1, "gross": 1000, "net": 1000, "earnings": 1000}


async def test_rows_are_divided_by_period_asset_kind_and_always_by_currency(own_desk: Desk) -> None:
    films = [new_id("ast") for _ in range(2)]
    months = set()
    for asset_id, currency in zip((*films, films[0], ""), ("EUR", "EUR", "EUR", "JPY"), strict=True):
        granted = rental(asset_id=asset_id) if asset_id else None
        changes = {"viewer_id": "viewer-1", "grant": granted} if granted else {}
        await own_desk.books.sell(1000, currency, **changes)
        months.add(own_desk.clock.now().strftime("%Y-%m"))
        await own_desk.wait(20)
    by_asset = {(row.currency, row.asset_id): row.gross_minor_units for row in await rows(own_desk, ASSET)}
    assert by_asset == {("EUR", films[0]): 2000, ("EUR", films[1]): 1000, ("JPY", ""): 1000}
    assert {row.period for row in await rows(own_desk, MONTH)} == months
    assert len(await rows(own_desk, DAY)) == 4
    kinds = {row.kind: row.sales for row in await rows(own_desk, KIND)}
    assert kinds == {events_pb2.ENTITLEMENT_KIND_RENTAL: 3, events_pb2.ENTITLEMENT_KIND_UNSPECIFIED: 1}
    with refused("PERIOD_INVALID"):
        await rows(own_desk, DAY, MONTH)


async def test_as_of_a_moment_the_books_are_what_they_were(own_desk: Desk) -> None:
    sale = await own_desk.books.sell(1000)
    then = timestamp(own_desk.clock.now())
    before = await rows(own_desk, book_time=then)
    span = {
        "start_time": timestamp(own_desk.clock.now() - timedelta(days=1)),
        "end_time": timestamp(own_desk.clock.now() + timedelta(days=90)),
    }
    await own_desk.wait(1)
    await own_desk.books.refund(sale)
    await own_desk.books.sell(700, sell_time=then)  # told late
    assert await rows(own_desk, book_time=then, **span) == before
    (now,) = await rows(own_desk, **span)
    assert (now.gross_minor_units, now.refunds_minor_units) == (1700, 1000)


async def test_of_a_creator_only_theirs(own_desk: Desk) -> None:
    both = [sales_service_pb2.CreatorShare(creator_id=who, weight=weight) for who, weight in (("ada", 3), ("ben", 1))]
    await own_desk.books.sell(1000, creators=both)
    await own_desk.earn(500, "ben")
    (row,) = await rows(own_desk, creator_id="ada")
    assert (row.gross_minor_units, row.earnings_minor_units) == (1000, 750)
    (row,) = await rows(own_desk, creator_id="ben")
    assert (row.gross_minor_units, row.earnings_minor_units) == (1500, 750)
    assert await rows(own_desk, creator_id="cyd") == []


async def test_the_table_says_the_same_in_decimals(own_desk: Desk) -> None:
    await own_desk.books.sell(123456, viewer_id="viewer-1", grant=rental())
    await own_desk.books.sell(1000, "JPY")
    request = api.GetRevenueFileRequest(**period(own_desk, KIND))
    file = (await own_desk.reports.GetRevenueFile(request)).file
    assert file.content_type == "text/csv; charset=utf-8"
    first, second = csv.DictReader(file.data.decode().splitlines())
    assert (first["currency"], first["kind"], first["gross"], first["refunds"]) == ("EUR", "RENTAL", "1234.56", "0.00")
    assert (second["currency"], second["gross"], second["sales"]) == ("JPY", "1000", "1")


@pytest.mark.parametrize("field", ["end_time", "book_time", "too_long"])
async def test_a_period_that_is_none_is_refused(own_desk: Desk, field: str) -> None:
    now = own_desk.clock.now()
    changes: dict[str, Any] = {
        "end_time": {"end_time": timestamp(now - timedelta(days=500))},
        "book_time": {"book_time": timestamp(now + timedelta(days=1))},
        "too_long": {"start_time": timestamp(now - timedelta(days=2000))},
    }[field]
    with refused("PERIOD_INVALID"):
        await rows(own_desk, **changes)
