"""Does what falls due: charges, asks again, gives up, ends.

Whatever dies where, a period is charged once. A charge is committed before the processor is asked, and its own id is the key by which the
processor knows it again; the outcome is committed after. Who dies in between leaves a charge that is open, and that the next scheduler asks for by
the same key once `ANSWERED_WITHIN` is over. While it is open nothing else of the subscription falls due. Two schedulers pass over what the other
holds. A clock that goes back makes them wait; one that goes ahead moves charges, and never doubles them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.uncancelled import heed_cancellation, uncancelled
from services.payments.processors import contract
from services.payments.processors.contract import Amount, Approved, Declined, Outcome, Unknown
from services.payments.subscriptions import charges, store
from services.payments.subscriptions.charges import KeptCharge, Stage
from services.payments.subscriptions.domain import Payer, Subscription
from services.payments.subscriptions.keeping import ANSWERED_WITHIN, Offers, Step, keep
from services.payments.subscriptions.periods import Purpose
from services.payments.subscriptions.settling import Answer, Settling

log = structlog.stdlib.get_logger()

BATCH: Final = 200
"""Subscriptions that are taken in hand at a time. Each batch is two short transactions, so 100,000 that fall due at once hold nobody up."""
AT_A_TIME: Final = 32
"""Charges that processors are asked for at a time."""


class Charger(Protocol):
    """What is needed of a processor here. It never raises for what goes wrong on the way."""

    async def charge(self, charge: contract.Charge) -> Outcome:
        """Takes money by a payment method that is known."""
        ...

    async def cancel(self, subscription_reference: str, key: str) -> Outcome:
        """Ends the renewals of a subscription."""
        ...


class Chargers(Protocol):
    """Finds processors."""

    async def charger(self, organisation_id: str, account_id: str) -> Charger | None:
        """The processor of an organisation's account; None when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Question:
    """A charge that a processor is to be asked for."""

    kept: KeptCharge
    payer: Payer


class Scheduler:
    """Works through what is due.

    Args:
        batch: how many subscriptions are taken in hand at a time.
    """

    def __init__(self, database: Database, clock: Clock, chargers: Chargers, *, batch: int = BATCH) -> None:
        self._database = database
        self._clock = clock
        self._chargers = chargers
        self._settling = Settling(database, clock)
        self._batch = batch
        self._room = asyncio.Semaphore(AT_A_TIME)

    async def run(self, every: float) -> None:
        """Works until cancelled, looking every so many seconds when there is nothing to do. Trouble is waited out."""
        while True:
            heed_cancellation()
            try:
                # Not cut off between question and answer: a drain waits for the batch.
                done = await uncancelled(self.once())
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it was, what is due stays due
                log.warning("scheduler is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
                done = 0
            if done < self._batch:
                await asyncio.sleep(every)

    async def once(self) -> int:
        """Does one batch of what is due. Returns how many subscriptions and charges it was about."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            found = await store.due(tx, now, self._batch)
            made = await self._fallen_due(tx, found, now) if found else []
            again = await charges.to_ask(tx, now, now + ANSWERED_WITHIN, self._batch)
            payers = {one.subscription_id: one.payer for one in found}
            if again:
                payers |= await store.payers(tx, [kept.subscription_id for kept in again])
        questions = [_Question(kept, payers[kept.subscription_id]) for kept in [*made, *again]]
        if questions:
            await self._settling.settle(await asyncio.gather(*(self._answer(question) for question in questions)))
        return len(found) + len(again)

    async def _fallen_due(self, tx: Tx, found: Sequence[Subscription], now: datetime) -> list[KeptCharge]:
        """Takes the next step with subscriptions that are due. Returns the charges that are to be asked for once this is committed."""
        offers = await Offers.to(tx, found)
        steps = [Step(one, *one.fallen_due(now, offers.next(one, now))) for one in found]
        return await keep(tx, steps, now, asked=True)

    async def _answer(self, question: _Question) -> Answer:
        async with self._room:
            return Answer(question.kept, await self._outcome(question))

    async def _outcome(self, question: _Question) -> Outcome:
        kept, payer = question.kept, question.payer
        if kept.stage is Stage.APPROVED:
            return Approved(kept.reference)
        if kept.stage is Stage.LOST:
            return Declined("nobody said what became of it", retryable=False)
        charger = await self._chargers.charger(kept.organisation_id, payer.account_id)
        if charger is None:
            return Unknown("the organisation has no such account with a processor")
        if kept.charge.purpose is Purpose.CANCELLATION:
            return await charger.cancel(payer.reference, kept.charge.charge_id)
        return await charger.charge(
            contract.Charge(
                payment_method_reference=payer.payment_method,
                amount=Amount(kept.charge.minor_units, kept.currency),
                idempotency_key=kept.charge.charge_id,
                checkout_id=payer.checkout_id,
                subscription_reference=payer.reference,
                description="subscription",
            )
        )
