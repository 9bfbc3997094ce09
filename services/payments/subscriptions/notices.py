"""What processors tell of subscriptions, in any order and any number of times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from services.kit.clock import Clock
from services.kit.database import Tx
from services.payments.processors.contract import Approved, Notice, NoticeKind
from services.payments.sales import store as sales
from services.payments.sales.domain import Takeback
from services.payments.sales.many import sell_many
from services.payments.sales.recording import Recording, Return
from services.payments.subscriptions import charges, store
from services.payments.subscriptions.charges import KeptCharge, Stage
from services.payments.subscriptions.domain import End, State, Subscription
from services.payments.subscriptions.keeping import Step, cancellation, keep, order
from services.payments.subscriptions.settling import Answer, Settling


class NotYet(Exception):
    """The notice is about something that was not heard of yet, such as the renewal of a sale whose own notice is still under way. It makes sense
    once that has come: keep it, and ask again later."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose notice it is.

    Attributes:
        processor: name of the kind, as the ledger knows it.
    """

    organisation_id: str
    processor: str


class Notices:
    """Applies notices, each in the caller's transaction. The same one again changes nothing."""

    def __init__(self, clock: Clock, recording: Recording, settling: Settling) -> None:
        self._clock = clock
        self._recording = recording
        self._settling = settling

    async def apply(self, tx: Tx, source: Source, notice: Notice) -> bool:
        """Does what a notice says. Tells whether it was about a subscription; otherwise nothing was done.

        Raises:
            NotYet: it is, and what it is about is not known yet.
            Refusal: it cannot be booked.
        """
        match notice.kind:
            case NoticeKind.RENEWAL:
                return await self._renewed(tx, source, notice)
            case NoticeKind.SALE:
                return await self._paid(tx, source, notice)
            case NoticeKind.RENEWAL_FAILED | NoticeKind.CANCELLATION | NoticeKind.EXPIRY:
                return await self._changed(tx, source, notice)
            case NoticeKind.REFUND | NoticeKind.VOID:
                return await self._given_back(tx, source, notice, Takeback.REFUND)
            case NoticeKind.CHARGEBACK:
                return await self._given_back(tx, source, notice, Takeback.CHARGEBACK)
        return False

    async def _found(self, tx: Tx, source: Source, notice: Notice) -> Subscription | None:
        """The subscription that a notice names, locked; None when it names none.

        Raises:
            NotYet: there is none by that name yet.
        """
        if not notice.subscription_reference:
            return None
        found = await store.by_reference(tx, source.organisation_id, source.processor, notice.subscription_reference)
        if found is None:
            raise NotYet(f"no subscription of {source.processor} is known by {notice.subscription_reference}")
        return found

    async def _paid(self, tx: Tx, source: Source, notice: Notice) -> bool:
        """The notice of a charge that we made ourselves: its answer may have been lost."""
        kept = await charges.by_reference(tx, source.organisation_id, source.processor, notice.transaction_reference)
        if kept is not None:
            return True
        waiting = await self._waiting(tx, source, notice)
        if waiting is None:
            return False
        await self._settling.keep(tx, [Answer(waiting, Approved(notice.transaction_reference))])
        return True

    async def _waiting(self, tx: Tx, source: Source, notice: Notice) -> KeptCharge | None:
        """The charge under way whose outcome a notice tells: of the subscription that its checkout began, and of this amount."""
        one = await store.by_checkout(tx, source.organisation_id, notice.checkout_id)
        if one is None or not one.open_charge_id or one.payer.processor != source.processor:
            return None
        kept = (await charges.by_ids(tx, [one.open_charge_id]))[one.open_charge_id]
        return kept if notice.amount == (kept.charge.minor_units, kept.currency) else None

    async def _renewed(self, tx: Tx, source: Source, notice: Notice) -> bool:
        one = await self._found(tx, source, notice)
        if one is None or not one.payer.renews_by_itself:
            return await self._paid(tx, source, notice)
        if await charges.by_reference(tx, source.organisation_id, source.processor, notice.transaction_reference):
            return True
        now = self._clock.now()
        minor_units, currency = notice.amount or (one.deal.price, one.currency)
        after, charge = one.renewed(notice.occur_time, minor_units)
        living = await store.living(tx, one.organisation_id, one.viewer_id)
        if living is not None and living.subscription_id != one.subscription_id:
            after = (
                one  # it came to life after its end, beside another: the sale is booked, and goes back as people decide
            )
        await keep(tx, [Step(one, after)], now)
        sold = order(replace(one, currency=currency), notice.transaction_reference, minor_units, notice.occur_time)
        sale = (await sell_many(tx, [sold], now))[0]
        made = KeptCharge.new(replace(one, currency=currency), charge, now, now)
        done = replace(made, stage=Stage.DONE, reference=notice.transaction_reference, ask_time=None, outcome_time=now)
        await charges.add_all(tx, [replace(done, sale_id=sale.sale_id)])
        return True

    async def _changed(self, tx: Tx, source: Source, notice: Notice) -> bool:
        one = await self._found(tx, source, notice)
        if one is None:
            return False
        now = self._clock.now()
        change: Callable[[], Subscription] = {
            NoticeKind.RENEWAL_FAILED: one.renewal_failed,
            NoticeKind.CANCELLATION: lambda: one.cancelled(now),
            NoticeKind.EXPIRY: lambda: one.ended(_ENDS.get(one.state, End.PROCESSOR), now),
        }[notice.kind]
        if notice.occur_time < one.period.start and notice.kind is not NoticeKind.CANCELLATION:
            return True  # of a period that was paid after all
        await keep(tx, [Step(one, change())], now)
        return True

    async def _given_back(self, tx: Tx, source: Source, notice: Notice, kind: Takeback) -> bool:
        kept = await charges.by_reference(tx, source.organisation_id, source.processor, notice.original_reference)
        if kept is None:
            if notice.subscription_reference and not await sales.known(
                tx, source.organisation_id, source.processor, notice.original_reference
            ):
                raise NotYet(f"{source.processor} gave back {notice.original_reference}, which is not known yet")
            return False
        one = (await store.locked(tx, [kept.subscription_id]))[kept.subscription_id]
        content = f"{kind.name}\0{notice.transaction_reference}\0{kept.sale_id}\0{notice.amount}"
        wanted = Return(
            source.organisation_id,
            kept.sale_id,
            kind,
            notice.transaction_reference,
            hashlib.sha256(content.encode()).digest(),
            notice.amount.minor_units if notice.amount else None,
            tuple(amount.currency for amount in (notice.amount, notice.fee) if amount),
            revoke=False,
            fee=notice.fee.minor_units if notice.fee else 0,
        )
        sale, _ = await self._recording.give_back(tx, wanted)
        await self.returned(tx, one, kept, kind, sale.remaining)
        return True

    async def returned(self, tx: Tx, one: Subscription, kept: KeptCharge, kind: Takeback, remaining: int) -> None:
        """Does what follows for a subscription, which is locked, when a price was given back."""
        now = self._clock.now()
        if kind is Takeback.CHARGEBACK:
            after = one.ended(End.CHARGED_BACK, now)
        elif remaining == 0:
            after = one.refunded(kept.charge.period, now)
        else:
            return
        if after is not one:
            await keep(tx, [Step(one, after, cancellation(one))], now)


_ENDS: Final = {State.CANCELLING: End.CANCELLED, State.PAST_DUE: End.UNPAID}
