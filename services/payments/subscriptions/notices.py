"""What processors tell of subscriptions, in any order and any number of times."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from reelmesh.payments.v1.events_pb2 import ENTITLEMENT_KIND_SUBSCRIPTION

from services.kit.clock import Clock
from services.kit.database import Tx
from services.payments.checkouts.notices import SaleNotices
from services.payments.processors.contract import Approved, NoticeKind
from services.payments.sales import store as sales
from services.payments.sales.domain import Takeback
from services.payments.sales.many import sell_many
from services.payments.subscriptions import charges, store
from services.payments.subscriptions.charges import KeptCharge, Stage
from services.payments.subscriptions.checkouts import Beginning
from services.payments.subscriptions.domain import End, State, Subscription
from services.payments.subscriptions.keeping import Step, cancellation, keep, order
from services.payments.subscriptions.settling import Answer, Settling
from services.payments.webhooks.handling import NOT_MINE, Applied, Handled, Told, WaitsFor, subscription_key

_ENDS: Final = {State.CANCELLING: End.CANCELLED, State.PAST_DUE: End.UNPAID}


class SubscriptionNotices:
    """Applies notices, each in the caller's transaction. The same one again changes nothing.

    Args:
        settling: keeps outcomes of charges, should a notice be first to tell one.
        sale_notices: books what goes back.
    """

    def __init__(self, clock: Clock, settling: Settling, sale_notices: SaleNotices) -> None:
        self._clock = clock
        self._settling = settling
        self._sale_notices = sale_notices
        self._beginning = Beginning(clock)

    async def apply(self, tx: Tx, told: Told) -> Handled:
        """Applies whatever is about a subscription. A renewal that comes before its sale waits for it."""
        match told.notice.kind:
            case NoticeKind.SALE:
                return await self._paid(tx, told)
            case NoticeKind.SALE_FAILED:
                return await self._beginning.apply(tx, told)
            case NoticeKind.RENEWAL:
                return await self._renewed(tx, told)
            case NoticeKind.RENEWAL_FAILED | NoticeKind.CANCELLATION | NoticeKind.EXPIRY:
                return await self._changed(tx, told)
            case NoticeKind.REFUND | NoticeKind.VOID:
                return await self._given_back(tx, told, Takeback.REFUND)
            case NoticeKind.CHARGEBACK:
                return await self._given_back(tx, told, Takeback.CHARGEBACK)
        return NOT_MINE

    async def _paid(self, tx: Tx, told: Told) -> Handled:
        """The notice of a charge that we made ourselves, whose answer may have been lost; or of a first period that was paid at a checkout."""
        reference = told.notice.transaction_reference
        if await charges.by_reference(tx, told.organisation_id, told.processor, reference):
            return Applied("known before")
        waiting = await self._waiting(tx, told)
        if waiting is None:
            return await self._beginning.apply(tx, told)
        await self._settling.keep(tx, [Answer(waiting, Approved(reference))])
        return Applied()

    async def _waiting(self, tx: Tx, told: Told) -> KeptCharge | None:
        """The charge under way whose outcome a notice tells: of the subscription that its checkout began or its payment method pays,
        and of this amount."""
        notice = told.notice
        one = await store.waiting_for(
            tx, told.organisation_id, told.processor, notice.checkout_id, notice.payment_method_reference
        )
        if one is None:
            return None
        kept = (await charges.by_ids(tx, [one.open_charge_id]))[one.open_charge_id]
        return kept if told.notice.amount == (kept.charge.minor_units, kept.currency) else None

    async def _renewed(self, tx: Tx, told: Told) -> Handled:
        notice = told.notice
        one = await _named(tx, told)
        if one is not None and not one.payer.renews_by_itself:
            return await self._paid(tx, told)
        if one is None:
            if (handled := await self._paid(tx, told)) is not NOT_MINE or not notice.subscription_reference:
                return handled
            return WaitsFor(subscription_key(notice.subscription_reference))
        if await charges.by_reference(tx, told.organisation_id, told.processor, notice.transaction_reference):
            return Applied("known before")
        now = self._clock.now()
        minor_units, currency = notice.amount or (one.deal.price, one.currency)
        after, charge = one.renewed(notice.occur_time, minor_units)
        living = await store.living(tx, one.organisation_id, one.viewer_id)
        beside = living is not None and living.subscription_id != one.subscription_id
        await keep(tx, [Step(one, one if beside else after)], now)
        paid_in = replace(one, currency=currency)
        made = KeptCharge.new(paid_in, charge, now, now)
        done = replace(made, stage=Stage.DONE, reference=notice.transaction_reference, ask_time=None, outcome_time=now)
        sold = order(paid_in, notice.transaction_reference, minor_units, notice.occur_time)
        sale = (await sell_many(tx, [sold], ENTITLEMENT_KIND_SUBSCRIPTION, now))[0]
        await charges.add_all(tx, [replace(done, sale_id=sale.sale_id)])
        return Applied("the viewer has another subscription by now; refund this renewal" if beside else "")

    async def _changed(self, tx: Tx, told: Told) -> Handled:
        notice = told.notice
        one = await _named(tx, told)
        if one is None:
            reference = notice.subscription_reference
            return WaitsFor(subscription_key(reference)) if reference else NOT_MINE
        now = self._clock.now()
        if notice.kind is NoticeKind.CANCELLATION:
            after = one.cancelled(now)
        elif notice.occur_time < one.period.start:
            return Applied("of a period that was paid after all")
        elif notice.kind is NoticeKind.EXPIRY:
            after = one.ended(_ENDS.get(one.state, End.PROCESSOR), now)
        else:
            after = one.renewal_failed()
        await keep(tx, [Step(one, after)], now)
        return Applied(notice.reason)

    async def _given_back(self, tx: Tx, told: Told, kind: Takeback) -> Handled:
        """Books what goes back of a period, and does what follows for the subscription. It is locked first, as it is by whoever posts for it."""
        original = told.notice.original_reference
        kept = await charges.by_reference(tx, told.organisation_id, told.processor, original)
        if kept is None:
            return NOT_MINE
        one = (await store.locked(tx, [kept.subscription_id]))[kept.subscription_id]
        handled = await self._sale_notices.apply(tx, told)
        sale = await sales.of_reference(tx, told.organisation_id, told.processor, original)
        if isinstance(handled, Applied) and sale is not None:
            await self.returned(tx, one, kept, kind, sale.remaining)
        return handled

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


async def _named(tx: Tx, told: Told) -> Subscription | None:
    """The subscription that a notice names, locked; None when there is none by that name yet, or it names none."""
    return await store.by_reference(tx, told.organisation_id, told.processor, told.notice.subscription_reference)
