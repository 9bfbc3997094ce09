"""Takes a person's events out of the event stream, once everybody has read them.

Events name persons by ids and hold no address and no name; the stream forgets them after 30 days anyway. An erasure does not wait for that.

Everybody are the consumers that `services/consumers.toml` and the operator declare, and whoever else reads. One that nobody declares and nobody reads from was
left behind, such as by a version that named it otherwise: it is told to the operator, and not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from datetime import timedelta
from typing import Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import NotFoundError
from prometheus_client import Gauge

from services.compliance.log.subjects import ACTORS, PERSONS, Subject, known_kinds, read
from services.kit import pull
from services.kit.clock import Clock
from services.kit.events import EVENTS_STREAM, ensure_events
from services.kit.ids import new_id
from services.kit.personal import DataSubject

log = structlog.stdlib.get_logger()

LEFT_BEHIND: Final = Gauge(
    "reelmesh_events_consumers_left_behind",
    "Durable consumers of the event stream that nobody declares and nobody reads from. Erasures do not wait for them.",
)
SILENT: Final = timedelta(hours=1)
"""How long a consumer that nobody declares is waited for without a sign of whoever reads from it."""
_BATCH: Final = 512
_INACTIVE: Final = 60.0


class StillRead(Exception):
    """Somebody has not read so far. The message says who."""


class EventStream:
    """The stream of all events.

    Args:
        bus: a connection.
        logged: tells the last message of a stream, by when it was made, that is in the audit log.
        clock: the present moment.
        declared: durable consumers that are waited for whether or not anybody reads from them.
    """

    def __init__(
        self, bus: NatsClient, logged: Callable[[str], Awaitable[int]], clock: Clock, declared: Collection[str]
    ) -> None:
        self._bus = bus
        self._js = bus.jetstream()
        self._logged = logged
        self._clock = clock
        self._declared = frozenset(declared)
        self._told = frozenset[str]()

    async def erased(self, subject: DataSubject, *, whoever_lags: bool) -> int:
        """Removes the events that are about a person. Returns how many.

        Args:
            subject: whom.
            whoever_lags: does not wait for consumers that are behind. The audit log is always waited for.

        Raises:
            StillRead: somebody has not read so far.
        """
        await ensure_events(self._js)
        found = await self._js.stream_info(EVENTS_STREAM)
        last = found.state.last_seq
        if not found.state.messages:
            return 0
        if await self._logged(str(found.created)) < last:
            raise StillRead("the audit log")
        if not whoever_lags and (behind := await self._behind(last)):
            raise StillRead(", ".join(behind))
        removed = 0
        for sequence in await self._about(Subject(subject.scope, subject.name), last):
            with contextlib.suppress(NotFoundError):  # somebody else did
                await self._js.delete_msg(EVENTS_STREAM, sequence)
                removed += 1
        return removed

    async def _behind(self, last: int) -> list[str]:
        """Consumers that have not read up to a place and may still do so, by name."""
        found = [one for one in await self._js.consumers_info(EVENTS_STREAM) if one.config.durable_name is not None]
        left_behind = frozenset(one.name for one in found if self._nobody_reads(one))
        LEFT_BEHIND.set(len(left_behind))
        if left_behind - self._told:
            log.warning(
                "nobody declares these consumers of the event stream, and nobody reads from them; erasures do not wait for them",
                consumers=sorted(left_behind),
                mend="remove them from the stream EVENTS, or name them in REELMESH_COMPLIANCE_RIGHTS_CONSUMERS",
            )
        self._told = left_behind
        return sorted(one.name for one in found if one.name not in left_behind and _lags(one, last))

    def _nobody_reads(self, consumer: ConsumerInfo) -> bool:
        if consumer.name in self._declared or consumer.num_waiting or consumer.push_bound:
            return False
        signs = [consumer.created]
        signs += [one.last_active for one in (consumer.delivered, consumer.ack_floor) if one and one.last_active]
        return max(signs) < self._clock.now() - SILENT

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


def _lags(consumer: ConsumerInfo, last: int) -> bool:
    floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
    idle = not consumer.num_pending and not consumer.num_ack_pending
    return floor < last and not idle
