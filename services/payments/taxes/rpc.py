"""The contract of tax rates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import grpc
from reelmesh.payments.v1 import tax_rates_service_pb2 as api
from reelmesh.payments.v1 import tax_rates_service_pb2_grpc

from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments.requests import moment
from services.payments.taxes import store
from services.payments.taxes.domain import Rate

Context = grpc.aio.ServicerContext[Any, Any]


class TaxRatesRpc(tax_rates_service_pb2_grpc.TaxRatesServiceServicer):
    """Keeps the caller's organisation's rates."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def AddTaxRate(self, request: api.AddTaxRateRequest, context: Context) -> api.AddTaxRateResponse:
        """Says what rate is in force."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        wanted = request.rate
        rate = Rate(
            wanted.jurisdiction, wanted.name, wanted.millionths, wanted.inclusive, moment(wanted, "start_time") or now
        )
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.AddTaxRateResponse):
                return earlier
            await store.add(tx, organisation_id, rate, now)
            answer = api.AddTaxRateResponse(rate=_resource(rate, now))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def ListTaxRates(self, request: api.ListTaxRatesRequest, context: Context) -> api.ListTaxRatesResponse:
        """All rates, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.jurisdiction, part)
        shown = found[: part.size]
        return api.ListTaxRatesResponse(
            rates=[_resource(one.rate, one.create_time) for one in shown],
            next_page_token=part.next_token(shown[-1].rate_id) if len(found) > part.size else "",
        )


def _resource(rate: Rate, create_time: datetime) -> api.TaxRate:
    return api.TaxRate(
        jurisdiction=rate.jurisdiction,
        name=rate.name,
        millionths=rate.millionths,
        inclusive=rate.inclusive,
        start_time=timestamp(rate.start_time),
        create_time=timestamp(create_time),
    )
