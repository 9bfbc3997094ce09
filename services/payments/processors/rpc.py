"""The contract of processor accounts."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.payments.v1 import processor_accounts_service_pb2 as api
from reelmesh.payments.v1 import processor_accounts_service_pb2_grpc

from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.processors.accounts import Accounts, KeptAccount, Wanted

Context = grpc.aio.ServicerContext[Any, Any]


class ProcessorAccountsRpc(processor_accounts_service_pb2_grpc.ProcessorAccountsServiceServicer):
    """Keeps the caller's organisation's accounts."""

    def __init__(self, database: Database, accounts: Accounts) -> None:
        self._database = database
        self._accounts = accounts

    async def SetProcessorAccount(
        self, request: api.SetProcessorAccountRequest, context: Context
    ) -> api.SetProcessorAccountResponse:
        """Makes or sets an account."""
        account = request.account
        for field, texts in (("settings", account.settings), ("secrets", request.secrets)):
            for name, text in texts.items():
                if "\0" in text:
                    raise refusals.processor_account_invalid(f"{field}.{name}", "holds U+0000, which cannot be kept")
        wanted = Wanted(
            account.processor_account_id,
            account.processor,
            dict(account.settings),
            dict(request.secrets),
            account.test_mode,
            account.disabled,
        )
        async with self._database.transaction() as tx:
            kept = await self._accounts.set(tx, current_call().organisation_id, wanted)
        return api.SetProcessorAccountResponse(account=self._resource(kept))

    async def ListProcessorAccounts(
        self, request: api.ListProcessorAccountsRequest, context: Context
    ) -> api.ListProcessorAccountsResponse:
        """The organisation's accounts."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await self._accounts.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListProcessorAccountsResponse(
            accounts=[self._resource(kept) for kept in shown],
            next_page_token=part.next_token(shown[-1].account_id) if len(found) > part.size else "",
        )

    def _resource(self, kept: KeptAccount) -> api.ProcessorAccount:
        return api.ProcessorAccount(
            processor_account_id=kept.account_id,
            processor=kept.processor,
            settings=kept.settings,
            test_mode=kept.test_mode,
            disabled=kept.disabled,
            notify_url=self._accounts.notify_url(kept.processor, kept.account_id),
            secret_names=kept.secret_names,
            create_time=timestamp(kept.create_time),
            update_time=timestamp(kept.update_time),
        )
