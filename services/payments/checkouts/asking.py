"""Asks processors what became of checkouts of which they have told nothing: a webhook that is lost costs minutes, not the sale."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.ids import new_id
from services.payments.checkouts import store
from services.payments.checkouts.domain import Checkout
from services.payments.processors.accounts import Accounts
from services.payments.processors.calling import Calling
from services.payments.processors.contract import Notice, NoticeKind, Standing, State, Unreachable
from services.payments.webhooks import store as webhooks
from services.payments.webhooks.store import EventState, NewEvent

log = structlog.stdlib.get_logger()

_LOOK_EVERY: Final = 15.0
_TAKEN: Final = frozenset({State.PAID, State.REFUNDED, State.CHARGED_BACK})


class Asking:
    """Asks about checkouts that are due.

    Args:
        wake: called when something is to be worked on.
    """

    def __init__(
        self, database: Database, clock: Clock, accounts: Accounts, calling: Calling, wake: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._accounts = accounts
        self._calling = calling
        self._wake = wake

    async def once(self) -> bool:
        """Asks about one checkout, if one is due. What is heard of it goes the way of what is told. Returns whether there was one."""
        async with self._database.transaction() as tx:
            checkout = await store.claim_to_ask(tx, self._clock.now())
            if checkout is None:
                return False
            await store.put(tx, replace(checkout, ask_time=checkout.asked_again(self._clock.now())))
            working = await self._accounts.of_organisation(tx, checkout.organisation_id, checkout.account_id)
        try:
            standing = await self._calling.query(working, checkout.page_reference)
        except Unreachable as trouble:
            log.info("a processor cannot say what became of a checkout", why=str(trouble)[:100])
            return True
        if standing.state in _TAKEN:
            async with self._database.transaction() as tx:
                await webhooks.add(tx, [self._event(checkout, standing)])
            self._wake()
        return True

    def _event(self, checkout: Checkout, standing: Standing) -> NewEvent:
        now = self._clock.now()
        notice = Notice(
            dedupe_key=f"asked/{checkout.checkout_id}",
            kind=NoticeKind.SALE,
            occur_time=standing.occur_time or now,
            transaction_reference=standing.transaction_reference,
            subscription_reference=standing.subscription_reference,
            checkout_id=checkout.checkout_id,
            amount=standing.amount,
            payment_method_reference=standing.payment_method_reference,
        )
        return NewEvent(
            event_id=new_id("whe"),
            organisation_id=checkout.organisation_id,
            account_id=checkout.account_id,
            processor=checkout.processor,
            notice=notice,
            state=EventState.PENDING,
            redacted=b"",
            receive_time=now,
        )

    async def run(self) -> None:
        """Asks until cancelled."""
        while True:
            try:
                while await self.once():
                    pass
            except Exception as error:
                log.warning("asking is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(_LOOK_EVERY)
