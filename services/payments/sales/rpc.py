"""The sales contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from reelmesh.payments.v1 import payments_pb2, sales_service_pb2_grpc
from reelmesh.payments.v1 import sales_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.requests import amount, checked_grant, content_of, moment
from services.payments.sales import store
from services.payments.sales.domain import Sale, Takeback
from services.payments.sales.recording import Order, Recording, Return
from services.payments.sales.store import Wanted
from services.payments.splits.domain import Price

Context = grpc.aio.ServicerContext[Any, Any]


class SalesRpc(sales_service_pb2_grpc.SalesServiceServicer):
    """Records sales of the caller's organisation.

    Args:
        database: the service's own.
        recording: what writes.
        writers: how many may write at a time. All others wait for their turn without a connection in hand, for as long as their callers do:
            many who post to one account wait for each other anyway.
    """

    def __init__(self, database: Database, recording: Recording, writers: int) -> None:
        self._database = database
        self._recording = recording
        self._room = asyncio.Semaphore(writers)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Tx]:
        async with self._room, self._database.transaction() as tx:
            yield tx

    async def RecordSale(self, request: api.RecordSaleRequest, context: Context) -> api.RecordSaleResponse:
        """Records a sale."""
        organisation_id = current_call().organisation_id
        order = _order(request, organisation_id)
        async with self._writing() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.RecordSaleResponse):
                return earlier
            answer = api.RecordSaleResponse(sale=_resource(await self._recording.sell(tx, order)))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def RecordRefund(self, request: api.RecordRefundRequest, context: Context) -> api.RecordRefundResponse:
        """Records a refund."""
        organisation_id = current_call().organisation_id
        wanted = Return(
            organisation_id,
            request.sale_id,
            Takeback.REFUND,
            request.reference,
            content_of(request),
            amount(request, "amount"),
            (request.amount.currency,) if request.HasField("amount") else (),
            request.revoke,
        )
        async with self._writing() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.RecordRefundResponse):
                return earlier
            sale, entry_id = await self._recording.give_back(tx, wanted)
            answer = api.RecordRefundResponse(sale=_resource(sale), entry_id=entry_id)
            await remember(tx, organisation_id, request, answer)
            return answer

    async def RecordChargeback(
        self, request: api.RecordChargebackRequest, context: Context
    ) -> api.RecordChargebackResponse:
        """Records a chargeback."""
        organisation_id = current_call().organisation_id
        named = [
            *((request.amount.currency,) if request.HasField("amount") else ()),
            *((request.fee.currency,) if request.HasField("fee") else ()),
        ]
        wanted = Return(
            organisation_id,
            request.sale_id,
            Takeback.CHARGEBACK,
            request.reference,
            content_of(request),
            amount(request, "amount"),
            tuple(named),
            revoke=True,
            fee=amount(request, "fee", least=0) or 0,
        )
        async with self._writing() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.RecordChargebackResponse):
                return earlier
            sale, entry_id = await self._recording.give_back(tx, wanted)
            answer = api.RecordChargebackResponse(sale=_resource(sale), entry_id=entry_id)
            await remember(tx, organisation_id, request, answer)
            return answer

    async def RecordChargebackReversal(
        self, request: api.RecordChargebackReversalRequest, context: Context
    ) -> api.RecordChargebackReversalResponse:
        """Records that a chargeback was won."""
        organisation_id = current_call().organisation_id
        async with self._writing() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.RecordChargebackReversalResponse):
                return earlier
            sale, entry_id = await self._recording.win(
                tx,
                organisation_id,
                request.sale_id,
                chargeback_entry_id=request.entry_id,
                reference=request.reference,
                content=content_of(request),
            )
            answer = api.RecordChargebackReversalResponse(sale=_resource(sale), entry_id=entry_id)
            await remember(tx, organisation_id, request, answer)
            return answer

    async def GetSale(self, request: api.GetSaleRequest, context: Context) -> api.GetSaleResponse:
        """One sale."""
        async with self._database.transaction() as tx:
            sale = await store.find(tx, current_call().organisation_id, request.sale_id)
        if sale is None:
            raise refusals.sale_not_found(request.sale_id)
        return api.GetSaleResponse(sale=_resource(sale))

    async def ListSales(self, request: api.ListSalesRequest, context: Context) -> api.ListSalesResponse:
        """The organisation's sales, newest first."""
        part = page_of(request)
        wanted = Wanted(request.viewer_id, request.processor, request.reference)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, wanted, part)
        shown = found[: part.size]
        return api.ListSalesResponse(
            sales=[_resource(sale) for sale in shown],
            next_page_token=part.next_token(shown[-1].sale_id) if len(found) > part.size else "",
        )


def _order(request: api.RecordSaleRequest, organisation_id: str) -> Order:
    code = request.gross.currency
    gross = amount(request, "gross") or 0
    for tax in request.taxes:
        amount(tax, "amount")
    for money in (*(tax.amount for tax in request.taxes), *((request.fee,) if request.HasField("fee") else ())):
        if money.currency != code:
            raise refusals.currency_mixed(code, money.currency)
    return Order(
        organisation_id=organisation_id,
        reference=request.reference,
        content=content_of(request),
        price=Price(
            gross=gross,
            processor=request.processor,
            creators=tuple((share.creator_id, share.weight) for share in request.creators),
            taxes=tuple((tax.jurisdiction, tax.amount.minor_units) for tax in request.taxes),
            fee=amount(request, "fee", least=0),
        ),
        currency=code,
        viewer_id=request.viewer_id,
        granted=_granted(request) if request.HasField("grant") else None,
        sell_time=moment(request, "sell_time"),
    )


def _granted(request: api.RecordSaleRequest) -> payments_pb2.Grant:
    granted = checked_grant(request)
    if not request.viewer_id and not granted.viewer_id:
        raise refusals.grant_invalid("viewer_id", "say who may watch what is granted")
    return granted


def _resource(sale: Sale) -> payments_pb2.Sale:
    return payments_pb2.Sale(
        sale_id=sale.sale_id,
        organisation_id=sale.organisation_id,
        entry_id=sale.entry_id,
        processor=sale.processor,
        reference=sale.reference,
        viewer_id=sale.viewer_id,
        gross=payments_pb2.Money(minor_units=sale.gross, currency=sale.currency),
        split_rules_version=sale.split_rules_version,
        parts=[
            payments_pb2.SalePart(
                kind=payments_pb2.AccountKind.ValueType(part.kind),
                owner_id=part.owner_id,
                minor_units=part.minor_units,
                remaining_minor_units=part.remaining,
            )
            for part in sale.parts
        ],
        refunded_minor_units=sale.refunded,
        charged_back_minor_units=sale.charged_back,
        reversed=sale.reversed,
        entitlement_id=sale.entitlement_id,
        entitled=sale.entitled,
        sell_time=timestamp(sale.sell_time),
        create_time=timestamp(sale.create_time),
    )
