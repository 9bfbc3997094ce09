"""Keeps what processors answered: the outcome, the sale, and the subscription's next state, in one transaction, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
import structlog
from reelmesh.payments.v1.events_pb2 import ENTITLEMENT_KIND_SUBSCRIPTION

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.payments.processors.contract import Approved, Declined, Outcome, Unknown
from services.payments.sales.many import sell_many
from services.payments.sales.recording import Order
from services.payments.subscriptions import charges, store
from services.payments.subscriptions.charges import KeptCharge, Stage
from services.payments.subscriptions.domain import Subscription
from services.payments.subscriptions.keeping import Step, keep, order
from services.payments.subscriptions.periods import Purpose

log = structlog.stdlib.get_logger()

FIRST_PAUSE: Final = timedelta(minutes=1)
LAST_PAUSE: Final = timedelta(hours=1)
KEYS_LAST: Final = timedelta(hours=23)
"""For how long a processor is trusted to know a key again: Stripe may forget it after 24 hours. After that a charge is not asked for any more."""
LOST_FOR: Final = timedelta(days=7)
"""How long a charge that nobody answered for waits for a notice of the processor's. Then it counts as declined, and for good: with another key
it might be taken twice."""
BOOKED_AGAIN: Final = timedelta(minutes=5)
"""After which what could not be written into the books is tried again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a processor said of a charge."""

    kept: KeptCharge
    outcome: Outcome


@dataclass(slots=True)
class _Settled:
    """What one transaction is to keep."""

    steps: list[Step] = field(default_factory=list)
    charges: list[KeptCharge] = field(default_factory=list)
    paid: list[tuple[KeptCharge, Subscription]] = field(default_factory=list)


class Settling:
    """Keeps answers, by the hundred."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def settle(self, answers: Sequence[Answer]) -> None:
        """Keeps answers, all of an organisation's at once. What spoils that for the others is kept by itself."""
        for organisation_id in sorted({answer.kept.organisation_id for answer in answers}):
            own = [answer for answer in answers if answer.kept.organisation_id == organisation_id]
            try:
                async with self._database.transaction() as tx:
                    await self.keep(tx, own)
            except (Refusal, sa.exc.DBAPIError) as error:
                log.warning(
                    "charges are settled one by one", charges=len(own), error=telemetry.masked(str(error))[:300]
                )
                for answer in own:
                    await self._alone(answer)

    async def _alone(self, answer: Answer) -> None:
        """One that may have spoiled the others: the money was taken, so it is kept as such and booked as soon as that can be."""
        try:
            async with self._database.transaction() as tx:
                await self.keep(tx, [answer])
        except Refusal as error:
            log.warning(
                "a charge that was paid cannot be booked", charge_id=answer.kept.charge.charge_id, error=str(error)
            )  # its words are enough
            if not isinstance(answer.outcome, Approved):
                raise
            async with self._database.transaction() as tx:
                await store.locked(tx, [answer.kept.subscription_id])
                kept = (await charges.by_ids(tx, [answer.kept.charge.charge_id]))[answer.kept.charge.charge_id]
                if kept.stage in _OPEN:
                    later = self._clock.now() + BOOKED_AGAIN
                    paid = replace(
                        kept,
                        stage=Stage.APPROVED,
                        reference=answer.outcome.reference,
                        ask_time=later,
                        reason=error.reason,
                    )
                    await charges.put_all(tx, [paid])
        except sa.exc.DBAPIError as error:
            # It stays open, and is asked for again by its key.
            log.warning(
                "a charge was not settled",
                charge_id=answer.kept.charge.charge_id,
                error=telemetry.masked(str(error))[:300],
            )

    async def keep(self, tx: Tx, answers: Sequence[Answer]) -> None:
        """Keeps answers about charges of one organisation, in the caller's transaction. Those whose outcome is known already say nothing new."""
        now = self._clock.now()
        found = await store.locked(tx, [answer.kept.subscription_id for answer in answers])
        known = await charges.by_ids(tx, [answer.kept.charge.charge_id for answer in answers])
        settled = _Settled()
        for answer in answers:
            kept = known[answer.kept.charge.charge_id]
            if kept.stage in _OPEN:
                self._judge(settled, kept, found[kept.subscription_id], answer.outcome, now)
        await keep(tx, settled.steps, now)
        sales = await sell_many(tx, _orders(settled.paid), ENTITLEMENT_KIND_SUBSCRIPTION, now) if settled.paid else []
        sale_ids = {kept.charge.charge_id: sale.sale_id for (kept, _), sale in zip(settled.paid, sales, strict=True)}
        await charges.put_all(
            tx, [replace(kept, sale_id=sale_ids.get(kept.charge.charge_id, "")) for kept in settled.charges]
        )

    def _judge(self, into: _Settled, kept: KeptCharge, one: Subscription, outcome: Outcome, now: datetime) -> None:
        match outcome:
            case Approved(reference):
                done = replace(kept, stage=Stage.DONE, reference=reference, reason="", ask_time=None, outcome_time=now)
                if kept.charge.purpose is not Purpose.CANCELLATION:
                    into.steps.append(Step(one, one.approved(kept.charge)))
                    into.paid.append((done, one))
            case Declined(reason, retryable):
                done = replace(kept, stage=Stage.DECLINED, reason=reason[:200], ask_time=None, outcome_time=now)
                if kept.charge.purpose is Purpose.CANCELLATION:
                    log.error(
                        "the processor does not end a subscription", charge_id=kept.charge.charge_id, reason=reason
                    )
                else:
                    into.steps.append(Step(one, one.declined(kept.charge, now, retryable=retryable)))
            case Unknown(reason, retry_after):
                done = _unclear(kept, reason, retry_after, now)
        into.charges.append(done)


_OPEN: Final = frozenset({Stage.ASKED, Stage.APPROVED, Stage.LOST})


def _unclear(kept: KeptCharge, reason: str, retry_after: timedelta | None, now: datetime) -> KeptCharge:
    asked = replace(kept, reason=reason[:200], asked=kept.asked + 1)
    if now - kept.create_time > KEYS_LAST and kept.charge.purpose is not Purpose.CANCELLATION:
        log.error("nobody knows whether a charge was paid", charge_id=kept.charge.charge_id, reason=reason[:100])
        return replace(asked, stage=Stage.LOST, ask_time=now + LOST_FOR)
    pause = min(FIRST_PAUSE * 2 ** min(kept.asked, 10), LAST_PAUSE)
    return replace(asked, ask_time=now + max(pause, retry_after or pause))


def _orders(paid: Iterable[tuple[KeptCharge, Subscription]]) -> list[Order]:
    return [
        order(one, kept.reference, kept.charge.minor_units, kept.outcome_time or kept.create_time) for kept, one in paid
    ]
