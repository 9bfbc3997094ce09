"""The invoices contract."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.payments.v1 import events_pb2, invoices_service_pb2_grpc, payments_pb2
from reelmesh.payments.v1 import invoices_service_pb2 as api

from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.invoices import store
from services.payments.invoices.domain import CREDIT_NOTES, Content, Invoice, Party, printable
from services.payments.invoices.issuing import Issuing

Context = grpc.aio.ServicerContext[Any, Any]


class InvoicesRpc(invoices_service_pb2_grpc.InvoicesServiceServicer):
    """Shows the caller's organisation's invoices; to buyers, their own."""

    def __init__(self, database: Database, clock: Clock, issuing: Issuing) -> None:
        self._database = database
        self._clock = clock
        self._issuing = issuing

    async def SetInvoiceIssuer(
        self, request: api.SetInvoiceIssuerRequest, context: Context
    ) -> api.SetInvoiceIssuerResponse:
        """Says who sells."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        seller = _party(request.seller, "seller")
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.SetInvoiceIssuerResponse):
                return earlier
            await store.lock(tx, organisation_id)
            await store.put_issuer(tx, organisation_id, seller, printable(request.footer), now)
            answer = api.SetInvoiceIssuerResponse(change_time=timestamp(now))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def IssueInvoice(self, request: api.IssueInvoiceRequest, context: Context) -> api.IssueInvoiceResponse:
        """Issues what was not issued of a sale."""
        async with self._database.transaction() as tx:
            invoice = await self._issuing.of_sale(tx, current_call().organisation_id, request.sale_id)
        return api.IssueInvoiceResponse(invoice=_resource(invoice))

    async def ListInvoices(self, request: api.ListInvoicesRequest, context: Context) -> api.ListInvoicesResponse:
        """The organisation's invoices."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.viewer_id, part)
        shown = found[: part.size]
        return api.ListInvoicesResponse(
            invoices=[_resource(invoice) for invoice in shown],
            next_page_token=part.next_token(shown[-1].invoice_id) if len(found) > part.size else "",
        )

    async def GetInvoiceFile(self, request: api.GetInvoiceFileRequest, context: Context) -> api.GetInvoiceFileResponse:
        """An invoice as PDF."""
        return api.GetInvoiceFileResponse(file=await self._file(request.invoice_id))

    async def SetOwnBillingDetails(
        self, request: api.SetOwnBillingDetailsRequest, context: Context
    ) -> api.SetOwnBillingDetailsResponse:
        """Says what stands on the caller's invoices."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        buyer, viewer_id = _party(request.buyer, "buyer"), _account_id()
        async with self._database.transaction() as tx:
            await store.lock(tx, organisation_id)
            if await store.buyer(tx, organisation_id, viewer_id) != buyer:
                await store.put_buyer(tx, organisation_id, viewer_id, buyer, now)
        return api.SetOwnBillingDetailsResponse(change_time=timestamp(now))

    async def ListOwnInvoices(
        self, request: api.ListOwnInvoicesRequest, context: Context
    ) -> api.ListOwnInvoicesResponse:
        """The caller's billing history."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, _account_id(), part)
        shown = found[: part.size]
        return api.ListOwnInvoicesResponse(
            invoices=[_resource(invoice) for invoice in shown],
            next_page_token=part.next_token(shown[-1].invoice_id) if len(found) > part.size else "",
        )

    async def GetOwnInvoiceFile(
        self, request: api.GetOwnInvoiceFileRequest, context: Context
    ) -> api.GetOwnInvoiceFileResponse:
        """An invoice of the caller's own as PDF."""
        return api.GetOwnInvoiceFileResponse(file=await self._file(request.invoice_id, viewer_id=_account_id()))

    async def _file(self, invoice_id: str, *, viewer_id: str | None = None) -> HttpBody:
        async with self._database.transaction() as tx:
            invoice = await store.find(tx, current_call().organisation_id, invoice_id)
        if invoice is None or (viewer_id is not None and invoice.viewer_id != viewer_id):
            raise refusals.invoice_not_found(invoice_id)
        return HttpBody(content_type="application/pdf", data=await asyncio.to_thread(_drawn, invoice.content))


def _drawn(content: Content) -> bytes:
    # What draws is large, and most processes never do.
    from services.payments.invoices.drawing import drawn

    return drawn(content)


def _account_id() -> str:
    """The person who calls; the contract lets in nobody else."""
    principal = current_call().principal
    assert principal is not None
    assert principal.account_id
    return principal.account_id


def _party(wanted: api.Party, field: str) -> Party:
    name = printable(wanted.name)
    if not name:
        message = "say a name that can be printed"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_INVALID",
            f"{field}.name: {message}",
            domain=RPC_DOMAIN,
            fields=[(f"{field}.name", message)],
        )
    lines = tuple(line for line in map(printable, wanted.address_lines) if line)
    return Party(name, lines, printable(wanted.tax_number))


def _resource(invoice: Invoice) -> api.Invoice:
    content = invoice.content
    return api.Invoice(
        invoice_id=invoice.invoice_id,
        number=content.number,
        credit_note=invoice.series == CREDIT_NOTES,
        sale_id=invoice.sale_id,
        entry_id=invoice.entry_id,
        corrects_invoice_id=invoice.corrects_invoice_id,
        viewer_id=invoice.viewer_id,
        gross=payments_pb2.Money(minor_units=content.gross, currency=content.currency),
        tax_minor_units=content.tax,
        kind=events_pb2.EntitlementKind.ValueType(content.kind),
        asset_id=content.asset_id,
        issue_time=timestamp(invoice.issue_time),
    )
