"""Puts together what has to do with processors: accounts, checkouts, webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
import httpx
from google.protobuf.descriptor import ServiceDescriptor
from pydantic import Field
from reelmesh.payments.v1 import (
    checkouts_service_pb2,
    checkouts_service_pb2_grpc,
    processor_accounts_service_pb2,
    processor_accounts_service_pb2_grpc,
    webhooks_service_pb2,
    webhooks_service_pb2_grpc,
)

from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.payments.checkouts.asking import Asking
from services.payments.checkouts.notices import CheckoutNotices, SaleNotices
from services.payments.checkouts.opening import Opening
from services.payments.checkouts.refunding import Refunding
from services.payments.checkouts.rpc import CheckoutsRpc
from services.payments.processors import stand_in
from services.payments.processors.accounts import PAYMENTS_KEY_FILE, Accounts
from services.payments.processors.calling import Calling
from services.payments.processors.contract import Means
from services.payments.processors.kinds import kinds
from services.payments.processors.rpc import ProcessorAccountsRpc
from services.payments.reconciliation.domain import ReportSource
from services.payments.reconciliation.stand_in_reports import StandInReports
from services.payments.sales.recording import Recording
from services.payments.webhooks.handling import NoticeHandler
from services.payments.webhooks.queue import Queue
from services.payments.webhooks.receiving import Receiving
from services.payments.webhooks.rpc import WebhooksRpc

CONTRACTS: Final[list[ServiceDescriptor]] = [
    checkouts_service_pb2.DESCRIPTOR.services_by_name["CheckoutsService"],
    processor_accounts_service_pb2.DESCRIPTOR.services_by_name["ProcessorAccountsService"],
    webhooks_service_pb2.DESCRIPTOR.services_by_name["WebhooksService"],
]
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 15.0


class PaymentsSettings(ProcessSettings):
    """What can be set about payments."""

    payments_stand_in_url: str = Field(
        default="",
        description="Where the stand-in processor's API is, such as `http://127.0.0.1:8095`. Empty: there is none, as befits whoever takes real money.",
    )
    payments_btcpay_servers: str = Field(
        default="",
        description="BTCPay servers that organisations may have accounts with, such as `https://btcpay.example.com`, comma-separated. Empty: none.",
    )


@dataclass(frozen=True, slots=True)
class Selling:
    """What others may build on.

    Attributes:
        accounts: the registry of processor accounts.
        calling: asks processors.
        queue: works on what they tell.
        report_sources: where the daily reports of processors are had, by processor.
    """

    accounts: Accounts
    calling: Calling
    queue: Queue
    checkouts_rpc: CheckoutsRpc
    accounts_rpc: ProcessorAccountsRpc
    webhooks_rpc: WebhooksRpc
    refunding: Refunding
    asking: Asking
    report_sources: Mapping[str, ReportSource]

    def add(self, server: grpc.aio.Server) -> None:
        """Adds the servicers."""
        checkouts_service_pb2_grpc.add_CheckoutsServiceServicer_to_server(self.checkouts_rpc, server)
        processor_accounts_service_pb2_grpc.add_ProcessorAccountsServiceServicer_to_server(self.accounts_rpc, server)
        webhooks_service_pb2_grpc.add_WebhooksServiceServicer_to_server(self.webhooks_rpc, server)

    def start(self, process: Process) -> None:
        """Begins to work."""
        process.in_background(self.queue.run(), "webhooks")
        process.in_background(self.queue.sweep(), "old webhooks")
        process.in_background(self.refunding.run(), "refunds")
        process.in_background(self.asking.run(), "open checkouts")


def servers_of(text: str) -> list[str]:
    """URLs that are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def selling(
    process: Process,
    settings: PaymentsSettings,
    database: Database,
    recording: Recording,
    handlers: Sequence[NoticeHandler] = (),
) -> Selling:
    """Puts it together.

    Args:
        process: the service's.
        settings: its own.
        database: its own.
        recording: writes what is sold.
        handlers: are asked first what a notice means, before those that know of checkouts and sales.
    """
    http = httpx.AsyncClient(timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS), follow_redirects=False)
    process.at_end(http.aclose)
    clock = process.clock
    accounts = Accounts(
        database,
        clock,
        seal=Seal(settings.secret(PAYMENTS_KEY_FILE), "payments"),
        means=Means(http, clock),
        kinds=kinds(settings.payments_stand_in_url, servers_of(settings.payments_btcpay_servers)),
        public_url=settings.public_url,
    )
    calling = Calling(clock)
    queue = Queue(database, clock, [*handlers, CheckoutNotices(clock, recording), SaleNotices(recording)])
    asking = Asking(database, clock, accounts, calling, queue.wake)
    receiving = Receiving(database, clock, accounts, queue.wake, asking)
    refunding = Refunding(database, clock, accounts, calling, recording)
    opening = Opening(database, clock, accounts, calling, public_url=settings.public_url)
    return Selling(
        accounts=accounts,
        calling=calling,
        queue=queue,
        checkouts_rpc=CheckoutsRpc(database, clock, opening, refunding),
        accounts_rpc=ProcessorAccountsRpc(database, accounts),
        webhooks_rpc=WebhooksRpc(database, clock, receiving, queue),
        refunding=refunding,
        asking=asking,
        report_sources=_report_sources(http, settings.payments_stand_in_url, database, accounts),
    )


def _report_sources(
    http: httpx.AsyncClient, stand_in_url: str, database: Database, accounts: Accounts
) -> Mapping[str, ReportSource]:
    """The stand-in is asked by itself; the reports of the others are imported."""
    if not stand_in_url:
        return {}

    async def accounts_of(organisation_id: str) -> Sequence[tuple[str, str]]:
        async with database.transaction() as tx:
            found = await accounts.all_with(tx, organisation_id, stand_in.NAME)
        return [(one.account.secrets["api_key"], one.account.notify_url) for one in found]

    return {stand_in.NAME: StandInReports(http, stand_in_url, accounts_of)}
