"""The reports contract."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.payments.v1 import events_pb2, reports_service_pb2_grpc
from reelmesh.payments.v1 import reports_service_pb2 as api

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.server import current_call
from services.payments import refusals
from services.payments.payouts import payees
from services.payments.payouts.files import decimal
from services.payments.reports import store
from services.payments.reports.domain import Asked, Division, Row
from services.payments.requests import moment

Context = grpc.aio.ServicerContext[Any, Any]
_LONGEST: Final = timedelta(days=1100)
_AMOUNTS: Final = ("gross", "refunds", "chargebacks", "tax", "fees", "net", "platform", "earnings")
Request = (
    api.GetRevenueReportRequest
    | api.GetRevenueFileRequest
    | api.GetOwnRevenueReportRequest
    | api.GetOwnRevenueFileRequest
)


class ReportsRpc(reports_service_pb2_grpc.ReportsServiceServicer):
    """Sums up the caller's organisation's ledger; for creators, what is their own."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def GetRevenueReport(
        self, request: api.GetRevenueReportRequest, context: Context
    ) -> api.GetRevenueReportResponse:
        """What the organisation sold."""
        asked, rows = await self._report(request)
        return api.GetRevenueReportResponse(rows=[_row(row) for row in rows], book_time=timestamp(asked.as_of))

    async def GetRevenueFile(self, request: api.GetRevenueFileRequest, context: Context) -> api.GetRevenueFileResponse:
        """The same for a table."""
        _, rows = await self._report(request)
        return api.GetRevenueFileResponse(file=_file(rows))

    async def GetOwnRevenueReport(
        self, request: api.GetOwnRevenueReportRequest, context: Context
    ) -> api.GetOwnRevenueReportResponse:
        """What was sold of what the caller made."""
        asked, rows = await self._report(request, own=True)
        return api.GetOwnRevenueReportResponse(rows=[_row(row) for row in rows], book_time=timestamp(asked.as_of))

    async def GetOwnRevenueFile(
        self, request: api.GetOwnRevenueFileRequest, context: Context
    ) -> api.GetOwnRevenueFileResponse:
        """The same for a table."""
        _, rows = await self._report(request, own=True)
        return api.GetOwnRevenueFileResponse(file=_file(rows))

    async def _report(self, request: Request, *, own: bool = False) -> tuple[Asked, Sequence[Row]]:
        start, end, as_of = self._period(request)
        divisions = frozenset(Division(division) for division in request.divisions)
        if {Division.DAY, Division.MONTH} <= divisions:
            raise refusals.period_invalid("divisions", "divide by day or by month, not by both")
        async with self._database.transaction() as tx:
            creator_id = await _own(tx, request.creator_id) if own else request.creator_id
            asked = Asked(current_call().organisation_id, start, end, as_of, divisions, creator_id)
            rows = await store.rows(tx, asked)
        if len(rows) > store.MOST_ROWS:
            raise refusals.period_invalid(
                "end_time", f"this is more than {store.MOST_ROWS} rows; ask for less at a time"
            )
        return asked, rows

    def _period(self, request: Request) -> tuple[datetime, datetime, datetime]:
        now = self._clock.now()
        start, end, as_of = moment(request, "start_time"), moment(request, "end_time"), moment(request, "book_time")
        assert start is not None  # the contract asks for both
        assert end is not None
        if end <= start:
            raise refusals.period_invalid("end_time", "the period must end after it begins")
        if end - start > _LONGEST:
            raise refusals.period_invalid("end_time", f"the period is longer than {_LONGEST.days} days")
        if as_of and as_of > now:
            raise refusals.period_invalid("book_time", "what will be in the books later is not known yet")
        return start, end, as_of or now


async def _own(tx: Tx, wanted: str) -> str:
    """The creator for whom the caller's account stands.

    Raises:
        Refusal: PERMISSION_DENIED `NOT_OWN_REVENUE`.
    """
    call = current_call()
    assert call.principal is not None
    account_id = call.principal.account_id
    theirs = {account_id, *await payees.of_account(tx, call.organisation_id, account_id)}
    if wanted:
        if wanted in theirs:
            return wanted
        raise refusals.not_own_revenue(wanted)
    named = sorted(theirs - {account_id})
    if len(named) > 1:
        raise refusals.not_own_revenue("")
    return named[0] if named else account_id


def _row(row: Row) -> api.RevenueRow:
    return api.RevenueRow(
        period=row.period,
        currency=row.currency,
        asset_id=row.asset_id,
        kind=events_pb2.EntitlementKind.ValueType(row.kind),
        sales=row.sales,
        gross_minor_units=row.gross,
        refunds_minor_units=row.refunds,
        chargebacks_minor_units=row.chargebacks,
        tax_minor_units=row.tax,
        fees_minor_units=row.fees,
        net_minor_units=row.net,
        platform_minor_units=row.platform,
        earnings_minor_units=row.earnings,
    )


def _file(rows: Sequence[Row]) -> HttpBody:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["period", "currency", "asset_id", "kind", "sales", *_AMOUNTS])
    for row in rows:
        kind = events_pb2.EntitlementKind.Name(events_pb2.EntitlementKind.ValueType(row.kind))
        amounts = [decimal(getattr(row, name), row.currency) for name in _AMOUNTS]
        table.writerow(
            [row.period, row.currency, row.asset_id, kind.removeprefix("ENTITLEMENT_KIND_"), row.sales, *amounts]
        )
    return HttpBody(content_type="text/csv; charset=utf-8", data=out.getvalue().encode())
