"""Works on what processors told, one event a transaction: what is committed is done once, and what a crash interrupts is found again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Counter

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.server import as_refusal
from services.kit.uncancelled import heed_cancellation, uncancelled
from services.payments.webhooks import store
from services.payments.webhooks.handling import (
    Applied,
    Handled,
    Impossible,
    NoticeHandler,
    NotMine,
    Told,
    WaitsFor,
    keys_of,
)
from services.payments.webhooks.store import Event

log = structlog.stdlib.get_logger()

WORKED: Final = Counter("reelmesh_webhook_events", "Events of payment processors that were worked on.", ["outcome"])
MOST_ATTEMPTS: Final = 12
"""Of an event that fails. With pauses of 1 s, 2 s, 4 s and so on, that is about half an hour."""
FINAL: Final = frozenset(
    {
        "AMOUNT_EXCEEDS_REMAINING",
        "AMOUNT_INVALID",
        "CURRENCY_MIXED",
        "CURRENCY_UNKNOWN",
        "NOT_A_CHARGEBACK",
        "ALREADY_REVERSED",
        "REFERENCE_REUSED",
        "SPLIT_IMPOSSIBLE",
    }
)
"""Reasons that time does not mend."""
GIVEN_UP_AFTER: Final = timedelta(days=14)
"""How long an event waits for what it is about. Processors send again for three days at most."""
KEPT_FOR: Final = timedelta(days=400)
"""How long events are kept once they are done. Chargebacks may come half a year after their sale."""
_LONGEST_PAUSE: Final = timedelta(hours=1)
_LOOK_AGAIN: Final = 0.5
_SWEEP_EVERY: Final = 3600.0
_FLOOD_WITHIN: Final = 0.05
"""Seconds since the last that came in."""
_STAND_BACK: Final = 6.0
"""Times as long as an event took."""
_LONGEST_STAND_BACK: Final = 0.1


class Queue:
    """Works on events.

    Args:
        handlers: are asked in turn what an event means.
    """

    def __init__(self, database: Database, clock: Clock, handlers: Sequence[NoticeHandler]) -> None:
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._news = asyncio.Event()
        self._told = 0.0

    def wake(self) -> None:
        """There is something new."""
        self._told = time.monotonic()
        self._news.set()

    async def run(self) -> None:
        """Works until cancelled. Trouble with the database is waited out."""
        delay = _LOOK_AGAIN
        while True:
            heed_cancellation()
            self._news.clear()
            try:
                began = time.monotonic()
                while await uncancelled(self.once()):
                    heed_cancellation()
                    await self._stood_back(time.monotonic() - began)
                    began = time.monotonic()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("queue is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
                delay = min(delay * 2, 5.0)
                await asyncio.sleep(delay)
                continue
            delay = _LOOK_AGAIN
            try:
                async with asyncio.timeout(delay):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _stood_back(self, took: float) -> None:
        """Leaves the processor and the database to those who receive, as long as more comes in: a processor waits for its answer, an event
        can wait for its turn. A part of the time remains, so that a flood that does not end stops nothing."""
        if time.monotonic() - self._told < _FLOOD_WITHIN:
            await asyncio.sleep(min(took * _STAND_BACK, _LONGEST_STAND_BACK))

    async def sweep(self) -> None:
        """Removes what is too old to be of use, now and then, until cancelled."""
        while True:
            try:
                async with self._database.transaction() as tx:
                    await store.forget_done(tx, self._clock.now(), KEPT_FOR)
            except Exception as error:
                log.warning("sweep is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(_SWEEP_EVERY)

    async def once(self) -> bool:
        """Works on one event, if there is one whose turn it is. Returns whether there was."""
        event: Event | None = None
        try:
            async with self._database.transaction() as tx:
                event = await store.claim(tx, self._clock.now())
                if event is None:
                    return False
                await self._worked(tx, event)
        except Exception as error:
            # What the database finds at the very end, as when an entry does not balance, undoes all of it.
            if event is None or as_refusal(error) is not None:
                raise
            log.exception("defect", told=event.event_id)
            async with self._database.transaction() as tx:
                await self._failed(tx, event, "it cannot be committed")
        return True

    async def _worked(self, tx: Tx, event: Event) -> None:
        notice, now = event.told(), self._clock.now()
        keys = keys_of(notice)
        told = Told(event.organisation_id, event.account_id, event.processor, notice)
        await store.lock_keys(tx, event.account_id, keys)
        try:
            async with tx.begin_nested():
                handled = await self._handled(tx, told)
        except Refusal as refusal:
            give_up = self._dead if refusal.reason in FINAL else self._failed
            await give_up(tx, event, f"{refusal.reason}: {refusal.message}")
            return
        except Exception as error:
            if as_refusal(error) is not None:
                raise
            log.exception("defect", told=event.event_id)
            await self._failed(tx, event, "INTERNAL: see the log")
            return
        WORKED.labels(type(handled).__name__).inc()
        match handled:
            case Applied(remark):
                await store.done(tx, event.event_id, remark, now)
                if await store.awaken(tx, event.account_id, keys, now):
                    self.wake()
            case WaitsFor(key) if now - event.receive_time < GIVEN_UP_AFTER:
                await store.parked(tx, event.event_id, key, now + pause(event.attempts + 6))
            case WaitsFor(key):
                await self._dead(tx, event, f"what it is about never came: {key}")
            case Impossible(why):
                await self._dead(tx, event, why)
            case NotMine():
                await self._dead(tx, event, "nothing here knows what this is about")

    async def _handled(self, tx: Tx, told: Told) -> Handled:
        for handler in self._handlers:
            handled = await handler.apply(tx, told)
            if not isinstance(handled, NotMine):
                return handled
        return NotMine()

    async def _failed(self, tx: Tx, event: Event, trouble: str) -> None:
        if event.attempts + 1 >= MOST_ATTEMPTS:
            await self._dead(tx, event, trouble)
            return
        WORKED.labels("Failed").inc()
        await store.failed(tx, event.event_id, trouble[:500], self._clock.now() + pause(event.attempts))

    async def _dead(self, tx: Tx, event: Event, trouble: str) -> None:
        WORKED.labels("Dead").inc()
        log.error("webhook event given up", told=event.event_id, account=event.account_id, trouble=trouble[:200])
        await store.dead(tx, event.event_id, trouble[:500])


def pause(attempts: int) -> timedelta:
    """How long to wait after so many tries: a second, and each time twice as long, up to an hour."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), _LONGEST_PAUSE)
