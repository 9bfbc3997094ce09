"""Sends a message once: claims it, hands it to its provider, and notes what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from reelmesh.notifications.v1 import events_pb2, notifications_pb2

from services.kit.breaker import Breaker, Open
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.uncancelled import uncancelled
from services.notifications import store
from services.notifications.domain import (
    CHANNELS,
    AddressRefused,
    Channel,
    Letter,
    NotTaken,
    OutcomeUnknown,
    ProviderRefused,
    refusal_of,
    under_way,
)

LONGEST: Final = 18.0
"""Seconds that a provider may take each time; thrice that is less than a message is claimed for."""
PAUSES: Final = (0.2, 0.6)
"""Seconds before the second and the third try of a message that was certainly not taken."""
_CLOSING: Final[Mapping[str, type[Exception]]] = {"ADDRESS_REFUSED": AddressRefused, "OUTCOME_UNKNOWN": OutcomeUnknown}


class Deliveries:
    """Sends messages.

    Args:
        channels: who carries messages, by `email` and `sms`.
    """

    def __init__(self, database: Database, clock: Clock, channels: Mapping[str, Channel]) -> None:
        self._database = database
        self._clock = clock
        self._channels = channels
        self._breakers = {name: Breaker(clock) for name in channels}

    async def deliver(self, kind: int, letter: Letter) -> datetime:
        """Sends a message unless it was sent. Returns when its provider took it.

        Raises:
            Refusal: `ADDRESS_REFUSED`, `PROVIDER_REFUSED`, `PROVIDER_UNAVAILABLE`, `OUTCOME_UNKNOWN`, `DELIVERY_UNDER_WAY`.
        """
        async with self._database.transaction() as tx:
            known = await store.claim(tx, letter.message_id, self._clock.now())
        if known.accept_time is not None:
            return known.accept_time
        if known.closed_reason:
            raise self._closed(CHANNELS[kind], known.closed_reason)
        if not known.claimed:
            raise under_way()
        # Whoever asked may go away; what was begun must still be noted, or it would be sent again.
        return await uncancelled(self._sent(kind, letter))

    async def _sent(self, kind: int, letter: Letter) -> datetime:
        name = CHANNELS[kind]
        provider = self._channels[name].provider
        try:
            await self._tried(name, letter)
        except (AddressRefused, ProviderRefused, NotTaken, OutcomeUnknown) as outcome:
            refusal = refusal_of(outcome, name, provider)
            await self._failed(kind, letter, refusal)
            raise refusal from None
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.accepted(tx, letter.message_id, now)
            await announce(
                tx,
                events_pb2.MessageDelivered(
                    message_id=letter.message_id,
                    channel=notifications_pb2.Channel.ValueType(kind),
                    template=letter.template,
                    provider=provider,
                    deliver_time=timestamp(now),
                ),
            )
        return now

    async def _tried(self, name: str, letter: Letter) -> None:
        """Hands a message over, unless its provider is to be left alone, and notes how the provider is."""
        breaker = self._breakers[name]
        try:
            breaker.check()
        except Open as left_alone:
            raise NotTaken(left_alone.retry_after) from None
        try:
            await self._repeated(name, letter)
        except NotTaken as outcome:
            breaker.failed(outcome.retry_after)
            raise
        except OutcomeUnknown:
            breaker.failed()
            raise
        except (AddressRefused, ProviderRefused):
            breaker.worked()
            raise
        breaker.worked()

    async def _repeated(self, name: str, letter: Letter) -> None:
        """Hands a message over, again only where it was certainly not taken and the provider does not ask to be left alone."""
        for pause in (*PAUSES, None):
            try:
                async with asyncio.timeout(LONGEST):
                    return await self._channels[name].send(letter)
            except TimeoutError:
                raise OutcomeUnknown from None
            except NotTaken as outcome:
                if pause is None or outcome.retry_after:
                    raise
                await asyncio.sleep(pause)
        return None

    async def _failed(self, kind: int, letter: Letter, refusal: Refusal) -> None:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            if refusal.reason not in _CLOSING:
                await store.released(tx, letter.message_id, now)
                return
            await store.closed(tx, letter.message_id, refusal.reason)
            await self._announce_failure(tx, kind, letter, refusal, now)

    async def _announce_failure(self, tx: Tx, kind: int, letter: Letter, refusal: Refusal, now: datetime) -> None:
        await announce(
            tx,
            events_pb2.MessageFailed(
                message_id=letter.message_id,
                channel=notifications_pb2.Channel.ValueType(kind),
                template=letter.template,
                provider=refusal.metadata["provider"],
                reason=refusal.reason,
                fail_time=timestamp(now),
            ),
        )

    def _closed(self, name: str, reason: str) -> Refusal:
        outcome = AddressRefused("") if reason == "ADDRESS_REFUSED" else OutcomeUnknown()
        return refusal_of(outcome, name, self._channels[name].provider)
