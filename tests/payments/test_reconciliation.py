"""Reconciliation: the processors' reports beside the ledger, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from reelmesh.payments.v1 import events_pb2
from reelmesh.payments.v1 import reconciliation_service_pb2 as api
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.payments.reconciliation.domain import Difference, Transaction, compared
from services.payments.reconciliation.reconciling import DailyReconciliation, Reconciling
from services.payments.reconciliation.stand_in_reports import StandInReports
from tests.payments.desk import Desk
from tests.payments.scene import money, refused
from tests.support.http_server import serving
from tools.stand_in_processor.books import Books

HEAD = "kind,reference,minor_units,currency,fee_minor_units"


async def imported(own: Desk, *lines: str, day: date | None = None, processor: str = "ccbill") -> Any:
    when = (day or own.clock.now().date()).isoformat()
    content = "\r\n".join([HEAD, *lines, ""]).encode()
    request = api.ImportProcessorReportRequest(processor=processor, report_date=when, csv=content)
    return await own.reconciliation.ImportProcessorReport(request)


async def cases(own: Desk, state: int = 0) -> dict[tuple[str, str], Any]:
    """Cases by what differs and by reference."""
    request = api.ListReconciliationCasesRequest(state=api.ReconciliationCaseState.ValueType(state), page_size=200)
    found = (await own.reconciliation.ListReconciliationCases(request)).cases
    name = api.ReconciliationDifference.Name
    return {
        (name(one.difference).removeprefix("RECONCILIATION_DIFFERENCE_"), one.reference.rpartition("/")[2]): one
        for one in found
    }


async def sold(own: Desk, reference: str, minor_units: int = 1000, currency: str = "EUR", fee: int = 50) -> Any:
    return await own.books.sell(minor_units, currency, reference=reference, fee=money(fee, currency))


async def test_what_is_the_same_is_no_case(own_desk: Desk) -> None:
    sale = await sold(own_desk, "s1")
    await own_desk.books.refund(sale, 300, reference="r1")
    await own_desk.books.charge_back(sale, 200, reference="c1")
    answer = await imported(own_desk, "sale,s1,1000,EUR,50", "refund,r1,300,EUR,", "chargeback,c1,700,EUR,")
    assert (answer.transactions, answer.matched, answer.open_cases) == (3, 3, 0)
    assert await cases(own_desk) == {}


async def test_each_difference_is_a_case_of_its_own(own_desk: Desk) -> None:
    for reference in ("amount", "currency", "fee", "twice", "ours"):
        await sold(own_desk, reference)
    lines = (
        "sale,amount,999,EUR,50",
        "sale,currency,1000,USD,50",
        "sale,fee,1000,EUR,51",
        "sale,twice,1000,EUR,50",
        "sale,twice,1000,EUR,50",
        "sale,theirs,400,EUR,20",
    )
    answer = await imported(own_desk, *lines)
    assert (answer.transactions, answer.matched, answer.open_cases) == (6, 1, 6)
    found = await cases(own_desk)
    assert set(found) == {
        ("AMOUNT", "amount"),
        ("CURRENCY", "currency"),
        ("FEE", "fee"),
        ("DUPLICATE", "twice"),
        ("MISSING_HERE", "theirs"),
        ("MISSING_THERE", "ours"),
    }
    fee = found["FEE", "fee"]
    assert (fee.ours, fee.theirs) == ("10.00 EUR, fee 0.50", "10.00 EUR, fee 0.51")
    assert found["MISSING_THERE", "ours"].theirs == ""
    again = await imported(own_desk, *reversed(lines))
    assert (again, len(await cases(own_desk))) == (answer, 6)
    event = await own_desk.books.bus.hears(events_pb2.ReconciliationCaseOpened)
    assert event.processor == "ccbill"


async def test_a_case_is_none_any_more_once_both_agree_and_one_again_when_they_do_not(own_desk: Desk) -> None:
    await imported(own_desk, "sale,s1,1000,EUR,50")
    assert set(await cases(own_desk, api.RECONCILIATION_CASE_STATE_OPEN)) == {("MISSING_HERE", "s1")}
    sale = await sold(own_desk, "s1")
    assert (await imported(own_desk, "sale,s1,1000,EUR,50")).open_cases == 0
    (case,) = (await cases(own_desk)).values()
    assert (case.state, case.resolver) == (api.RECONCILIATION_CASE_STATE_RESOLVED, "")
    await own_desk.books.reverse(sale.entry_id)
    assert (await imported(own_desk, "sale,s1,1000,EUR,50")).open_cases == 1
    (case,) = (await cases(own_desk)).values()
    assert case.state == api.RECONCILIATION_CASE_STATE_OPEN


async def test_around_midnight_the_next_days_report_settles_it(own_desk: Desk) -> None:
    today = own_desk.clock.now().date()
    await sold(own_desk, "late")
    await imported(own_desk, day=today)
    assert set(await cases(own_desk, api.RECONCILIATION_CASE_STATE_OPEN)) == {("MISSING_THERE", "late")}
    await own_desk.wait(1)
    await imported(own_desk, "sale,late,1000,EUR,50", day=today + timedelta(days=1))
    assert await cases(own_desk, api.RECONCILIATION_CASE_STATE_OPEN) == {}
    await imported(own_desk, day=today)
    assert await cases(own_desk, api.RECONCILIATION_CASE_STATE_OPEN) == {}


async def test_somebody_says_why_or_by_what_it_was_mended(own_desk: Desk) -> None:
    await imported(own_desk, "sale,s1,1000,EUR,", "sale,s2,1000,EUR,")
    found = await cases(own_desk)
    s1, s2 = (found["MISSING_HERE", reference].case_id for reference in ("s1", "s2"))
    explain = api.ResolveReconciliationCaseRequest(case_id=s1, note="a test of the processor's")
    case = (await own_desk.reconciliation.ResolveReconciliationCase(explain)).case
    assert (case.state, case.resolver) == (api.RECONCILIATION_CASE_STATE_EXPLAINED, "ann")
    assert (await own_desk.reconciliation.ResolveReconciliationCase(explain)).case == case
    sale = await sold(own_desk, "s2")
    mend = api.ResolveReconciliationCaseRequest(case_id=s2, note="recorded by hand", entry_id=sale.entry_id)
    assert (await own_desk.reconciliation.ResolveReconciliationCase(mend)).case.entry_id == sale.entry_id
    mend.note = "otherwise"
    with refused("CASE_WRONG_STATE"):
        await own_desk.reconciliation.ResolveReconciliationCase(mend)
    mend.case_id, mend.entry_id = s1, new_id("jnl")
    with refused("ENTRY_NOT_FOUND"):
        await own_desk.reconciliation.ResolveReconciliationCase(mend)
    with refused("CASE_NOT_FOUND"):
        await own_desk.reconciliation.ResolveReconciliationCase(
            api.ResolveReconciliationCaseRequest(case_id=new_id("rcs"), note="x")
        )
    assert (await imported(own_desk, "sale,s1,1000,EUR,", "sale,s2,1000,EUR,")).open_cases == 0


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "1"),
        (b"\xff\xfe", "1"),
        (b"reference,kind\r\n", "1"),
        (f"{HEAD}\nsale,s1,1000,EUR".encode(), "2"),
        (f"{HEAD}\nsale,s1,1000,EUR,\ntip,s1,1000,EUR,".encode(), "3"),
        (f"{HEAD}\nsale,s1,10.00,EUR,".encode(), "2"),
        (f"{HEAD}\nsale,s1,-1,EUR,".encode(), "2"),
        (f"{HEAD}\nsale,s1,0,EUR,".encode(), "2"),
        (f"{HEAD}\nsale,s1,٣,EUR,".encode(), "2"),
        (f"{HEAD}\nsale,s1,9999999999999999,EUR,".encode(), "2"),
        (f"{HEAD}\nsale,s1,1000,XXX,".encode(), "2"),
        (f"{HEAD}\nsale,,1000,EUR,".encode(), "2"),
        (f'{HEAD}\nsale,"s1,1000,EUR,'.encode(), "2"),
    ],
)
async def test_a_report_that_cannot_be_read_is_refused(own_desk: Desk, content: bytes, line: str) -> None:
    request = api.ImportProcessorReportRequest(
        processor="ccbill", report_date=own_desk.clock.now().date().isoformat(), csv=content
    )
    with refused("PROCESSOR_REPORT_INVALID") as caught:
        await own_desk.reconciliation.ImportProcessorReport(request)
    assert caught[0].metadata["line"] == line


@pytest.mark.parametrize("day", ["2026-02-30", "2999-01-01"])
async def test_there_is_such_a_day_and_it_has_come(own_desk: Desk, day: str) -> None:
    with refused("PERIOD_INVALID"):
        await own_desk.reconciliation.ImportProcessorReport(
            api.ImportProcessorReportRequest(processor="ccbill", report_date=day, csv=HEAD.encode())
        )


@dataclass
class Source:
    """A processor's reports, by day."""

    days: dict[date, Sequence[Transaction]] = field(default_factory=dict)
    asked: list[date] = field(default_factory=list)

    async def transactions(self, organisation_id: str, report_date: date) -> Sequence[Transaction] | None:
        self.asked.append(report_date)
        return self.days.get(report_date)


