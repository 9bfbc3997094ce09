"""`python -m services.payments`: serves the ledger, sales, the rules by which prices are divided, and what follows from the books."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from reelmesh.payments.v1 import (
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    sales_service_pb2,
    sales_service_pb2_grpc,
    split_rules_service_pb2,
    split_rules_service_pb2_grpc,
)

from services.kit.events import Relay
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.payments.accounting import ACCOUNTING_CONTRACTS, Accounting
from services.payments.ledger.rpc import LedgerRpc
from services.payments.sales.recording import Recording
from services.payments.sales.rpc import SalesRpc
from services.payments.splits.rpc import SplitRulesRpc

CONTRACTS: Final[list[ServiceDescriptor]] = [
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"],
    split_rules_service_pb2.DESCRIPTOR.services_by_name["SplitRulesService"],
    *ACCOUNTING_CONTRACTS,
]


async def wire(process: Process, settings: ProcessSettings) -> None:
    """Puts the service together and starts it."""
    database = process.database()
    bus = await process.bus()
    recording = Recording(process.clock)
    sales = SalesRpc(database, recording, writers=settings.database_pool)
    ledger = LedgerRpc(database, recording.reverse)
    split_rules = SplitRulesRpc(database, process.clock)
    accounting = Accounting(process, database)

    def add(server: grpc.aio.Server) -> None:
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, server)
        sales_service_pb2_grpc.add_SalesServiceServicer_to_server(sales, server)
        split_rules_service_pb2_grpc.add_SplitRulesServiceServicer_to_server(split_rules, server)
        accounting.add(server)

    await process.serve(CONTRACTS, add)
    process.in_background(Relay(database, bus.jetstream()).run(), "relay")
    accounting.start(bus)


def main() -> None:
    """Runs the service."""
    run("payments", ProcessSettings, wire)


if __name__ == "__main__":
    main()
