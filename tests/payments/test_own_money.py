"""What people see of their own: creators their revenue, buyers their invoices; and nothing of anybody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from reelmesh.payments.v1 import invoices_service_pb2 as invoices
from reelmesh.payments.v1 import invoices_service_pb2_grpc, reports_service_pb2_grpc
from reelmesh.payments.v1 import reports_service_pb2 as reports

from services.kit.clock import timestamp
from services.kit.settings import ProcessSettings
from services.payments.__main__ import CONTRACTS
from tests.identity.organisation import Home
from tests.identity.scene import Person, a_scene
from tests.payments.desk import Desk, desk, office
from tests.payments.scene import once, refused
from tests.support.running import connected

if TYPE_CHECKING:
    Invoices = invoices_service_pb2_grpc.InvoicesServiceAsyncStub
    Reports = reports_service_pb2_grpc.ReportsServiceAsyncStub


@dataclass
class Town:
    """The home organisation's desk, and people who have signed in."""

    home: Home
    desk: Desk
    invoices: Invoices
    reports: Reports

    def period(self, **changes: Any) -> dict[str, Any]:
        now = self.desk.clock.now()
        usual = {
            "start_time": timestamp(now - timedelta(days=1)),
            "end_time": timestamp(now + timedelta(days=1)),
        }
        return usual | changes

    async def earned(self, person: Person, **changes: Any) -> dict[str, int]:
        """What a person earned by currency, as they see it."""
        request = reports.GetOwnRevenueReportRequest(**self.period(**changes))
        answer = await self.reports.GetOwnRevenueReport(request, metadata=person.shown)
        return {row.currency: row.earnings_minor_units for row in answer.rows}


@pytest.fixture(scope="module")
async def town(session_stores: ProcessSettings) -> AsyncIterator[Town]:
    async with (
        a_scene(session_stores) as scene,
        office(session_stores, scene.clock) as where,
        desk(where, scene.home) as own,
        connected(session_stores, "payments", *CONTRACTS, key="") as channel,
    ):
        yield Town(
            Home(scene),
            own,
            invoices_service_pb2_grpc.InvoicesServiceStub(channel),
            reports_service_pb2_grpc.ReportsServiceStub(channel),
        )


async def test_a_creator_sees_their_own_revenue_and_nobody_elses(town: Town) -> None:
    ada, ben = await town.home.somebody("creator"), await town.home.somebody("creator")
    await town.desk.earn(1000, ada.account.account_id)
    await town.desk.earn(300, "studio-7")
    assert await town.earned(ada) == {"EUR": 1000}
    assert await town.earned(ben) == {}
    with refused("NOT_OWN_REVENUE"):
        await town.earned(ben, creator_id=ada.account.account_id)
    with refused("NOT_OWN_REVENUE"):
        await town.earned(ben, creator_id="studio-7")
    await town.desk.payee("studio-7", account_id=ben.account.account_id)
    assert await town.earned(ben) == {"EUR": 300}
    request = reports.GetOwnRevenueFileRequest(**town.period())
    file = (await town.reports.GetOwnRevenueFile(request, metadata=ben.shown)).file
    assert file.data.decode().splitlines()[1].endswith(",3.00")
    await town.desk.payee("studio-8", account_id=ben.account.account_id)
    with refused("NOT_OWN_REVENUE"):
        await town.earned(ben)
    assert await town.earned(ben, creator_id="studio-7") == {"EUR": 300}
    await town.desk.payee("studio-7", account_id=ada.account.account_id)
    with refused("NOT_OWN_REVENUE"):
        await town.earned(ben, creator_id="studio-7")
    with refused("PERMISSION_MISSING"):
        await town.reports.GetRevenueReport(reports.GetRevenueReportRequest(**town.period()), metadata=ben.shown)


async def test_a_buyer_has_their_invoices_in_their_name_and_nobody_elses(town: Town) -> None:
    seller = invoices.Party(name="Kinowerk GmbH")
    await town.desk.invoices.SetInvoiceIssuer(invoices.SetInvoiceIssuerRequest(request_id=once(), seller=seller))
    eve, mallory = await town.home.somebody("viewer"), await town.home.somebody("viewer")
    buyer = invoices.Party(name="Έβα\nΠαπαδοπούλου", address_lines=["Οδός 1", " "])
    await town.invoices.SetOwnBillingDetails(invoices.SetOwnBillingDetailsRequest(buyer=buyer), metadata=eve.shown)
    await town.desk.books.sell(1000, viewer_id=eve.account.account_id)
    found: list[invoices.Invoice] = []
    async with asyncio.timeout(60):
        while not found:
            answer = await town.invoices.ListOwnInvoices(invoices.ListOwnInvoicesRequest(), metadata=eve.shown)
            found = list(answer.invoices)
            await asyncio.sleep(0.05)
    request = invoices.GetOwnInvoiceFileRequest(invoice_id=found[0].invoice_id)
    file = (await town.invoices.GetOwnInvoiceFile(request, metadata=eve.shown)).file
    assert (file.content_type, file.data[:5]) == ("application/pdf", b"%PDF-")
    answer = await town.invoices.ListOwnInvoices(invoices.ListOwnInvoicesRequest(), metadata=mallory.shown)
    assert list(answer.invoices) == []
    with refused("INVOICE_NOT_FOUND"):
        await town.invoices.GetOwnInvoiceFile(request, metadata=mallory.shown)
    with refused("PERMISSION_MISSING"):
        await town.desk.invoices.ListOwnInvoices(invoices.ListOwnInvoicesRequest())
    with refused("PERMISSION_MISSING"):
        await town.invoices.GetInvoiceFile(
            invoices.GetInvoiceFileRequest(invoice_id=found[0].invoice_id), metadata=eve.shown
        )
