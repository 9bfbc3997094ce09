"""Invoices: numbers without gaps, contents that stay as they were, and pages that can be read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any

import asyncpg
from reelmesh.payments.v1 import events_pb2
from reelmesh.payments.v1 import invoices_service_pb2 as api

from services.kit.ids import new_id
from services.kit.lettering import markup
from services.kit.right_to_left import as_seen
from services.payments.invoices.domain import Content, Party, TaxLine
from services.payments.invoices.drawing import drawn
from tests.payments.desk import Desk
from tests.payments.scene import money, once, refused, rental

SELLER = api.Party(name="Kinowerk GmbH", address_lines=["Torstraße 140", "10119 Berlin"], tax_number="DE 123456789")


async def begin(own: Desk) -> None:
    await own.invoices.SetInvoiceIssuer(api.SetInvoiceIssuerRequest(request_id=once(), seller=SELLER, footer="HRB 1"))


async def listed(own: Desk) -> list[api.Invoice]:
    """All invoices, oldest first."""
    return list(reversed((await own.invoices.ListInvoices(api.ListInvoicesRequest(page_size=200))).invoices))


async def issued(own: Desk, count: int) -> list[api.Invoice]:
    """All invoices, once there are so many."""
    async with asyncio.timeout(60):
        while len(found := await listed(own)) < count:
            await asyncio.sleep(0.05)
    assert len(found) == count
    return found


async def test_every_sale_has_its_invoice_and_what_goes_back_its_credit_note(own_desk: Desk) -> None:
    await own_desk.books.divide_by(platform_basis_points=0, tax_basis_points=1900, fee_basis_points=0)
    await begin(own_desk)
    asset_id = new_id("ast")
    sale = await own_desk.books.sell(1190, viewer_id="viewer-1", grant=rental(asset_id=asset_id))
    (invoice,) = await issued(own_desk, 1)
    year = own_desk.clock.now().year
    assert (invoice.number, invoice.credit_note) == (f"INV-{year}-000001", False)
    assert (invoice.gross, invoice.tax_minor_units) == (money(1190), 190)
    assert (invoice.entry_id, invoice.viewer_id, invoice.asset_id) == (sale.entry_id, "viewer-1", asset_id)
    refund = await own_desk.books.refund(sale, 595)
    _, note = await issued(own_desk, 2)
    assert (note.number, note.credit_note, note.corrects_invoice_id) == (
        f"CRN-{year}-000001",
        True,
        invoice.invoice_id,
    )
    assert (note.gross, note.tax_minor_units, note.entry_id) == (money(595), 95, refund.entry_id)
    await own_desk.books.charge_back(sale)  # a dispute, of which no invoice tells
    await own_desk.books.reverse(refund.entry_id)
    *_, again = await issued(own_desk, 3)
    assert (again.number, again.gross, again.credit_note) == (f"INV-{year}-000002", money(595), False)
    mistake = await own_desk.books.sell(500)
    await own_desk.books.reverse(mistake.entry_id)
    *_, third, cancelled = await issued(own_desk, 5)
    assert (third.gross, cancelled.gross, cancelled.credit_note) == (money(500), money(500), True)
    assert cancelled.corrects_invoice_id == third.invoice_id


async def test_numbers_have_no_gaps_whoever_issues_and_start_anew_each_year(own_desk: Desk) -> None:
    sales = await asyncio.gather(*(own_desk.books.sell(100 + turn) for turn in range(12)))
    with refused("INVOICE_ISSUER_MISSING"):
        await own_desk.invoices.IssueInvoice(api.IssueInvoiceRequest(sale_id=sales[0].sale_id))
    await begin(own_desk)
    requests = [api.IssueInvoiceRequest(sale_id=sale.sale_id) for sale in sales for _ in range(2)]
    answers = await asyncio.gather(*(own_desk.invoices.IssueInvoice(request) for request in requests))
    assert [one.invoice for one in answers[::2]] == [one.invoice for one in answers[1::2]]
    year = own_desk.clock.now().year
    assert sorted(one.number for one in await issued(own_desk, 12)) == [f"INV-{year}-{n:06}" for n in range(1, 13)]
    await own_desk.wait(40)
    assert own_desk.clock.now().year == year + 1
    await own_desk.books.sell(100)
    assert (await issued(own_desk, 13))[-1].number == f"INV-{year + 1}-000001"


async def test_what_stands_on_an_invoice_stays(own_desk: Desk) -> None:
    await begin(own_desk)
    await own_desk.books.sell(1000)
    (invoice,) = await issued(own_desk, 1)
    request = api.GetInvoiceFileRequest(invoice_id=invoice.invoice_id)
    before = (await own_desk.invoices.GetInvoiceFile(request)).file
    assert before.content_type == "application/pdf"
    assert before.data.startswith(b"%PDF-1.")
    other = api.Party(name="Other Ltd")
    await own_desk.invoices.SetInvoiceIssuer(api.SetInvoiceIssuerRequest(request_id=once(), seller=other))
    assert (await own_desk.invoices.GetInvoiceFile(request)).file == before
    with refused("INVOICE_NOT_FOUND"):
        await own_desk.invoices.GetInvoiceFile(api.GetInvoiceFileRequest(invoice_id=new_id("inv")))
    settings = own_desk.office.settings
    connection = await asyncpg.connect(host=settings.database_host, user="payments", database=settings.database_name)
    kept = await connection.fetchval(
        "SELECT content ->> 'seller' FROM payments.invoices WHERE invoice_id = $1", invoice.invoice_id
    )
    await connection.close()
    assert "Kinowerk GmbH" in kept


async def test_an_event_about_what_went_back_may_come_first(own_desk: Desk) -> None:
    """Events come in any order: what a credit note takes back of is written first."""
    sale = await own_desk.books.sell(1000)
    refund = await own_desk.books.refund(sale, 400)
    await begin(own_desk)
    event = events_pb2.RefundRecorded(organisation_id=own_desk.organisation_id, entry_id=refund.entry_id)
    await own_desk.books.bus.publish(event)
    invoice, note = await issued(own_desk, 2)
    assert (invoice.entry_id, note.corrects_invoice_id) == (sale.entry_id, invoice.invoice_id)


CONTENT = Content(
    number="INV-2026-000017",
    credit_note=False,
    corrects="",
    seller=Party("Kinowerk GmbH", ("Torstraße 140", "10119 Berlin"), "DE 123456789"),
    footer="HRB 12345",
    buyer=Party("Αλέξανδρος <Παπαδόπουλος> & Жанна"),
    issue_date=date(2026, 11, 28),
    supply_date=date(2026, 11, 27),
    currency="EUR",
    gross=1190,
    taxes=(TaxLine("DE", "MwSt.", 190000, 190),),
    kind=3,
    asset_id="ast_1",
    paid_by="ccbill 1",
)


def test_names_in_any_script_can_be_drawn() -> None:
    names = ["Łukasz Żółć", "Жанна д’Арк", "محمد رضایی", "שלום כהן", "山田太郎", "김철수", "王小明", "<b>&", "", "😀"]
    for name in names:
        page: Any = drawn(replace(CONTENT, buyer=Party(name, (name, name))))
        assert page.startswith(b"%PDF-1.")
        assert b"DejaVuSans" in page, "the font is in the file"
        assert b"/FontFile2" in page
    assert drawn(CONTENT) == drawn(CONTENT)
    assert Content.from_json(CONTENT.as_json()) == CONTENT


def test_each_letter_is_set_in_a_font_that_has_it() -> None:
    assert markup("Ada <x> & Жанна") == "Ada &lt;x&gt; &amp; Жанна"
    assert markup("山田 Ada") == '<font face="STSong-Light">山田</font> Ada'
    assert "HeiseiKakuGo-W5" in markup("山田さん")
    assert "HYGothic-Medium" in markup("김철수")


def test_what_reads_from_right_to_left_is_turned_round_and_joined() -> None:
    assert as_seen("Ada Lovelace 12") == "Ada Lovelace 12"
    assert as_seen("שלום") == "םולש"
    assert as_seen("רחוב הרצל 12") == "12 לצרה בוחר"
    assert as_seen("Levi (לוי) 5") == "Levi (יול) 5"
    # lam and alef become one; the others take the forms that they have beside their neighbours
    assert as_seen("سلام") == "\ufee1\ufefc\ufeb3"
    assert as_seen("محمد") == "\ufeaa\ufee4\ufea4\ufee3"