async def test_every_day_that_has_ended_is_compared_once(own_desk: Desk) -> None:
    processor = "daily"
    first = own_desk.clock.now().date()
    await own_desk.books.sell(
        1000, processor=processor, reference="s1", sell_time=timestamp(own_desk.clock.now()), fee=money(0)
    )
    source = Source({first: [Transaction(f"sale/{processor}/s1", 1000, "EUR", 0)]})
    office = own_desk.office
    daily = DailyReconciliation(office.database, office.clock, Reconciling(office.clock), {processor: source})
    await own_desk.wait(0.7)  # at night, before reports are there
    assert await daily.once() == 0
    await own_desk.wait(0.5)
    source.asked.clear()
    assert await daily.once() == 1
    assert source.asked == [first]
    assert await daily.once() == 0
    await own_desk.wait(3)
    source.days |= {first + timedelta(days=days): [] for days in (1, 2, 3)}
    assert await daily.once() == 3
    assert await cases(own_desk) == {}
    await own_desk.wait(30)
    source.days = {first + timedelta(days=days): [] for days in range(60)}
    assert await daily.once() == 7, "no more than a week is caught up on"


async def test_a_source_that_is_away_holds_up_no_other(own_desk: Desk) -> None:
    class Away(Source):
        async def transactions(self, organisation_id: str, report_date: date) -> Sequence[Transaction] | None:
            self.asked.append(report_date)
            raise httpx.ConnectError("away")

    sold = timestamp(own_desk.clock.now())
    for processor in ("aa", "zz"):
        await own_desk.books.sell(1000, processor=processor, reference="s1", sell_time=sold, fee=money(0))
    day, office, away = own_desk.clock.now().date(), own_desk.office, Away()
    there = Source({day: [Transaction("sale/zz/s1", 1000, "EUR", 0)]})
    sources = {"aa": away, "zz": there}
    await own_desk.wait(1.2)
    assert await DailyReconciliation(office.database, office.clock, Reconciling(office.clock), sources).once() == 1
    assert away.asked == there.asked == [day]


