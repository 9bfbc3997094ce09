"""Pays creators: what happens to batches and payouts, each with its entry in the ledger and its event, in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime

from reelmesh.payments.v1 import events_pb2

from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.ledger import store as ledger
from services.payments.ledger.currencies import currency
from services.payments.ledger.domain import Draft, EntryKind, Posting
from services.payments.payouts import store
from services.payments.payouts.domain import (
    MOST_PAYOUTS,
    Batch,
    BatchState,
    Judgement,
    Payout,
    PayoutState,
    Withheld,
    judged,
)
from services.payments.payouts.payable import Asked, standings


class Paying:
    """Everything that is written about payouts goes through here. Each method is one transaction's work, and posts last but for a few rows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def judgements(self, tx: Tx, asked: Asked) -> list[Judgement]:
        """What creators would be paid, and why not. It reads only."""
        currency(asked.currency)
        now = self._clock.now()
        return [judged(standing, now) for standing in await standings(tx, asked)]

    async def prepare(self, tx: Tx, asked: Asked, preparer: str) -> Batch:
        """Makes a batch of what is payable.

        Raises:
            Refusal: `CURRENCY_UNKNOWN`, or FAILED_PRECONDITION `NOTHING_PAYABLE`.
        """
        now = self._clock.now()
        found = await self.judgements(tx, replace(asked, only_above_zero=True))
        chosen = [judgement for judgement in found if judgement.payable][:MOST_PAYOUTS]
        if not chosen:
            raise refusals.nothing_payable(asked.currency)
        batch = Batch(
            payout_batch_id=new_id("pbt"),
            organisation_id=asked.organisation_id,
            currency=asked.currency,
            total=sum(judgement.payable for judgement in chosen),
            payout_count=len(chosen),
            payable_time=asked.as_of,
            preparer=preparer,
            create_time=now,
            change_time=now,
        )
        await store.add(tx, batch, [_payout(batch, judgement) for judgement in chosen])
        return batch

    async def approve(self, tx: Tx, organisation_id: str, payout_batch_id: str, approver: str) -> Batch:
        """Sends a batch's money on its way.

        Batches of one organisation are approved one after the other, and each is judged anew: whatever another one took is not there any more.

        Raises:
            Refusal: `PAYOUT_BATCH_NOT_FOUND`, `PAYOUT_BATCH_WRONG_STATE`, `SECOND_PERSON_NEEDED`, `PAYOUT_NOT_PAYABLE`, or `OVERDRAFT` where a
                refund came at this very moment.
        """
        now = self._clock.now()
        batch = await self._locked_batch(tx, organisation_id, payout_batch_id)
        if batch.approver == approver:
            return batch
        _expect_batch(batch, BatchState.PREPARED)
        if batch.preparer == approver:
            raise refusals.second_person_needed(payout_batch_id)
        made = await store.of_batch(tx, payout_batch_id)
        await self._still_payable(tx, batch, made)
        postings = tuple(posting for payout in made for posting in payout.on_its_way)
        entry_id = await self._post(tx, batch.organisation_id, EntryKind.PAYOUT, f"payout/{payout_batch_id}", postings)
        await store.step_batch(tx, batch, BatchState.APPROVED, approver, now, entry_id=entry_id)
        event = events_pb2.PayoutBatchApproved(
            payout_batch_id=payout_batch_id,
            organisation_id=organisation_id,
            entry_id=entry_id,
            minor_units=batch.total,
            currency=batch.currency,
            payout_count=batch.payout_count,
            preparer=batch.preparer,
            approver=approver,
            approve_time=timestamp(now),
        )
        await announce(tx, event)
        return replace(batch, state=BatchState.APPROVED, approver=approver, entry_id=entry_id, change_time=now)

    async def _still_payable(self, tx: Tx, batch: Batch, made: list[Payout]) -> None:
        asked = Asked(
            batch.organisation_id,
            batch.currency,
            batch.payable_time,
            only=[payout.creator_id for payout in made],
        )
        by_creator = {judgement.standing.creator_id: judgement for judgement in await self.judgements(tx, asked)}
        for payout in made:
            judgement = by_creator[payout.creator_id]
            if judgement.withheld:
                raise refusals.payout_not_payable(payout.creator_id, judgement.withheld.name)
            payee = judgement.standing.payee
            if payee is None or payee.bank_account_id != payout.bank_account_id:
                raise refusals.payout_not_payable(payout.creator_id, "DESTINATION_CHANGED")
            if judgement.payable < payout.minor_units:
                raise refusals.payout_not_payable(payout.creator_id, Withheld.NOTHING_EARNED.name)

    async def cancel(self, tx: Tx, organisation_id: str, payout_batch_id: str, actor: str) -> Batch:
        """Drops a batch that was not approved.

        Raises:
            Refusal: `PAYOUT_BATCH_NOT_FOUND` or `PAYOUT_BATCH_WRONG_STATE`.
        """
        batch = await self._locked_batch(tx, organisation_id, payout_batch_id)
        if batch.state is BatchState.CANCELLED:
            return batch
        _expect_batch(batch, BatchState.PREPARED)
        return await self._stepped(tx, batch, BatchState.CANCELLED, actor)

    async def send(self, tx: Tx, organisation_id: str, payout_batch_id: str, actor: str) -> Batch:
        """Lets an approved batch be handed over.

        Raises:
            Refusal: `PAYOUT_BATCH_NOT_FOUND` or `PAYOUT_BATCH_WRONG_STATE`.
        """
        batch = await self._locked_batch(tx, organisation_id, payout_batch_id)
        if batch.state in (BatchState.SENT, BatchState.COMPLETED):
            return batch
        _expect_batch(batch, BatchState.APPROVED)
        return await self._stepped(tx, batch, BatchState.SENT, actor)

    async def handed_over(self, tx: Tx, organisation_id: str, payout_id: str, actor: str) -> Payout:
        """Keeps that a payout is being given to who transfers it.

        Raises:
            Refusal: `PAYOUT_NOT_FOUND`.
        """
        payout = await self._locked_payout(tx, organisation_id, payout_id)
        if payout.state is not PayoutState.PENDING:
            return payout
        now = self._clock.now()
        await store.step_payout(tx, payout, PayoutState.SENT, actor, now)
        return replace(payout, state=PayoutState.SENT, change_time=now)

    async def confirm(self, tx: Tx, organisation_id: str, payout_id: str, bank_reference: str, actor: str) -> Payout:
        """Settles a payout that was sent.

        Raises:
            Refusal: `PAYOUT_NOT_FOUND` or `PAYOUT_WRONG_STATE`.
        """
        payout = await self._locked_payout(tx, organisation_id, payout_id)
        if payout.state is PayoutState.POSTED and payout.bank_reference == bank_reference:
            return payout
        _expect_payout(payout, PayoutState.SENT)
        now = self._clock.now()
        entry_id = await self._end(tx, payout, EntryKind.PAYOUT_SETTLED, payout.arrived)
        await store.step_payout(
            tx, payout, PayoutState.POSTED, actor, now, bank_reference=bank_reference, entry_id=entry_id
        )
        event = events_pb2.PayoutPosted(
            payout_id=payout_id,
            organisation_id=organisation_id,
            creator_id=payout.creator_id,
            entry_id=entry_id,
            minor_units=payout.minor_units,
            currency=payout.currency,
            post_time=timestamp(now),
        )
        await announce(tx, event)
        await self._completed(tx, payout, actor)
        return replace(
            payout, state=PayoutState.POSTED, bank_reference=bank_reference, entry_id=entry_id, change_time=now
        )

    async def void(self, tx: Tx, organisation_id: str, payout_id: str, reason: str, actor: str) -> Payout:
        """Gives the money of a payout that did not arrive, or will not be made, back to the creator.

        Raises:
            Refusal: `PAYOUT_NOT_FOUND` or `PAYOUT_WRONG_STATE`.
        """
        payout = await self._locked_payout(tx, organisation_id, payout_id)
        if payout.state is PayoutState.VOID and payout.reason == reason:
            return payout
        _expect_payout(payout, PayoutState.PENDING, PayoutState.SENT)
        now = self._clock.now()
        entry_id = await self._end(tx, payout, EntryKind.PAYOUT_VOID, payout.given_back)
        await store.step_payout(tx, payout, PayoutState.VOID, actor, now, reason=reason, entry_id=entry_id)
        event = events_pb2.PayoutVoided(
            payout_id=payout_id,
            organisation_id=organisation_id,
            creator_id=payout.creator_id,
            entry_id=entry_id,
            minor_units=payout.minor_units,
            currency=payout.currency,
            reason=reason,
            void_time=timestamp(now),
        )
        await announce(tx, event)
        await self._completed(tx, payout, actor)
        return replace(payout, state=PayoutState.VOID, reason=reason, entry_id=entry_id, change_time=now)

    async def _end(self, tx: Tx, payout: Payout, kind: EntryKind, postings: tuple[Posting, ...]) -> str:
        batch = await store.find_batch(tx, payout.organisation_id, payout.payout_batch_id)
        assert batch is not None
        reference = f"{kind.name.lower().replace('_', '-')}/{payout.payout_id}"
        return await self._post(tx, payout.organisation_id, kind, reference, postings, reverses=batch.entry_id)

    async def _post(
        self,
        tx: Tx,
        organisation_id: str,
        kind: EntryKind,
        reference: str,
        postings: tuple[Posting, ...],
        *,
        reverses: str = "",
    ) -> str:
        now = self._clock.now()
        content = hashlib.sha256(reference.encode()).digest()
        draft = Draft(organisation_id, kind, reference, content, postings, now, reverses_entry_id=reverses)
        return (await ledger.post(tx, draft, now)).entry_id

    async def _completed(self, tx: Tx, payout: Payout, actor: str) -> None:
        batch = await store.find_batch(tx, payout.organisation_id, payout.payout_batch_id)
        if batch and await store.ended(tx, batch.payout_batch_id) == batch.payout_count:
            await self._stepped(tx, batch, BatchState.COMPLETED, actor)

    async def _stepped(self, tx: Tx, batch: Batch, state: BatchState, actor: str) -> Batch:
        now: datetime = self._clock.now()
        await store.step_batch(tx, batch, state, actor, now)
        return replace(batch, state=state, change_time=now)

    async def _locked_batch(self, tx: Tx, organisation_id: str, payout_batch_id: str) -> Batch:
        await store.lock(tx, organisation_id)
        batch = await store.find_batch(tx, organisation_id, payout_batch_id)
        if batch is None:
            raise refusals.payout_batch_not_found(payout_batch_id)
        return batch

    async def _locked_payout(self, tx: Tx, organisation_id: str, payout_id: str) -> Payout:
        await store.lock(tx, organisation_id)
        payout = await store.find_payout(tx, organisation_id, payout_id)
        if payout is None:
            raise refusals.payout_not_found(payout_id)
        return payout


def _payout(batch: Batch, judgement: Judgement) -> Payout:
    payee = judgement.standing.payee
    assert payee is not None
    return Payout(
        payout_id=new_id("pyo"),
        payout_batch_id=batch.payout_batch_id,
        organisation_id=batch.organisation_id,
        creator_id=judgement.standing.creator_id,
        currency=batch.currency,
        minor_units=judgement.payable,
        bank_account_id=payee.bank_account_id,
        destination_hint=payee.destination_hint,
    )


def _expect_batch(batch: Batch, wanted: BatchState) -> None:
    if batch.state is not wanted:
        raise refusals.payout_batch_wrong_state(batch.payout_batch_id, batch.state.name)


def _expect_payout(payout: Payout, *wanted: PayoutState) -> None:
    if payout.state not in wanted:
        raise refusals.payout_wrong_state(payout.payout_id, payout.state.name)
