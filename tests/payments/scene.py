"""The payments service on real stores, with somebody who keeps an organisation's books."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from reelmesh.payments.v1 import (
    entitlements_service_pb2_grpc,
    events_pb2,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    offers_service_pb2_grpc,
    payments_pb2,
    promotions_service_pb2_grpc,
    sales_service_pb2,
    sales_service_pb2_grpc,
    split_rules_service_pb2,
    split_rules_service_pb2_grpc,
)

from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.settings import ProcessSettings
from services.payments.__main__ import CONTRACTS, wire
from services.payments.ledger.verification import Report, verified
from services.payments.wiring import PaymentsSettings
from tests.support import databases
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

T0 = datetime(2026, 11, 28, 12, tzinfo=UTC)
RECEIVABLE = payments_pb2.ACCOUNT_KIND_PROCESSOR_RECEIVABLE
CREATOR = payments_pb2.ACCOUNT_KIND_CREATOR_PENDING
PLATFORM = payments_pb2.ACCOUNT_KIND_PLATFORM_REVENUE
TAX = payments_pb2.ACCOUNT_KIND_TAX_PAYABLE
FEE = payments_pb2.ACCOUNT_KIND_PROCESSOR_FEE
RESERVE = payments_pb2.ACCOUNT_KIND_RESERVE
RULES: dict[str, Any] = {
    "platform_basis_points": 2000,
    "tax_basis_points": 1900,
    "fee_basis_points": 500,
    "reserve_basis_points": 1000,
}
if TYPE_CHECKING:
    Sales = sales_service_pb2_grpc.SalesServiceAsyncStub
    Ledger = ledger_service_pb2_grpc.LedgerServiceAsyncStub
    Rules = split_rules_service_pb2_grpc.SplitRulesServiceAsyncStub
    Offers = offers_service_pb2_grpc.OffersServiceAsyncStub
    Entitlements = entitlements_service_pb2_grpc.EntitlementsServiceAsyncStub
    Promotions = promotions_service_pb2_grpc.PromotionsServiceAsyncStub


def once() -> str:
    """A request id that was never used."""
    return uuid.uuid4().hex


def money(minor_units: int, currency: str = "EUR") -> payments_pb2.Money:
    return payments_pb2.Money(minor_units=minor_units, currency=currency)


def rental(**changes: Any) -> payments_pb2.Grant:
    return payments_pb2.Grant(**{"kind": events_pb2.ENTITLEMENT_KIND_RENTAL, **changes})


@contextlib.contextmanager
def refused(reason: str) -> Iterator[list[Refusal]]:
    caught: list[Refusal] = []
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield caught
    caught.append(Refusal.from_rpc_error(error.value))
    assert caught[0].reason == reason, caught[0]


@dataclass
class Books:
    """The running service, and its callers."""

    settings: ProcessSettings
    clock: FixedClock
    database: Database
    bus: Bus
    sales: Sales
    ledger: Ledger
    rules: Rules
    offers: Offers
    entitlements: Entitlements
    promotions: Promotions

    @property
    def organisation_id(self) -> str:
        return organisation_of_operator(self.settings)

    async def divide_by(self, **changes: Any) -> payments_pb2.SplitRules:
        """Makes split rules and activates them."""
        wanted = payments_pb2.SplitRules(**(RULES | changes))
        create = split_rules_service_pb2.CreateSplitRulesRequest(request_id=once(), rules=wanted)
        version = (await self.rules.CreateSplitRules(create)).rules.version
        activate = split_rules_service_pb2.ActivateSplitRulesRequest(version=version)
        return (await self.rules.ActivateSplitRules(activate)).rules

    def order(self, minor_units: int = 1999, currency: str = "EUR", **changes: Any) -> Any:
        """A request to record a sale by one creator."""
        usual: dict[str, Any] = {
            "request_id": once(),
            "processor": "ccbill",
            "reference": once(),
            "gross": money(minor_units, currency),
            "creators": [sales_service_pb2.CreatorShare(creator_id="ada", weight=1)],
        }
        return sales_service_pb2.RecordSaleRequest(**(usual | changes))

    async def sell(self, minor_units: int = 1999, currency: str = "EUR", **changes: Any) -> payments_pb2.Sale:
        return (await self.sales.RecordSale(self.order(minor_units, currency, **changes))).sale

    async def refund(self, sale: payments_pb2.Sale, minor_units: int | None = None, **changes: Any) -> Any:
        usual: dict[str, Any] = {"request_id": once(), "sale_id": sale.sale_id, "reference": once()}
        if minor_units is not None:
            usual["amount"] = money(minor_units, sale.gross.currency)
        return await self.sales.RecordRefund(sales_service_pb2.RecordRefundRequest(**(usual | changes)))

    async def charge_back(self, sale: payments_pb2.Sale, fee: int = 0, **changes: Any) -> Any:
        usual: dict[str, Any] = {"request_id": once(), "sale_id": sale.sale_id, "reference": once()}
        if fee:
            usual["fee"] = money(fee, sale.gross.currency)
        return await self.sales.RecordChargeback(sales_service_pb2.RecordChargebackRequest(**(usual | changes)))

    async def win(self, sale: payments_pb2.Sale, entry_id: str) -> Any:
        return await self.sales.RecordChargebackReversal(
            sales_service_pb2.RecordChargebackReversalRequest(
                request_id=once(), sale_id=sale.sale_id, entry_id=entry_id, reference=once()
            )
        )

    async def reverse(self, entry_id: str) -> ledger_service_pb2.Entry:
        request = ledger_service_pb2.ReverseEntryRequest(
            request_id=once(), entry_id=entry_id, description="recorded by mistake"
        )
        return (await self.ledger.ReverseEntry(request)).entry

    async def balances(self) -> dict[tuple[int, str, str], int]:
        """What every account holds that holds something."""
        answer = await self.ledger.ListBalances(ledger_service_pb2.ListBalancesRequest(page_size=200))
        return {
            (one.account.kind, one.account.owner_id, one.account.currency): one.minor_units
            for one in answer.balances
            if one.minor_units
        }

    async def verified(self) -> Report:
        return await verified(self.database)

    async def in_order(self) -> Report:
        """The report on a ledger in which nothing differs."""
        report = await self.verified()
        assert report.differences == ()
        return report


@contextlib.asynccontextmanager
async def books(settings: ProcessSettings) -> AsyncIterator[Books]:
    """Runs the service for the length of the block. No split rules are active yet."""
    ours = settings if isinstance(settings, PaymentsSettings) else PaymentsSettings(**settings.model_dump())
    clock = FixedClock(T0)
    database = databases.lent("payments", settings)
    async with (
        on_the_bus(settings) as bus,
        running("payments", ours, wire, clock=clock),
        connected(settings, "payments", *CONTRACTS) as channel,
    ):
        yield Books(
            settings,
            clock,
            database,
            bus,
            sales_service_pb2_grpc.SalesServiceStub(channel),
            ledger_service_pb2_grpc.LedgerServiceStub(channel),
            split_rules_service_pb2_grpc.SplitRulesServiceStub(channel),
            offers_service_pb2_grpc.OffersServiceStub(channel),
            entitlements_service_pb2_grpc.EntitlementsServiceStub(channel),
            promotions_service_pb2_grpc.PromotionsServiceStub(channel),
        )
    await database.close()
