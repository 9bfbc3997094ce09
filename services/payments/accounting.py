"""Puts together what follows from the books: payouts, reports, invoices, reconciliation, tax rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NatsClient
from reelmesh.payments.v1 import (
    invoices_service_pb2,
    invoices_service_pb2_grpc,
    payouts_service_pb2,
    payouts_service_pb2_grpc,
    reconciliation_service_pb2,
    reconciliation_service_pb2_grpc,
    reports_service_pb2,
    reports_service_pb2_grpc,
    tax_rates_service_pb2,
    tax_rates_service_pb2_grpc,
)

from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal
from services.payments.invoices.issuing import Issuing
from services.payments.invoices.rpc import InvoicesRpc
from services.payments.payouts.bank_accounts import PAYMENTS_KEY_FILE
from services.payments.payouts.paying import Paying
from services.payments.payouts.releasing import Releasing
from services.payments.payouts.rpc import PayoutsRpc
from services.payments.payouts.transfers import Manual, TransferAdapter, Transferring
from services.payments.reconciliation.domain import ReportSource
from services.payments.reconciliation.reconciling import DailyReconciliation, Reconciling
from services.payments.reconciliation.rpc import ReconciliationRpc
from services.payments.reports.rpc import ReportsRpc
from services.payments.taxes.rpc import TaxRatesRpc

ACCOUNTING_CONTRACTS: Final[list[ServiceDescriptor]] = [
    invoices_service_pb2.DESCRIPTOR.services_by_name["InvoicesService"],
    payouts_service_pb2.DESCRIPTOR.services_by_name["PayoutsService"],
    reconciliation_service_pb2.DESCRIPTOR.services_by_name["ReconciliationService"],
    reports_service_pb2.DESCRIPTOR.services_by_name["ReportsService"],
    tax_rates_service_pb2.DESCRIPTOR.services_by_name["TaxRatesService"],
]
_TRANSFERS_EVERY: Final = 5.0
_DAILY_EVERY: Final = 900.0
"""Seconds between two looks at what is due once a day."""


class Accounting:
    """What follows from the books.

    Args:
        transfers: who transfers money.
        sources: where processors' reports are had, by processor.
    """

    def __init__(
        self,
        process: Process,
        database: Database,
        *,
        transfers: TransferAdapter | None = None,
        sources: Mapping[str, ReportSource] | None = None,
    ) -> None:
        self._process = process
        self._database = database
        self._seal = Seal(process.settings.secret(PAYMENTS_KEY_FILE), "payments")
        self._paying = Paying(process.clock)
        self._issuing = Issuing(process.clock)
        self._reconciling = Reconciling(process.clock)
        self._transfers = transfers or Manual()
        self._sources = sources or {}

    def add(self, server: grpc.aio.Server) -> None:
        """Adds the servicers."""
        database, clock = self._database, self._process.clock
        invoices_service_pb2_grpc.add_InvoicesServiceServicer_to_server(
            InvoicesRpc(database, clock, self._issuing), server
        )
        payouts_service_pb2_grpc.add_PayoutsServiceServicer_to_server(
            PayoutsRpc(database, clock, self._seal, self._paying), server
        )
        reconciliation_service_pb2_grpc.add_ReconciliationServiceServicer_to_server(
            ReconciliationRpc(database, clock, self._reconciling), server
        )
        reports_service_pb2_grpc.add_ReportsServiceServicer_to_server(ReportsRpc(database, clock), server)
        tax_rates_service_pb2_grpc.add_TaxRatesServiceServicer_to_server(TaxRatesRpc(database, clock), server)

    def start(self, bus: NatsClient) -> None:
        """Starts what works by itself."""
        database, clock = self._database, self._process.clock
        transferring = Transferring(database, self._paying, self._seal, self._transfers)
        daily = DailyReconciliation(database, clock, self._reconciling, self._sources)
        self._process.all_in_background(
            {
                "invoices": self._issuing.consumer(database, bus).run(),
                "transfers": transferring.run(_TRANSFERS_EVERY),
                "reserves": Releasing(database, clock).run(_DAILY_EVERY),
                "reconciliation": daily.run(_DAILY_EVERY),
            }
        )
