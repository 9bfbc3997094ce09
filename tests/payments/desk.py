"""An organisation's finance desk: two people with keys of their own, on a service that a module of tests shares. Every desk is another
organisation, so that no test sees what another did."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from reelmesh.payments.v1 import (
    entitlements_service_pb2_grpc,
    invoices_service_pb2_grpc,
    ledger_service_pb2_grpc,
    offers_service_pb2_grpc,
    payouts_service_pb2,
    payouts_service_pb2_grpc,
    promotions_service_pb2_grpc,
    reconciliation_service_pb2_grpc,
    reports_service_pb2_grpc,
    sales_service_pb2,
    sales_service_pb2_grpc,
    split_rules_service_pb2_grpc,
    tax_rates_service_pb2_grpc,
)

from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.payments.__main__ import CONTRACTS, wire
from services.payments.payouts.bank_accounts import PAYMENTS_KEY_FILE
from services.payments.payouts.paying import Paying
from services.payments.payouts.transfers import TransferAdapter, Transferring
from services.payments.wiring import PaymentsSettings
from tests.payments.scene import T0, Books, once
from tests.support import databases
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import with_api_key
from tests.support.running import connected, running
from tests.support.stores import emptying

IBAN = "DE89370400440532013000"
PAYER_IBAN = "GB29NWBK60161331926819"
if TYPE_CHECKING:
    Payouts = payouts_service_pb2_grpc.PayoutsServiceAsyncStub
    Invoices = invoices_service_pb2_grpc.InvoicesServiceAsyncStub
    Reports = reports_service_pb2_grpc.ReportsServiceAsyncStub
    Reconciliation = reconciliation_service_pb2_grpc.ReconciliationServiceAsyncStub
    TaxRates = tax_rates_service_pb2_grpc.TaxRatesServiceAsyncStub


@dataclass
class Office:
    """The running service, where desks are."""

    settings: ProcessSettings
    clock: FixedClock
    database: Database
    bus: Bus
    service: contextlib.AsyncExitStack

    async def stop(self) -> None:
        """Ends the service; whoever wants it goes on with another process."""
        await self.service.aclose()

    @property
    def seal(self) -> Seal:
        return Seal(self.settings.secret(PAYMENTS_KEY_FILE), "payments")

    def transferring(self, adapter: TransferAdapter) -> Transferring:
        return Transferring(self.database, Paying(self.clock), self.seal, adapter)


@dataclass
class Desk:
    """One organisation's desk: `ann` does everything, `bob` approves what she prepared."""

    office: Office
    organisation_id: str
    books: Books
    payouts: Payouts
    approver: Payouts
    invoices: Invoices
    reports: Reports
    reconciliation: Reconciliation
    rates: TaxRates

    @property
    def clock(self) -> FixedClock:
        return self.office.clock

    async def wait(self, days: float) -> datetime:
        """Lets days pass."""
        self.clock.advance(timedelta(days=days))
        return self.clock.now()

    async def earn(self, minor_units: int, creator_id: str = "ada", currency: str = "EUR") -> Any:
        """A sale of which the creator has all, without tax, fee and reserve."""
        share = sales_service_pb2.CreatorShare(creator_id=creator_id, weight=1)
        return await self.books.sell(minor_units, currency, creators=[share])

    async def payee(self, creator_id: str = "ada", *, iban: str = IBAN, **changes: Any) -> Any:
        """A creator to whom nothing is withheld, unless the changes say so."""
        usual: dict[str, Any] = {
            "creator_id": creator_id,
            "hold_days": 7,
            "reserve_days": 90,
            "tax_form": payouts_service_pb2.TAX_FORM_STATUS_VERIFIED,
        }
        wanted = payouts_service_pb2.Payee(**(usual | changes))
        kept = (await self.payouts.PutPayee(payouts_service_pb2.PutPayeeRequest(request_id=once(), payee=wanted))).payee
        if iban and not kept.destination_hint:
            await self.destination(creator_id, iban)
        return kept

    async def destination(self, creator_id: str, iban: str = IBAN, name: str = "Ada Lovelace") -> Any:
        account = payouts_service_pb2.BankAccount(holder_name=name, iban=iban)
        request = payouts_service_pb2.SetPayeeDestinationRequest(
            request_id=once(), creator_id=creator_id, account=account
        )
        return (await self.payouts.SetPayeeDestination(request)).payee

    async def payer(self) -> None:
        account = payouts_service_pb2.BankAccount(holder_name="Kinowerk GmbH", iban=PAYER_IBAN, bic="NWBKGB2L")
        await self.payouts.SetPayer(payouts_service_pb2.SetPayerRequest(request_id=once(), account=account))

    async def judged(self, currency: str = "EUR", **changes: Any) -> dict[str, Any]:
        """What every creator would be paid."""
        request = payouts_service_pb2.ListPayablePayeesRequest(currency=currency, **changes)
        return {one.creator_id: one for one in (await self.payouts.ListPayablePayees(request)).payees}

    async def prepare(self, currency: str = "EUR") -> Any:
        request = payouts_service_pb2.PreparePayoutBatchRequest(request_id=once(), currency=currency)
        return (await self.payouts.PreparePayoutBatch(request)).batch

    async def approve(self, batch: Any) -> Any:
        request = payouts_service_pb2.ApprovePayoutBatchRequest(payout_batch_id=batch.payout_batch_id)
        return (await self.approver.ApprovePayoutBatch(request)).batch

    async def approved(self, currency: str = "EUR") -> Any:
        return await self.approve(await self.prepare(currency))

    async def send(self, batch: Any) -> Any:
        request = payouts_service_pb2.SendPayoutBatchRequest(payout_batch_id=batch.payout_batch_id)
        return (await self.payouts.SendPayoutBatch(request)).batch

    async def batch(self, batch: Any) -> Any:
        request = payouts_service_pb2.GetPayoutBatchRequest(payout_batch_id=batch.payout_batch_id)
        return (await self.payouts.GetPayoutBatch(request)).batch

    async def paid(self, batch: Any) -> list[Any]:
        """The payouts of a batch."""
        request = payouts_service_pb2.ListPayoutsRequest(payout_batch_id=batch.payout_batch_id, page_size=200)
        return list((await self.payouts.ListPayouts(request)).payouts)

    async def held(self, kind: int, owner_id: str = "ada", currency: str = "EUR") -> int:
        return (await self.books.balances()).get((kind, owner_id, currency), 0)


