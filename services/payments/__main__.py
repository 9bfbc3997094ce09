"""`python -m services.payments`: serves the ledger, sales, how prices are divided, offers, what people may watch, checkouts and webhooks, and
what follows from the books."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from reelmesh.payments.v1 import (
    entitlements_service_pb2,
    entitlements_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    offers_service_pb2,
    offers_service_pb2_grpc,
    promotions_service_pb2,
    promotions_service_pb2_grpc,
    sales_service_pb2,
    sales_service_pb2_grpc,
    split_rules_service_pb2,
    split_rules_service_pb2_grpc,
)

from services.kit.events import Consumer, Relay
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.payments.accounting import ACCOUNTING_CONTRACTS, Accounting
from services.payments.entitlements.consumers import HANDLERS
from services.payments.entitlements.rpc import EntitlementsRpc
from services.payments.ledger.rpc import LedgerRpc
from services.payments.offers.rpc import OffersRpc
from services.payments.personal import DECLARATION, PaymentsActs
from services.payments.promotions.rpc import PromotionsRpc
from services.payments.sales.recording import Recording
from services.payments.sales.rpc import SalesRpc
from services.payments.splits.rpc import SplitRulesRpc
from services.payments.subscribing import CONTRACTS as SUBSCRIBING_CONTRACTS
from services.payments.subscribing import notices_of, subscribing
from services.payments.upkeep import Upkeep
from services.payments.wiring import CONTRACTS as SELLING_CONTRACTS
from services.payments.wiring import PaymentsSettings, selling

CONTRACTS: Final[list[ServiceDescriptor]] = [
    entitlements_service_pb2.DESCRIPTOR.services_by_name["EntitlementsService"],
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
    offers_service_pb2.DESCRIPTOR.services_by_name["OffersService"],
    promotions_service_pb2.DESCRIPTOR.services_by_name["PromotionsService"],
    sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"],
    split_rules_service_pb2.DESCRIPTOR.services_by_name["SplitRulesService"],
    *ACCOUNTING_CONTRACTS,
    *SELLING_CONTRACTS,
    *SUBSCRIBING_CONTRACTS,
]


async def wire(process: Process, settings: PaymentsSettings) -> None:
    """Puts the service together and starts it."""
    database = process.database()
    bus = await process.bus()
    recording = Recording(process.clock)
    sales = SalesRpc(database, recording, writers=settings.database_pool)
    ledger = LedgerRpc(database, recording.reverse)
    split_rules = SplitRulesRpc(database, process.clock)
    notices = notices_of(database, process.clock, recording)
    sold = selling(process, settings, database, recording, [notices])
    accounting = Accounting(process, database, sources=sold.report_sources)
    subscribed = subscribing(process, database, sold.accounts, sold.calling, notices)
    offers = OffersRpc(database, process.clock)
    entitlements = EntitlementsRpc(database, process.clock)
    promotions = PromotionsRpc(database, process.clock, writers=settings.database_pool)

    def add(server: grpc.aio.Server) -> None:
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, server)
        sales_service_pb2_grpc.add_SalesServiceServicer_to_server(sales, server)
        split_rules_service_pb2_grpc.add_SplitRulesServiceServicer_to_server(split_rules, server)
        offers_service_pb2_grpc.add_OffersServiceServicer_to_server(offers, server)
        entitlements_service_pb2_grpc.add_EntitlementsServiceServicer_to_server(entitlements, server)
        promotions_service_pb2_grpc.add_PromotionsServiceServicer_to_server(promotions, server)
        sold.add(server)
        accounting.add(server)
        subscribed.add(server)

    personal = PersonalData(database, process.clock, DECLARATION, PaymentsActs(process.clock))
    await process.serve(CONTRACTS, add, personal=personal)
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(Consumer("payments", database, bus, {**HANDLERS, **subscribed.handlers}).run(), "consumer")
    process.in_background(Upkeep(database, process.clock).run(), "upkeep")
    sold.start(process)
    accounting.start(bus)
    subscribed.start(process)


def main() -> None:
    """Runs the service."""
    run("payments", PaymentsSettings, wire)


if __name__ == "__main__":
    main()
