"""Calls to processors: each account behind a circuit breaker, asked again as its kind's policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter

from services.kit.breaker import Breaker, Open
from services.kit.clock import Clock
from services.kit.errors import Refusal
from services.payments import refusals
from services.payments.processors.accounts import Working
from services.payments.processors.contract import (
    Checkout,
    HostedPage,
    Outcome,
    Processor,
    Standing,
    Unknown,
    Unreachable,
)

log = structlog.stdlib.get_logger()

CALLS: Final = Counter("reelmesh_processor_calls", "Calls to payment processors.", ["processor", "what", "outcome"])
Answer = TypeVar("Answer")
_MOST_BREAKERS: Final = 4096


class Calling:
    """Asks processors. Who fails again and again is left alone for a while, account by account, as each has credentials of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    async def outcome(self, working: Working, what: str, act: Callable[[Processor], Awaitable[Outcome]]) -> Outcome:
        """Has money moved. Unknown when nobody can say yet: keep the key, and ask again with it later.

        Args:
            working: the account.
            what: a word for metrics, such as `refund`.
            act: the one call, with the same idempotency key each time.
        """
        policy, breaker = working.kind.retries, self._breaker(working)
        outcome: Outcome = Unknown("not asked")
        for attempt in range(policy.attempts):
            if attempt:
                await asyncio.sleep(policy.first_pause.total_seconds() * 2 ** (attempt - 1))
            try:
                breaker.check()
            except Open as left:
                return outcome if attempt else Unknown("left alone for a while", left.retry_after)
            try:
                async with asyncio.timeout(policy.patience.total_seconds()):
                    outcome = await act(working.processor)
            except TimeoutError:
                outcome = Unknown("no answer in time")
            CALLS.labels(working.kind.name, what, type(outcome).__name__.lower()).inc()
            if not isinstance(outcome, Unknown):
                breaker.worked()
                return outcome
            breaker.failed(outcome.retry_after)
            log.warning("processor unclear", processor=working.kind.name, what=what, trouble=outcome.reason[:100])
        return outcome

    async def open_checkout(self, working: Working, checkout: Checkout) -> HostedPage:
        """Opens a page.

        Raises:
            Refusal: UNAVAILABLE `PROCESSOR_UNAVAILABLE`, FAILED_PRECONDITION `PROCESSOR_REFUSED`.
        """
        try:
            return await self._asked(working, "checkout", lambda processor: processor.open_checkout(checkout))
        except Unreachable as error:
            raise refusals.processor_unavailable(
                working.kind.name, error.retry_after or timedelta(seconds=5)
            ) from error

    async def query(self, working: Working, reference: str) -> Standing:
        """How something stands.

        Raises:
            Unreachable: ask again.
        """
        return await self._asked(working, "query", lambda processor: processor.query(reference))

    async def _asked(self, working: Working, what: str, ask: Callable[[Processor], Awaitable[Answer]]) -> Answer:
        policy, breaker = working.kind.retries, self._breaker(working)
        trouble = Unreachable("left alone for a while")
        for attempt in range(policy.attempts):
            if attempt:
                await asyncio.sleep(policy.first_pause.total_seconds() * 2 ** (attempt - 1))
            try:
                breaker.check()
            except Open as left:
                raise Unreachable(str(trouble), left.retry_after) from left
            try:
                async with asyncio.timeout(policy.patience.total_seconds()):
                    answer = await ask(working.processor)
            except Refusal:  # an answer, and a clear one
                breaker.worked()
                CALLS.labels(working.kind.name, what, "refused").inc()
                raise
            except (Unreachable, TimeoutError) as error:
                trouble = error if isinstance(error, Unreachable) else Unreachable("no answer in time")
                breaker.failed(trouble.retry_after)
                CALLS.labels(working.kind.name, what, "unreachable").inc()
                log.warning("processor away", processor=working.kind.name, what=what, trouble=str(trouble)[:100])
            else:
                breaker.worked()
                CALLS.labels(working.kind.name, what, "answered").inc()
                return answer
        raise trouble

    def _breaker(self, working: Working) -> Breaker:
        name = working.account.account_id
        if name not in self._breakers:
            if len(self._breakers) >= _MOST_BREAKERS:
                self._breakers.clear()
            self._breakers[name] = Breaker(self._clock)
        return self._breakers[name]
