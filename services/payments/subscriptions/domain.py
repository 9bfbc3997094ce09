"""A subscription, and what follows from whatever happens to it. No input, no output; time is handed in.

    TRIALING ──────────► ACTIVE ◄────────► PAUSED
        │  │               │  ▲              │
        │  └─► PAST_DUE ◄──┘  │ paid         │
        │        │  └─────────┘              │
        ▼        │ grace is over             ▼
    CANCELLING ──┴──────► EXPIRED ◄──────────┘

Of a subscription one charge at most is under way. Until its outcome is known nothing falls due, so a period is never charged twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from services.kit.ids import new_id
from services.payments.subscriptions import refusals as subscription_refusals
from services.payments.subscriptions.periods import Charge, Deal, Period, Purpose

_INSTANT: Final = timedelta(microseconds=1)


class State(IntEnum):
    """How a subscription stands; the numbers are those of the contract."""

    TRIALING = 1
    ACTIVE = 2
    PAST_DUE = 3
    PAUSED = 4
    CANCELLING = 5
    EXPIRED = 6


class End(IntEnum):
    """Why it ended; the numbers are those of the contract."""

    NONE = 0
    CANCELLED = 1
    UNPAID = 2
    REFUNDED = 3
    CHARGED_BACK = 4
    PROCESSOR = 5


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays, and by what.

    Attributes:
        account_id: the organisation's account with the processor.
        payment_method: what the processor is asked to charge: a token of its own.
        reference: the processor's own id of the subscription; empty where it has none.
        checkout_id: where it was begun; empty when it was not by a checkout.
        renews_by_itself: whether the processor charges renewals, and we only hear of them.
    """

    processor: str
    account_id: str
    payment_method: str = ""
    reference: str = ""
    checkout_id: str = ""
    renews_by_itself: bool = False


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody's subscription.

    Attributes:
        territory: where the price is offered; empty for anywhere.
        deal: what was agreed.
        period: what was paid last.
        open_charge_id: the charge that is under way; empty for none.
        attempts: how often the next period was charged in vain or is being charged.
        retry_time: when something is to be done about an unpaid period; only in PAST_DUE.
        given_up: whether that is to end it, and not to charge again.
        lapsed: whether what was paid before a pause is used up.
        next_plan_id: the plan that follows at the end of the period; empty for the same.
        next_version: of its terms, as they were agreed.
        trial_end: None when there was no trial.
        entitlement_id: what the viewer may watch by it; one for its whole life, whose end moves.
        change_time: when something about it was announced last. Each time is later than the one before, as who hears of both goes by it.
    """

    subscription_id: str
    organisation_id: str
    viewer_id: str
    territory: str
    currency: str
    payer: Payer
    deal: Deal
    period: Period
    state: State
    entitlement_id: str
    create_time: datetime
    change_time: datetime
    open_charge_id: str = ""
    attempts: int = 0
    retry_time: datetime | None = None
    given_up: bool = False
    lapsed: bool = False
    next_plan_id: str = ""
    next_version: int = 0
    trial_end: datetime | None = None
    end: End = End.NONE
    end_time: datetime | None = None

    # --- what it means ---------------------------------------------------------------------------------------------------

    @property
    def grace_end(self) -> datetime:
        """Until when it may stay unpaid."""
        return self.period.end + timedelta(days=self.deal.grace_days)

    @property
    def entitled_until(self) -> datetime | None:
        """Until when the viewer can watch by it; None when they cannot. Of who pays, beyond the period, as the next charge may take days."""
        if self.period.empty or self.state is State.EXPIRED or self.lapsed:
            return None
        return self.period.end if self.state in _ENDING else self.grace_end

    @property
    def due_time(self) -> datetime | None:
        """When something is to be done about it; None while a charge is under way, and when nothing ever is."""
        if self.open_charge_id or self.state is State.EXPIRED or self.lapsed:
            return None
        return self.retry_time if self.state is State.PAST_DUE else self.period.end

    # --- time passes -----------------------------------------------------------------------------------------------------

    def fallen_due(self, now: datetime, offered: Deal) -> tuple[Subscription, Charge | None]:
        """What is to be done about it by now, if anything, with the charge that is to be made.

        Args:
            now: the present moment.
            offered: what the next period is sold by.
        """
        if self.due_time is None or now < self.due_time:
            return self, None
        if self.state is State.PAUSED:
            return replace(self, lapsed=True), None
        if self.state is State.CANCELLING:
            return self.ended(End.CANCELLED, now), None
        if self.given_up:
            return self.ended(End.UNPAID, now), None
        if self.payer.renews_by_itself:
            return self.given_up_on(), None
        charge = Charge(
            new_id("chg"),
            Purpose.RENEWAL,
            offered.price,
            offered,
            self.period.following(self.deal.interval, offered.interval, now),
            self.attempts + 1,
        )
        return replace(self, open_charge_id=charge.charge_id, attempts=charge.attempt), charge

    def given_up_on(self) -> Subscription:
        """Unpaid, without another charge, until the grace is over."""
        return replace(self, state=State.PAST_DUE, retry_time=self.grace_end, given_up=True)

    # --- the processor answers -------------------------------------------------------------------------------------------

    def approved(self, charge: Charge) -> Subscription:
        """After a charge was paid. What was cancelled or paused meanwhile stays so, with the period that was paid; what had ended lives until
        that is over, as the money was taken."""
        after = _AFTER_PAYMENT.get(self.state, State.ACTIVE)
        return replace(
            self,
            state=after,
            deal=charge.deal,
            period=charge.period,
            open_charge_id="",
            attempts=0,
            retry_time=None,
            given_up=False,
            lapsed=False,
            next_plan_id="",
            end=End.NONE,
            end_time=None,
        )

    def declined(self, charge: Charge, now: datetime, *, retryable: bool) -> Subscription:
        """After a charge was not paid: it is tried again on the next day of the dunning, if that may help, and ends with the grace otherwise."""
        free = replace(self, open_charge_id="")
        if charge.purpose is not Purpose.RENEWAL or self.state is State.EXPIRED:
            return free
        if self.state is State.CANCELLING and now >= self.period.end:
            return free.ended(End.CANCELLED, now)
        if self.state in _ENDING:
            return replace(free, attempts=0)
        days = [self.period.end + timedelta(days=day) for day in self.deal.dunning_days]
        if retryable and (later := [day for day in days if day > now]):
            return replace(free, state=State.PAST_DUE, retry_time=later[0], given_up=False)
        return free.ended(End.UNPAID, now) if now >= self.grace_end else free.given_up_on()

    def renewed(self, occur_time: datetime, minor_units: int) -> tuple[Subscription, Charge]:
        """After the processor renewed it by itself, with the charge that it made.

        A renewal of a period that was passed over, because a later one was heard of first or it had ended for a while, moves nothing.
        """
        gap = self.state is State.EXPIRED or self.period.empty or occur_time >= self.grace_end
        past = occur_time < self.period.start
        if gap or past:
            period = Period.first(occur_time, self.deal.interval)
        else:
            period = self.period.following(self.deal.interval, self.deal.interval, self.period.end)
        charge = Charge(new_id("chg"), Purpose.NOTICED, minor_units, self.deal, period, self.attempts + 1)
        if past:
            return self, charge
        alive = replace(self, state=State.PAST_DUE) if self.end is End.UNPAID else self
        return alive.approved(charge), charge

    def renewal_failed(self) -> Subscription:
        """After the processor could not renew it."""
        return self.given_up_on() if self.state in _RENEWING else self

    def ended(self, end: End, now: datetime) -> Subscription:
        """Over."""
        if self.state is State.EXPIRED:
            return self
        return replace(self, state=State.EXPIRED, end=end, end_time=now, retry_time=None, next_plan_id="")

    def refunded(self, period: Period, now: datetime) -> Subscription:
        """After the whole price of a period went back. Who got back what they paid for the running one has done with it."""
        return self.ended(End.REFUNDED, now) if period.end == self.period.end else self

    # --- the subscriber wishes -------------------------------------------------------------------------------------------

    def cancelled(self, now: datetime) -> Subscription:
        """After the subscriber has had enough."""
        if self.state in {State.CANCELLING, State.EXPIRED}:
            return self
        unpaid = (self.state is State.PAST_DUE and not self.open_charge_id) or self.lapsed
        if unpaid:
            return self.ended(End.CANCELLED, now)
        return replace(self, state=State.CANCELLING, retry_time=None, next_plan_id="")

    def paused(self) -> Subscription:
        """After the subscriber wants a rest.

        Raises:
            Refusal: `SUBSCRIPTION_STATE_WRONG` or `PROCESSOR_RENEWS`.
        """
        if self.payer.renews_by_itself:
            raise subscription_refusals.processor_renews(self.payer.processor)
        if self.state is State.PAUSED:
            return self
        if self.state is not State.ACTIVE:
            raise subscription_refusals.subscription_state_wrong(self.state.name, "only what is active can be paused")
        return replace(self, state=State.PAUSED)

    def resumed(self, now: datetime) -> Subscription:
        """After the subscriber is back.

        Raises:
            Refusal: `SUBSCRIPTION_STATE_WRONG` or `PROCESSOR_RENEWS`.
        """
        if self.state is State.EXPIRED:
            raise subscription_refusals.subscription_state_wrong(
                self.state.name, "the subscription is over; subscribe anew"
            )
        if self.state not in _ENDING:
            return self
        if self.payer.renews_by_itself:
            raise subscription_refusals.processor_renews(self.payer.processor)
        if self.state is State.PAUSED and not self.open_charge_id and (self.lapsed or now >= self.period.end):
            unpaid = replace(self, state=State.PAST_DUE, period=Period.none(now), lapsed=False, attempts=0)
            return replace(unpaid, retry_time=now, given_up=False)
        trying = self.period.number == 0 and not self.period.empty
        return replace(self, state=State.TRIALING if trying else State.ACTIVE)

    def at(self, now: datetime) -> Subscription:
        """As announced now, or a moment after what was announced before."""
        return replace(self, change_time=max(now, self.change_time + _INSTANT))


_RENEWING: Final = frozenset({State.TRIALING, State.ACTIVE})
_ENDING: Final = frozenset({State.CANCELLING, State.PAUSED})
_AFTER_PAYMENT: Final = {
    State.CANCELLING: State.CANCELLING,
    State.PAUSED: State.PAUSED,
    State.EXPIRED: State.CANCELLING,
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What somebody subscribes to."""

    organisation_id: str
    viewer_id: str
    territory: str
    currency: str
    payer: Payer
    deal: Deal

    def _begun(self, now: datetime, state: State, period: Period) -> Subscription:
        return Subscription(
            subscription_id=new_id("sub"),
            organisation_id=self.organisation_id,
            viewer_id=self.viewer_id,
            territory=self.territory,
            currency=self.currency,
            payer=self.payer,
            deal=self.deal,
            period=period,
            state=state,
            entitlement_id=new_id("ent"),
            create_time=now,
            change_time=now,
        )

    def tried(self, now: datetime, days: int) -> Subscription:
        """Begun with a trial."""
        end = now + timedelta(days=days)
        return replace(self._begun(now, State.TRIALING, Period.trial(now, end)), trial_end=end)

    def paid(self, now: datetime) -> Subscription:
        """Begun with a first period that is paid already."""
        return self._begun(now, State.ACTIVE, Period.first(now, self.deal.interval))

    def unpaid(self, now: datetime) -> Subscription:
        """Begun with a first charge that falls due at once."""
        return replace(self._begun(now, State.PAST_DUE, Period.none(now)), retry_time=now)
