"""The ledger contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from reelmesh.payments.v1 import ledger_service_pb2 as api
from reelmesh.payments.v1 import ledger_service_pb2_grpc, payments_pb2

from services.kit.clock import timestamp
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.ledger import statements, store
from services.payments.ledger.domain import Account, AccountKind, Balance, Entry
from services.payments.requests import content_of, moment

Context = grpc.aio.ServicerContext[Any, Any]
Reverse = Callable[[Tx, str, str, str, bytes], Awaitable[Entry]]
"""Undoes an entry of an organisation, for a reason, by the digest of what was asked for."""


class LedgerRpc(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Shows the caller's organisation's books. `reverse` belongs to whoever made the entries, who has to know that one was a mistake."""

    def __init__(self, database: Database, reverse: Reverse) -> None:
        self._database = database
        self._reverse = reverse

    async def GetBalance(self, request: api.GetBalanceRequest, context: Context) -> api.GetBalanceResponse:
        """What one account holds."""
        async with self._database.transaction() as tx:
            balance = await _found(tx, _account(request))
        return api.GetBalanceResponse(balance=_balance(balance))

    async def ListBalances(self, request: api.ListBalancesRequest, context: Context) -> api.ListBalancesResponse:
        """What the organisation's accounts hold."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.balances_page(tx, current_call().organisation_id, request.kind, request.owner_id, part)
        shown = found[: part.size]
        return api.ListBalancesResponse(
            balances=[_balance(balance) for balance in shown],
            next_page_token=part.next_token(shown[-1].account_id) if len(found) > part.size else "",
        )

    async def GetEntry(self, request: api.GetEntryRequest, context: Context) -> api.GetEntryResponse:
        """One entry."""
        async with self._database.transaction() as tx:
            entry = await store.find_entry(tx, current_call().organisation_id, request.entry_id)
        if entry is None:
            raise refusals.entry_not_found(request.entry_id)
        return api.GetEntryResponse(entry=_entry(entry))

    async def ListEntries(self, request: api.ListEntriesRequest, context: Context) -> api.ListEntriesResponse:
        """The organisation's entries, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.entries_page(tx, current_call().organisation_id, request.kind, request.entry_id, part)
        shown = found[: part.size]
        return api.ListEntriesResponse(
            entries=[_entry(entry) for entry in shown],
            next_page_token=part.next_token(shown[-1].entry_id) if len(found) > part.size else "",
        )

    async def GetStatement(self, request: api.GetStatementRequest, context: Context) -> api.GetStatementResponse:
        """One page of a statement."""
        part = page_of(request)
        account, start, end = _account(request), moment(request, "start_time"), moment(request, "end_time")
        async with self._database.transaction() as tx:
            account_id = (await _found(tx, account)).account_id
            totals = await statements.totals(tx, account_id, start, end)
            found = await statements.lines(tx, account_id, start, end, part)
        shown = found[: part.size]
        return api.GetStatementResponse(
            account=_account_message(account),
            opening_minor_units=totals.opening,
            closing_minor_units=totals.closing,
            debited_minor_units=totals.debits,
            credited_minor_units=totals.credits,
            lines=[_line(line) for line in shown],
            next_page_token=part.next_token(str(shown[-1].number)) if len(found) > part.size else "",
        )

    async def ReverseEntry(self, request: api.ReverseEntryRequest, context: Context) -> api.ReverseEntryResponse:
        """Undoes an entry that was a mistake."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.ReverseEntryResponse):
                return earlier
            entry = await self._reverse(tx, organisation_id, request.entry_id, request.description, content_of(request))
            answer = api.ReverseEntryResponse(entry=_entry(entry))
            await remember(tx, organisation_id, request, answer)
            return answer


async def _found(tx: Tx, account: Account) -> Balance:
    balance = await store.balance_of(tx, current_call().organisation_id, account)
    if balance is None:
        raise refusals.account_not_found()
    return balance


def _account(request: api.GetBalanceRequest | api.GetStatementRequest) -> Account:
    return Account(AccountKind(request.kind), request.owner_id, request.currency)


def _account_message(account: Account) -> api.Account:
    return api.Account(
        kind=payments_pb2.AccountKind.ValueType(account.kind), owner_id=account.owner_id, currency=account.currency
    )


def _balance(balance: Balance) -> api.Balance:
    return api.Balance(
        account=_account_message(balance.account),
        minor_units=balance.minor_units,
        debited_minor_units=balance.debits,
        credited_minor_units=balance.credits,
        postings=balance.postings,
    )


def _entry(entry: Entry) -> api.Entry:
    return api.Entry(
        entry_id=entry.entry_id,
        kind=api.EntryKind.ValueType(entry.kind),
        reference=entry.reference,
        reverses_entry_id=entry.reverses_entry_id,
        description=entry.description,
        postings=[
            api.Posting(
                account=_account_message(posting.account),
                direction=api.Direction.ValueType(posting.direction),
                minor_units=posting.minor_units,
                balance_minor_units=posting.balance,
            )
            for posting in entry.postings
        ],
        occur_time=timestamp(entry.occur_time),
        create_time=timestamp(entry.create_time),
    )


def _line(line: statements.Line) -> api.StatementLine:
    return api.StatementLine(
        number=line.number,
        entry_id=line.entry_id,
        kind=api.EntryKind.ValueType(line.kind),
        reference=line.reference,
        description=line.description,
        direction=api.Direction.ValueType(line.direction),
        minor_units=line.minor_units,
        balance_minor_units=line.balance,
        book_time=timestamp(line.book_time),
    )