@contextlib.asynccontextmanager
async def office(settings: ProcessSettings, clock: FixedClock | None = None) -> AsyncIterator[Office]:
    """Runs the service for the length of the block, on stores that are empty afterwards."""
    clock = clock or FixedClock(T0)
    database = databases.lent("payments", settings)
    async with on_the_bus(settings) as bus, contextlib.AsyncExitStack() as service:
        await service.enter_async_context(
            running("payments", PaymentsSettings(**settings.model_dump()), wire, clock=clock)
        )
        yield Office(settings, clock, database, bus, service)
    await database.close()
    async with emptying(settings) as emptied:
        await emptied()


@contextlib.asynccontextmanager
async def desk(where: Office, organisation_id: str = "", **rules: int) -> AsyncIterator[Desk]:
    """A desk of an organisation, or of a new one. Creators have everything, unless rules are given."""
    organisation_id = organisation_id or new_id("org")
    nothing = {
        "platform_basis_points": 0,
        "tax_basis_points": 0,
        "fee_basis_points": 0,
        "reserve_basis_points": 0,
    }
    async with contextlib.AsyncExitStack() as stack:
        channels: list[grpc.aio.Channel] = []
        for name in ("ann", "bob"):
            key = stack.enter_context(
                with_api_key(where.settings, organisation_id=organisation_id, permissions=["*"], name=name)
            )
            channel = connected(where.settings, "payments", *CONTRACTS, key=key)
            channels.append(await stack.enter_async_context(channel))
        ann, bob = channels
        books = Books(
            where.settings,
            where.clock,
            where.database,
            where.bus,
            sales_service_pb2_grpc.SalesServiceStub(ann),
            ledger_service_pb2_grpc.LedgerServiceStub(ann),
            split_rules_service_pb2_grpc.SplitRulesServiceStub(ann),
            offers_service_pb2_grpc.OffersServiceStub(ann),
            entitlements_service_pb2_grpc.EntitlementsServiceStub(ann),
            promotions_service_pb2_grpc.PromotionsServiceStub(ann),
        )
        await books.divide_by(**(nothing | rules))
        yield Desk(
            where,
            organisation_id,
            books,
            payouts_service_pb2_grpc.PayoutsServiceStub(ann),
            payouts_service_pb2_grpc.PayoutsServiceStub(bob),
            invoices_service_pb2_grpc.InvoicesServiceStub(ann),
            reports_service_pb2_grpc.ReportsServiceStub(ann),
            reconciliation_service_pb2_grpc.ReconciliationServiceStub(ann),
            tax_rates_service_pb2_grpc.TaxRatesServiceStub(ann),
        )
