"""The reconciliation contract."""

from __future__ import annotations

from datetime import date
from typing import Any

import grpc
from reelmesh.payments.v1 import reconciliation_service_pb2 as api
from reelmesh.payments.v1 import reconciliation_service_pb2_grpc

from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.reconciliation import store
from services.payments.reconciliation.csv_report import transactions_of
from services.payments.reconciliation.domain import Case, CaseState
from services.payments.reconciliation.reconciling import Reconciling

Context = grpc.aio.ServicerContext[Any, Any]


class ReconciliationRpc(reconciliation_service_pb2_grpc.ReconciliationServiceServicer):
    """Compares what processors report with the caller's organisation's ledger."""

    def __init__(self, database: Database, clock: Clock, reconciling: Reconciling) -> None:
        self._database = database
        self._clock = clock
        self._reconciling = reconciling

    async def ImportProcessorReport(
        self, request: api.ImportProcessorReportRequest, context: Context
    ) -> api.ImportProcessorReportResponse:
        """Compares a report."""
        report_date = self._day(request.report_date)
        theirs = transactions_of(request.processor, request.csv)
        async with self._database.transaction() as tx:
            result = await self._reconciling.compare(
                tx, current_call().organisation_id, request.processor, report_date, theirs
            )
        return api.ImportProcessorReportResponse(
            transactions=result.transactions, matched=result.matched, open_cases=result.open_cases
        )

    async def ListReconciliationCases(
        self, request: api.ListReconciliationCasesRequest, context: Context
    ) -> api.ListReconciliationCasesResponse:
        """Cases, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.cases_page(tx, current_call().organisation_id, request.state, request.processor, part)
        shown = found[: part.size]
        return api.ListReconciliationCasesResponse(
            cases=[_resource(case) for case in shown],
            next_page_token=part.next_token(shown[-1].case_id) if len(found) > part.size else "",
        )

    async def ResolveReconciliationCase(
        self, request: api.ResolveReconciliationCaseRequest, context: Context
    ) -> api.ResolveReconciliationCaseResponse:
        """Says what a case comes to."""
        call = current_call()
        assert call.principal is not None
        async with self._database.transaction() as tx:
            case = await self._reconciling.resolve(
                tx,
                call.organisation_id,
                request.case_id,
                note=request.note,
                entry_id=request.entry_id,
                actor=call.principal.name,
            )
        return api.ResolveReconciliationCaseResponse(case=_resource(case))

    def _day(self, text: str) -> date:
        try:
            day = date.fromisoformat(text)
        except ValueError as error:
            raise refusals.period_invalid("report_date", "there is no such day") from error
        if day > self._clock.now().date():
            raise refusals.period_invalid("report_date", "this day has not come yet")
        return day


def _resource(case: Case) -> api.ReconciliationCase:
    return api.ReconciliationCase(
        case_id=case.case_id,
        processor=case.processor,
        report_date=case.report_date.isoformat(),
        difference=api.ReconciliationDifference.ValueType(case.finding.difference),
        reference=case.finding.reference,
        ours=case.finding.ours,
        theirs=case.finding.theirs,
        state=api.ReconciliationCaseState.ValueType(case.state),
        note=case.note,
        entry_id=case.entry_id,
        resolver="" if case.state is CaseState.OPEN or case.actor == "report" else case.actor,
        create_time=timestamp(case.create_time),
        change_time=timestamp(case.change_time),
    )
