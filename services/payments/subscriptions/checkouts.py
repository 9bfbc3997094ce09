"""Checkouts of subscriptions: the first period is paid on a processor's page, and begins when the processor says so."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.plans import refusals as plan_refusals
from services.payments.plans import store as plans
from services.payments.plans.domain import Plan
from services.payments.processors import contract
from services.payments.processors.accounts import Accounts, Working
from services.payments.processors.calling import Calling
from services.payments.processors.contract import Amount, NoticeKind, Recurrence
from services.payments.subscriptions import refusals as subscription_refusals
from services.payments.subscriptions import store
from services.payments.subscriptions.beginning import Beginnings, Paid, Wish
from services.payments.subscriptions.domain import Payer
from services.payments.webhooks.handling import NOT_MINE, Applied, Handled, Impossible, Told

OPEN_FOR: Final = timedelta(hours=1)
"""How long a page is there to be paid on."""
UNPAID_KEPT: Final = timedelta(days=30)
"""How long what was not paid is known, should a processor tell of it late."""
TITLE_LENGTH: Final = 120

subscription_checkouts: Final = sa.Table(
    "subscription_checkouts",
    sa.MetaData(),
    sa.Column("checkout_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("plan_id", sa.Text),
    sa.Column("territory", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("account_id", sa.Text),
    sa.Column("renews_by_itself", sa.Boolean),
    sa.Column("subscription_id", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class SubscriptionCheckout:
    """A first period that is to be paid.

    Attributes:
        minor_units: what is paid now; 0 for a trial.
        subscription_id: what it began; empty until it is paid.
    """

    checkout_id: str
    organisation_id: str
    viewer_id: str
    plan_id: str
    territory: str
    minor_units: int
    currency: str
    account_id: str
    renews_by_itself: bool
    subscription_id: str
    create_time: datetime


async def _add(tx: Tx, checkout: SubscriptionCheckout) -> None:
    await tx.execute(sa.insert(subscription_checkouts).values(**_values(checkout)))


async def find(
    tx: Tx, organisation_id: str, checkout_id: str, *, for_update: bool = False
) -> SubscriptionCheckout | None:
    """One checkout; None when there is none."""
    query = sa.select(subscription_checkouts).where(
        subscription_checkouts.c.organisation_id == organisation_id,
        subscription_checkouts.c.checkout_id == checkout_id,
    )
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else SubscriptionCheckout(**row._asdict())


async def forget_unpaid(tx: Tx, before: datetime) -> None:
    """Removes checkouts that were not paid."""
    await tx.execute(
        sa.delete(subscription_checkouts).where(
            subscription_checkouts.c.subscription_id == "", subscription_checkouts.c.create_time < before
        )
    )


def _values(checkout: SubscriptionCheckout) -> dict[str, Any]:
    return {field.name: getattr(checkout, field.name) for field in fields(checkout)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to subscribe to.

    Attributes:
        account_id: empty for the organisation's first.
    """

    organisation_id: str
    viewer_id: str
    plan_id: str
    territory: str
    currency: str
    account_id: str