async def test_merchants_that_share_a_key_get_reports_of_their_own(tmp_path: Path) -> None:
    books = Books(tmp_path / "books.sqlite")
    for name in ("one", "other"):
        asked = {
            "checkout_id": name,
            "minor_units": 5,
            "currency": "EUR",
            "title": "",
            "return_url": "",
            "cancel_url": "",
        }
        books.approve(books.open_page({**asked, "notify_url": f"https://reelmesh.example/webhooks/stand_in/{name}"}))
    today = datetime.now(UTC).date()
    (made,) = books.report(today, "https://reelmesh.example/webhooks/stand_in/one")
    assert made["checkout_id"] == "one"
    assert len(books.report(today)) == 2
    books.close()


async def test_the_stand_in_is_asked_for_its_report_of_a_day() -> None:
    asked = []
    made = [
        {"id": "tx_1", "kind": "sale", "minor_units": 500, "currency": "EUR"},
        {"id": "tx_2", "kind": "charge", "minor_units": 600, "currency": "EUR"},
        {"id": "tx_3", "kind": "refund", "minor_units": 100, "currency": "EUR"},
    ]

    async def report(request: Request) -> JSONResponse:
        asked.append((request.path_params["day"], request.headers["authorization"], request.query_params["notify_url"]))
        return JSONResponse({"date": request.path_params["day"], "transactions": made})

    async with serving(Starlette(routes=[Route("/v1/reports/{day}", report)])) as url, httpx.AsyncClient() as http:

        async def accounts_of(organisation_id: str) -> list[tuple[str, str]]:
            return [("key", "https://reelmesh.example/webhooks/stand_in/main")] if organisation_id == "org_1" else []

        source = StandInReports(http, url, accounts_of)
        found = await source.transactions("org_1", date(2026, 11, 27))
        assert found == [
            Transaction("sale/stand_in/tx_1", 500, "EUR"),
            Transaction("sale/stand_in/tx_2", 600, "EUR"),
            Transaction("refund/stand_in/tx_3", 100, "EUR"),
        ]
        assert await source.transactions("org_2", date(2026, 11, 27)) is None
    assert asked == [("2026-11-27", "Bearer key", "https://reelmesh.example/webhooks/stand_in/main")]


def test_nothing_is_reported_missing_that_another_days_report_has() -> None:
    mine = Transaction("sale/x/1", 5, "EUR")
    assert compared([], {}, [mine], frozenset({mine.reference})).findings == ()
    (finding,) = compared([], {}, [mine], frozenset()).findings
    assert finding.difference is Difference.MISSING_THERE
