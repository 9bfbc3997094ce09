"""The payouts contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.payments.v1 import payouts_service_pb2 as api
from reelmesh.payments.v1 import payouts_service_pb2_grpc

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.sealing import Seal
from services.kit.server import current_call
from services.payments import refusals
from services.payments.ledger.currencies import currency
from services.payments.payouts import files, payees, resources, store
from services.payments.payouts.bank_accounts import BankAccount, bank_account
from services.payments.payouts.domain import Batch, BatchState, Payee
from services.payments.payouts.payable import Asked
from services.payments.payouts.paying import Paying
from services.payments.requests import moment

Context = grpc.aio.ServicerContext[Any, Any]


class PayoutsRpc(payouts_service_pb2_grpc.PayoutsServiceServicer):
    """Pays the creators of the caller's organisation."""

    def __init__(self, database: Database, clock: Clock, seal: Seal, paying: Paying) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._paying = paying

    async def PutPayee(self, request: api.PutPayeeRequest, context: Context) -> api.PutPayeeResponse:
        """Says how a creator is paid."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.PutPayeeResponse):
                return earlier
            await payees.lock(tx, whose, request.payee.creator_id)
            before = await payees.find(tx, whose, request.payee.creator_id)
            wanted = resources.wanted_payee(request.payee, before)
            kept = await payees.put(tx, whose, wanted, who, self._clock.now())
            answer = api.PutPayeeResponse(payee=resources.payee(kept))
            await remember(tx, whose, request, answer)
            return answer

    async def SetPayeeDestination(
        self, request: api.SetPayeeDestinationRequest, context: Context
    ) -> api.SetPayeeDestinationResponse:
        """Says where a creator's money goes."""
        whose, who = _caller()
        account, now = _account(request.account), self._clock.now()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.SetPayeeDestinationResponse):
                return earlier
            await payees.lock(tx, whose, request.creator_id)
            before = await _payee(tx, whose, request.creator_id)
            account_id = await payees.add_bank_account(
                tx, self._seal, whose, request.creator_id, account, changer=who, now=now
            )
            wanted = replace(before, bank_account_id=account_id, destination_hint=account.hint)
            kept = await payees.put(tx, whose, wanted, who, now)
            answer = api.SetPayeeDestinationResponse(payee=resources.payee(kept))
            await remember(tx, whose, request, answer)
            return answer

    async def SetPayer(self, request: api.SetPayerRequest, context: Context) -> api.SetPayerResponse:
        """Says from where payouts are made."""
        whose, who = _caller()
        account = _account(request.account)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.SetPayerResponse):
                return earlier
            await payees.add_bank_account(tx, self._seal, whose, "", account, changer=who, now=self._clock.now())
            answer = api.SetPayerResponse(account_hint=account.hint)
            await remember(tx, whose, request, answer)
            return answer

    async def GetPayee(self, request: api.GetPayeeRequest, context: Context) -> api.GetPayeeResponse:
        """How one creator is paid."""
        whose, _ = _caller()
        async with self._database.transaction() as tx:
            return api.GetPayeeResponse(payee=resources.payee(await _payee(tx, whose, request.creator_id)))

    async def ListPayees(self, request: api.ListPayeesRequest, context: Context) -> api.ListPayeesResponse:
        """How creators are paid, by creator."""
        whose, _ = _caller()
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await payees.page(tx, whose, part)
        shown = found[: part.size]
        return api.ListPayeesResponse(
            payees=[resources.payee(one) for one in shown],
            next_page_token=part.next_token(shown[-1].creator_id) if len(found) > part.size else "",
        )

    async def ListPayablePayees(
        self, request: api.ListPayablePayeesRequest, context: Context
    ) -> api.ListPayablePayeesResponse:
        """What creators would be paid, and why not."""
        whose, _ = _caller()
        part = page_of(request)
        asked = Asked(whose, request.currency, self._as_of(request), after=part.after, most=part.size + 1)
        async with self._database.transaction() as tx:
            found = await self._paying.judgements(tx, asked)
        shown = found[: part.size]
        return api.ListPayablePayeesResponse(
            payees=[resources.payable_payee(one) for one in shown],
            next_page_token=part.next_token(shown[-1].standing.creator_id) if len(found) > part.size else "",
        )

    async def PreparePayoutBatch(
        self, request: api.PreparePayoutBatchRequest, context: Context
    ) -> api.PreparePayoutBatchResponse:
        """Makes a batch of what is payable."""
        whose, who = _caller()
        asked = Asked(whose, request.currency, self._as_of(request))
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.PreparePayoutBatchResponse):
                return earlier
            batch = await self._paying.prepare(tx, asked, who)
            answer = api.PreparePayoutBatchResponse(batch=resources.batch(batch))
            await remember(tx, whose, request, answer)
            return answer

    async def ApprovePayoutBatch(
        self, request: api.ApprovePayoutBatchRequest, context: Context
    ) -> api.ApprovePayoutBatchResponse:
        """Sends a batch's money on its way."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            batch = await self._paying.approve(tx, whose, request.payout_batch_id, who)
        return api.ApprovePayoutBatchResponse(batch=resources.batch(batch))

    async def CancelPayoutBatch(
        self, request: api.CancelPayoutBatchRequest, context: Context
    ) -> api.CancelPayoutBatchResponse:
        """Drops a batch."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            batch = await self._paying.cancel(tx, whose, request.payout_batch_id, who)
        return api.CancelPayoutBatchResponse(batch=resources.batch(batch))

    async def SendPayoutBatch(
        self, request: api.SendPayoutBatchRequest, context: Context
    ) -> api.SendPayoutBatchResponse:
        """Lets a batch be handed over."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            batch = await self._paying.send(tx, whose, request.payout_batch_id, who)
        return api.SendPayoutBatchResponse(batch=resources.batch(batch))

    async def GetPayoutBatch(self, request: api.GetPayoutBatchRequest, context: Context) -> api.GetPayoutBatchResponse:
        """One batch."""
        whose, _ = _caller()
        async with self._database.transaction() as tx:
            batch = await _batch(tx, whose, request.payout_batch_id)
        return api.GetPayoutBatchResponse(batch=resources.batch(batch))

    async def GetPayoutBatchFile(
        self, request: api.GetPayoutBatchFileRequest, context: Context
    ) -> api.GetPayoutBatchFileResponse:
        """A batch for the bank, or for a table."""
        whose, _ = _caller()
        async with self._database.transaction() as tx:
            batch = await _batch(tx, whose, request.payout_batch_id)
            if batch.state not in (BatchState.APPROVED, BatchState.SENT, BatchState.COMPLETED):
                raise refusals.payout_batch_wrong_state(batch.payout_batch_id, batch.state.name)
            made = await store.of_batch(tx, batch.payout_batch_id)
            ids = [payout.bank_account_id for payout in made]
            accounts = await payees.bank_accounts_of(tx, self._seal, ids)
            if request.format == api.PAYOUT_FILE_FORMAT_CSV:
                body = HttpBody(content_type="text/csv; charset=utf-8", data=files.as_csv(made, accounts))
                return api.GetPayoutBatchFileResponse(file=body)
            if batch.state is BatchState.COMPLETED:  # there is nothing left to transfer
                raise refusals.payout_batch_wrong_state(batch.payout_batch_id, batch.state.name)
            if not currency(batch.currency).number:
                raise refusals.no_bank_currency(batch.currency)
            payer = await payees.payer(tx, self._seal, whose)
        if payer is None:
            raise refusals.payer_missing()
        file = files.as_pain(batch, made, accounts, payer, self._clock.now())
        return api.GetPayoutBatchFileResponse(file=HttpBody(content_type="application/xml", data=file))

    async def ListPayoutBatches(
        self, request: api.ListPayoutBatchesRequest, context: Context
    ) -> api.ListPayoutBatchesResponse:
        """Batches, newest first."""
        whose, _ = _caller()
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.batches_page(tx, whose, part)
        shown = found[: part.size]
        return api.ListPayoutBatchesResponse(
            batches=[resources.batch(one) for one in shown],
            next_page_token=part.next_token(shown[-1].payout_batch_id) if len(found) > part.size else "",
        )

    async def ListPayouts(self, request: api.ListPayoutsRequest, context: Context) -> api.ListPayoutsResponse:
        """Payouts, newest first."""
        whose, _ = _caller()
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.payouts_page(tx, whose, request.payout_batch_id, request.creator_id, part)
        shown = found[: part.size]
        return api.ListPayoutsResponse(
            payouts=[resources.payout(one) for one in shown],
            next_page_token=part.next_token(shown[-1].payout_id) if len(found) > part.size else "",
        )

    async def ConfirmPayout(self, request: api.ConfirmPayoutRequest, context: Context) -> api.ConfirmPayoutResponse:
        """A payout arrived."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            payout = await self._paying.confirm(tx, whose, request.payout_id, request.bank_reference, who)
        return api.ConfirmPayoutResponse(payout=resources.payout(payout))

    async def VoidPayout(self, request: api.VoidPayoutRequest, context: Context) -> api.VoidPayoutResponse:
        """A payout did not arrive."""
        whose, who = _caller()
        async with self._database.transaction() as tx:
            payout = await self._paying.void(tx, whose, request.payout_id, request.reason, who)
        return api.VoidPayoutResponse(payout=resources.payout(payout))

    def _as_of(self, request: api.ListPayablePayeesRequest | api.PreparePayoutBatchRequest) -> datetime:
        now = self._clock.now()
        as_of = moment(request, "payable_time") or now
        if as_of > now:
            raise refusals.period_invalid("payable_time", "what will be payable later is not known yet")
        return as_of


def _caller() -> tuple[str, str]:
    """Organisation and name of who calls."""
    call = current_call()
    assert call.principal is not None
    return call.organisation_id, call.principal.name


def _account(wanted: api.BankAccount) -> BankAccount:
    return bank_account(wanted.holder_name, wanted.iban, wanted.account_number, wanted.bic)


async def _payee(tx: Tx, organisation_id: str, creator_id: str) -> Payee:
    found = await payees.find(tx, organisation_id, creator_id)
    if found is None:
        raise refusals.payee_not_found(creator_id)
    return found


async def _batch(tx: Tx, organisation_id: str, payout_batch_id: str) -> Batch:
    found = await store.find_batch(tx, organisation_id, payout_batch_id)
    if found is None:
        raise refusals.payout_batch_not_found(payout_batch_id)
    return found
