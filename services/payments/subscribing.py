"""Puts together what has to do with subscriptions: plans, the subscriptions themselves, and the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from reelmesh.payments.v1 import (
    plans_service_pb2,
    plans_service_pb2_grpc,
    subscriptions_service_pb2,
    subscriptions_service_pb2_grpc,
)

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import Handler
from services.kit.process import Process
from services.payments.checkouts.notices import SaleNotices
from services.payments.plans.rpc import PlansRpc
from services.payments.processors.accounts import Accounts, Working
from services.payments.processors.calling import Calling
from services.payments.processors.contract import Charge, Outcome
from services.payments.sales.recording import Recording
from services.payments.subscriptions.checkouts import Opening
from services.payments.subscriptions.consumers import Returns
from services.payments.subscriptions.domain import Payer
from services.payments.subscriptions.notices import SubscriptionNotices
from services.payments.subscriptions.rpc import SubscriptionsRpc
from services.payments.subscriptions.scheduler import Charger, Scheduler
from services.payments.subscriptions.settling import Settling

CONTRACTS: Final[list[ServiceDescriptor]] = [
    plans_service_pb2.DESCRIPTOR.services_by_name["PlansService"],
    subscriptions_service_pb2.DESCRIPTOR.services_by_name["SubscriptionsService"],
]
_LOOKS_EVERY: Final = 1.0
"""Seconds between two looks of the scheduler for what is due."""


@dataclass(frozen=True, slots=True)
class AccountCharger:
    """An organisation's account with a processor, behind its breaker."""

    working: Working
    calling: Calling

    async def charge(self, charge: Charge) -> Outcome:
        """Takes money by a payment method that is known."""
        return await self.calling.outcome(self.working, "charge", lambda processor: processor.charge(charge))

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Ends the renewals of a subscription."""
        return await self.calling.outcome(
            self.working, "cancel", lambda processor: processor.cancel(subscription_reference, key)
        )


@dataclass(frozen=True, slots=True)
class AccountChargers:
    """Finds the accounts of organisations with processors."""

    database: Database
    accounts: Accounts
    calling: Calling

    async def charger(self, organisation_id: str, account_id: str) -> Charger | None:
        """The one of an account; None when the organisation has no such account."""
        working = await self.accounts.working(account_id)
        if working is None or working.account.organisation_id != organisation_id:
            return None
        return AccountCharger(working, self.calling)

    async def payer(self, tx: Tx, organisation_id: str, account_id: str) -> Payer:
        """A payer by an organisation's account.

        Raises:
            Refusal: NOT_FOUND `PROCESSOR_ACCOUNT_NOT_FOUND`.
        """
        working = await self.accounts.of_organisation(tx, organisation_id, account_id)
        return Payer(working.kind.name, account_id, renews_by_itself=working.processor.renews_by_itself)


@dataclass(frozen=True, slots=True)
class Subscribing:
    """What was put together.

    Attributes:
        handlers: of our own events about sales.
    """

    plans_rpc: PlansRpc
    subscriptions_rpc: SubscriptionsRpc
    scheduler: Scheduler
    handlers: Mapping[type[Message], Handler]

    def add(self, server: grpc.aio.Server) -> None:
        """Adds the servicers."""
        plans_service_pb2_grpc.add_PlansServiceServicer_to_server(self.plans_rpc, server)
        subscriptions_service_pb2_grpc.add_SubscriptionsServiceServicer_to_server(self.subscriptions_rpc, server)

    def start(self, process: Process) -> None:
        """Begins to work."""
        process.in_background(self.scheduler.run(_LOOKS_EVERY), "scheduler")


def notices_of(database: Database, clock: Clock, recording: Recording) -> SubscriptionNotices:
    """What knows of subscriptions."""
    return SubscriptionNotices(clock, Settling(database, clock), SaleNotices(recording))


def subscribing(
    process: Process, database: Database, accounts: Accounts, calling: Calling, notices: SubscriptionNotices
) -> Subscribing:
    """Puts it together."""
    clock = process.clock
    opening = Opening(clock, accounts, calling, process.settings.public_url)
    chargers = AccountChargers(database, accounts, calling)
    return Subscribing(
        plans_rpc=PlansRpc(database, clock),
        subscriptions_rpc=SubscriptionsRpc(database, clock, chargers, opening),
        scheduler=Scheduler(database, clock, chargers),
        handlers=Returns(notices).handlers(),
    )
