"""Takes a person's events out of the event stream, once everybody has read them.

Events name persons by ids and hold no address and no name; the stream forgets them after 30 days anyway. An erasure does not wait for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client as NatsClient
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from services.compliance.log.subjects import ACTORS, PERSONS, Subject, known_kinds, read
from services.kit import pull
from services.kit.events import EVENTS_STREAM, ensure_events
from services.kit.ids import new_id
from services.kit.personal import DataSubject

_BATCH: Final = 512
_INACTIVE: Final = 60.0


class EventStream:
    """The stream of all events.

    Args:
        bus: a connection.
        logged: tells the last message of a stream, by when it was made, that is in the audit log.
    """

    def __init__(self, bus: NatsClient, logged: Callable[[str], Awaitable[int]]) -> None:
        self._bus = bus
        self._js = bus.jetstream()
        self._logged = logged

    async def erased(self, subject: DataSubject, *, whoever_lags: bool) -> int | None:
        """Removes the events that are about a person. Returns how many; None while somebody has not read so far.

        Args:
            subject: whom.
            whoever_lags: does not wait for consumers that are behind. The audit log is always waited for.
        """
        await ensure_events(self._js)
        found = await self._js.stream_info(EVENTS_STREAM)
        last = found.state.last_seq
        if not found.state.messages:
            return 0
        if await self._logged(str(found.created)) < last:
            return None
        if not whoever_lags and not await self._read_by_all(last):
            return None
        removed = 0
        for sequence in await self._about(Subject(subject.scope, subject.name), last):
            with contextlib.suppress(NotFoundError):  # somebody else did
                await self._js.delete_msg(EVENTS_STREAM, sequence)
                removed += 1
        return removed

    async def _read_by_all(self, last: int) -> bool:
        for consumer in await self._js.consumers_info(EVENTS_STREAM):
            if consumer.config.durable_name is None:
                continue
            floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
            idle = not consumer.num_pending and not consumer.num_ack_pending
            if floor < last and not idle:
                return False
        return True

    async def _about(self, subject: Subject, last: int) -> list[int]:
        """Places of the events that are about a person, up to a place in the stream."""
        name, found = new_id("ers"), list[int]()
        config = ConsumerConfig(
            name=name,
            deliver_policy=DeliverPolicy.ALL,
            filter_subjects=sorted(
                kind
                for kind, of in known_kinds().items()
                if any(field.name in PERSONS | ACTORS for field in of.DESCRIPTOR.fields)
            ),
            ack_policy=AckPolicy.NONE,
            inactive_threshold=_INACTIVE,
            mem_storage=True,
        )
        info = await self._js.add_consumer(EVENTS_STREAM, config)
        left = info.num_pending or 0
        if not left:
            return []
        try:
            async with aclosing(pull.messages(self._bus, EVENTS_STREAM, name, batch=min(_BATCH, left))) as messages:
                async for message in messages:
                    sequence = message.metadata.sequence.stream
                    if sequence > last:
                        break
                    event = read(message.subject, message.data)
                    if event is not None and subject in event.subjects:
                        found.append(sequence)
                    left -= 1
                    if not left:
                        break
        finally:
            with contextlib.suppress(NatsError, asyncio.TimeoutError):
                await self._js.delete_consumer(EVENTS_STREAM, name)
        return found