class Opening:
    """Opens checkouts. The processor is called with no transaction open.

    Args:
        public_url: of this install, to which viewers return.
    """

    def __init__(self, clock: Clock, accounts: Accounts, calling: Calling, public_url: str) -> None:
        self._clock = clock
        self._accounts = accounts
        self._calling = calling
        self._public_url = public_url.rstrip("/")

    async def begun(self, tx: Tx, asked: Asked) -> SubscriptionCheckout:
        """Keeps a checkout.

        Raises:
            Refusal: `PLAN_NOT_FOUND`, `PLAN_RETIRED`, `PRICE_NOT_OFFERED`, `SUBSCRIPTION_EXISTS`, `NO_PROCESSOR_ACCOUNT` or
                `PROCESSOR_ACCOUNT_NOT_FOUND`.
        """
        plan = await self._plan(tx, asked.organisation_id, asked.plan_id)
        if plan.retire_time is not None:
            raise plan_refusals.plan_retired(plan.plan_id)
        price = plan.newest.price(asked.territory, asked.currency)
        if price is None:
            raise plan_refusals.price_not_offered(asked.territory, asked.currency)
        if living := await store.living(tx, asked.organisation_id, asked.viewer_id):
            raise subscription_refusals.subscription_exists(living.subscription_id)
        working = await self._account(tx, asked.organisation_id, asked.account_id)
        renews = working.processor.renews_by_itself
        trial = bool(plan.newest.trial_days) and renews
        if trial and await store.tried(tx, asked.organisation_id, asked.viewer_id):
            trial = False
        checkout = SubscriptionCheckout(
            checkout_id=new_id("chk"),
            organisation_id=asked.organisation_id,
            viewer_id=asked.viewer_id,
            plan_id=plan.plan_id,
            territory=asked.territory,
            minor_units=0 if trial else price,
            currency=asked.currency,
            account_id=working.account.account_id,
            renews_by_itself=renews,
            subscription_id="",
            create_time=self._clock.now(),
        )
        await _add(tx, checkout)
        return checkout

    async def page(self, tx: Tx, checkout: SubscriptionCheckout, return_path: str) -> tuple[Working, contract.Checkout]:
        """What the processor is to be asked for; the same for the same checkout."""
        working = await self._account(tx, checkout.organisation_id, checkout.account_id)
        plan = await self._plan(tx, checkout.organisation_id, checkout.plan_id)
        return working, contract.Checkout(
            checkout_id=checkout.checkout_id,
            amount=Amount(checkout.minor_units, checkout.currency),
            title=plan.display_name[:TITLE_LENGTH],
            return_url=self._public_url + (return_path or "/"),
            cancel_url=self._public_url + (return_path or "/"),
            notify_url=working.account.notify_url,
            keep_payment_method=not checkout.renews_by_itself,
            recurrence=_recurrence(checkout, plan) if checkout.renews_by_itself else None,
            expire_time=checkout.create_time + OPEN_FOR,
        )

    async def opened(self, working: Working, asked: contract.Checkout) -> contract.HostedPage:
        """Has the processor make the page.

        Raises:
            Refusal: `PROCESSOR_UNAVAILABLE` or `PROCESSOR_REFUSED`.
        """
        return await self._calling.open_checkout(working, asked)

    async def _plan(self, tx: Tx, organisation_id: str, plan_id: str) -> Plan:
        plan = await plans.find(tx, organisation_id, plan_id)
        if plan is None:
            raise plan_refusals.plan_not_found(plan_id)
        return plan

    async def _account(self, tx: Tx, organisation_id: str, account_id: str) -> Working:
        if not account_id:
            return await self._accounts.first(tx, organisation_id)
        working = await self._accounts.of_organisation(tx, organisation_id, account_id)
        if working.disabled:
            raise refusals.no_processor_account()
        return working


def _recurrence(checkout: SubscriptionCheckout, plan: Plan) -> Recurrence:
    """How a processor that counts days goes on: by those of the first interval."""
    terms, begin = plan.newest, checkout.create_time
    days = (terms.interval.after(begin, 1) - begin).days
    price = terms.price(checkout.territory, checkout.currency) or checkout.minor_units
    first = days if checkout.minor_units else terms.trial_days
    return Recurrence(Amount(price, checkout.currency), days, first)


class Beginning:
    """Begins what was paid for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beginnings = Beginnings(clock)

    async def apply(self, tx: Tx, told: Told) -> Handled:
        """Applies SALE and SALE_FAILED of such a checkout."""
        notice = told.notice
        checkout = await find(tx, told.organisation_id, notice.checkout_id, for_update=True)
        if checkout is None:
            return NOT_MINE
        if notice.kind is NoticeKind.SALE_FAILED:
            return Applied(notice.reason)
        if checkout.account_id != told.account_id:
            return Impossible("another processor account tells of this checkout than the one it was opened with")
        if checkout.subscription_id:
            return Impossible("the checkout is paid already, by another transaction; one of the two has to be refunded")
        if notice.amount is not None and notice.amount != (checkout.minor_units, checkout.currency):
            return Impossible(f"{notice.amount.minor_units} {notice.amount.currency} was paid, which is not the price")
        if await store.living(tx, checkout.organisation_id, checkout.viewer_id):
            return Impossible("the viewer has a subscription by now; this payment has to be refunded")
        wish = Wish(
            checkout.organisation_id,
            checkout.viewer_id,
            checkout.plan_id,
            checkout.territory,
            checkout.currency,
            Payer(
                told.processor,
                checkout.account_id,
                notice.payment_method_reference,
                notice.subscription_reference,
                checkout.checkout_id,
                renews_by_itself=checkout.renews_by_itself,
            ),
        )
        paid = Paid(notice.transaction_reference, checkout.minor_units, notice.occur_time)
        one = await self._beginnings.begin(tx, wish, paid if checkout.minor_units else None)
        after = replace(checkout, subscription_id=one.subscription_id)
        await tx.execute(
            sa.update(subscription_checkouts)
            .where(subscription_checkouts.c.checkout_id == checkout.checkout_id)
            .values(**_values(after))
        )
        return Applied()
