"""Sends money back through processors. A refund is kept before its processor is asked, and asked for with the same key until it is clear what
became of it, by this process or by the next."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.checkouts import store
from services.payments.checkouts.domain import Checkout, CheckoutState, Refund, RefundState
from services.payments.processors import contract
from services.payments.processors.accounts import Accounts
from services.payments.processors.calling import Calling
from services.payments.sales import store as sales
from services.payments.sales.domain import Takeback
from services.payments.sales.recording import Recording, Return
from services.payments.webhooks.handling import content_of
from services.payments.webhooks.queue import pause

log = structlog.stdlib.get_logger()

_IN_HAND: Final = timedelta(minutes=2)
"""For how long nobody else asks for a refund that is being asked for."""
_LOOK_EVERY: Final = 2.0


class Refunding:
    """Refunds checkouts."""

    def __init__(
        self, database: Database, clock: Clock, accounts: Accounts, calling: Calling, recording: Recording
    ) -> None:
        self._database = database
        self._clock = clock
        self._accounts = accounts
        self._calling = calling
        self._recording = recording

    async def begun(self, tx: Tx, organisation_id: str, checkout_id: str, amount: contract.Amount | None) -> Refund:
        """Keeps a refund that the processor is not asked for yet; the one of all that is left that is under way or done, if there is one
        and that is what is wanted.

        Raises:
            Refusal: `CHECKOUT_NOT_FOUND`, `CHECKOUT_NOT_PAID`, `CURRENCY_MIXED` or `AMOUNT_EXCEEDS_REMAINING`.
        """
        checkout = await store.find(tx, organisation_id, checkout_id, for_update=True)
        if checkout is None:
            raise refusals.checkout_not_found(checkout_id)
        if checkout.state is not CheckoutState.PAID:
            raise refusals.checkout_not_paid(checkout_id)
        standing = [one for one in await store.refunds_of(tx, checkout_id) if one.state is not RefundState.DECLINED]
        if amount is None and (whole := next((one for one in standing if one.whole), None)):
            return whole
        if amount is not None and amount.currency != checkout.currency:
            raise refusals.currency_mixed(checkout.currency, amount.currency)
        sale = await sales.find(tx, organisation_id, checkout.sale_id)
        under_way = sum(one.minor_units for one in standing if one.state is RefundState.PENDING)
        left = (sale.remaining if sale else 0) - under_way
        wanted = left if amount is None else amount.minor_units
        if wanted < 1 or wanted > left:
            raise refusals.amount_exceeds_remaining(max(left, 0))
        now = self._clock.now()
        refund = Refund(
            refund_id=new_id("rfd"),
            organisation_id=organisation_id,
            checkout_id=checkout_id,
            minor_units=wanted,
            currency=checkout.currency,
            whole=amount is None,
            state=RefundState.PENDING,
            reason="",
            attempts=0,
            due_time=now + _IN_HAND,
            create_time=now,
        )
        await store.add_refund(tx, refund)
        return refund

    async def asked(self, refund: Refund) -> Refund:
        """Asks the processor for a refund that this caller has in hand, and keeps what it says. Returns the refund as it is then."""
        async with self._database.transaction() as tx:
            checkout = await store.find(tx, refund.organisation_id, refund.checkout_id)
            assert checkout is not None
            working = await self._accounts.of_organisation(tx, refund.organisation_id, checkout.account_id)
        wanted = contract.Refund(
            transaction_reference=checkout.transaction_reference,
            amount=contract.Amount(refund.minor_units, refund.currency),
            whole=refund.minor_units == checkout.minor_units,
            idempotency_key=refund.refund_id,
        )
        outcome = await self._calling.outcome(working, "refund", lambda processor: processor.refund(wanted))
        async with self._database.transaction() as tx:
            return await self._settled(tx, checkout, refund, outcome)

    async def _settled(self, tx: Tx, checkout: Checkout, refund: Refund, outcome: contract.Outcome) -> Refund:
        kept = await store.find_refund(tx, refund.refund_id, for_update=True)
        if kept.state is not RefundState.PENDING:
            return kept
        match outcome:
            case contract.Approved(reference):
                reason = await self._recorded(tx, checkout, refund, reference)
                kept = replace(kept, state=RefundState.MADE, reason=reason, due_time=None)
            case contract.Declined(reason):
                kept = replace(kept, state=RefundState.DECLINED, reason=reason[:200], due_time=None)
            case contract.Unknown(reason):
                due = self._clock.now() + pause(kept.attempts)
                kept = replace(kept, reason=reason[:200], due_time=due)
        kept = replace(kept, attempts=kept.attempts + 1)
        await store.put_refund(tx, kept)
        return kept

    async def _recorded(self, tx: Tx, checkout: Checkout, refund: Refund, reference: str) -> str:
        """Records the money that goes back, unless the webhook was faster. Returns what is odd about it, if anything is."""
        wanted = Return(
            organisation_id=refund.organisation_id,
            sale_id=checkout.sale_id,
            kind=Takeback.REFUND,
            reference=reference,
            content=content_of(Takeback.REFUND.name, checkout.processor, reference),
            minor_units=refund.minor_units,
            currencies=(refund.currency,),
            revoke=False,
        )
        try:
            async with tx.begin_nested():
                await self._recording.give_back(tx, wanted)
        except Refusal as refusal:
            # The money is gone all the same: the day's comparison with the processor's report shows what is missing here.
            log.exception("a refund that was made cannot be recorded", refund=refund.refund_id, reason=refusal.reason)
            return f"made, and not recorded: {refusal.reason}"
        return ""

    async def once(self) -> bool:
        """Asks again for one refund that is due. Returns whether there was one."""
        async with self._database.transaction() as tx:
            refund = await store.claim_refund(tx, self._clock.now())
            if refund is None:
                return False
            await store.put_refund(tx, replace(refund, due_time=self._clock.now() + _IN_HAND))
        await self.asked(refund)
        return True

    async def run(self) -> None:
        """Asks again for what is due, until cancelled."""
        while True:
            try:
                while await self.once():
                    pass
            except Exception as error:
                log.warning("refunds are waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(_LOOK_EVERY)
