"""Follows the stream of all events, in its order, from the last one that is in the log.

The place in the stream is the log's own and is kept with the leaves, so JetStream is asked for nothing but what comes after: by a consumer that lives as long
as this process listens, and is not acknowledged to.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import Counter, Gauge

from services.compliance.log.appending import OriginChanged, Writer
from services.compliance.log.leaves import Event
from services.kit import pull, telemetry
from services.kit.events import EVENTS_STREAM, ensure_events
from services.kit.ids import new_id
from services.kit.uncancelled import heed_cancellation, uncancelled

log = structlog.stdlib.get_logger()

LEAVES: Final = Counter("reelmesh_audit_leaves", "Events that became leaves of the audit log.")
BEHIND: Final = Gauge("reelmesh_audit_behind", "Messages of the event stream that are not in the audit log yet.")
_BATCH: Final = 512
_AHEAD: Final = 1024
_INACTIVE: Final = 60.0
_PAUSE: Final = 1.0
_ID_HEADER: Final = "Nats-Msg-Id"
_LONGEST_ID: Final = 128


class Follower:
    """Appends what comes over the bus. `batch` events at most become leaves in one transaction."""

    def __init__(self, bus: NatsClient, writer: Writer, batch: int = _BATCH) -> None:
        self._bus = bus
        self._js = bus.jetstream()
        self._writer = writer
        self._batch = batch

    async def run(self) -> None:
        """Follows until cancelled. Trouble with NATS or Postgres is waited out."""
        while True:
            heed_cancellation()
            try:
                await self._follow()
            except (asyncio.CancelledError, OriginChanged):
                raise
            except Exception as error:  # one of the servers is away: begin again after the last leaf
                log.warning("the audit log waits", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
                await asyncio.sleep(_PAUSE)

    async def _follow(self) -> None:
        await ensure_events(self._js)
        found = await self._js.stream_info(EVENTS_STREAM)
        stream = str(found.created)
        position = await self._writer.position(stream)
        if position + 1 < (first := found.state.first_seq) and position:
            log.error("events left the stream before they were logged", first=first, expected=position + 1)
        name = new_id("aud")
        await self._js.add_consumer(EVENTS_STREAM, _consumer(name, position + 1))
        arrived: asyncio.Queue[Msg] = asyncio.Queue(_AHEAD)
        reading = asyncio.create_task(self._read(name, arrived))
        try:
            while True:
                events = await self._next(arrived, reading, stream)
                # Not cut off in mid-transaction: a drain waits for the batch.
                LEAVES.inc(await uncancelled(self._writer.append(stream, events)))
                heed_cancellation()
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # seen, so that it is not reported as forgotten
            with contextlib.suppress(NatsError, TimeoutError):
                await self._js.delete_consumer(EVENTS_STREAM, name)

    async def _read(self, name: str, arrived: asyncio.Queue[Msg]) -> None:
        async with aclosing(pull.messages(self._bus, EVENTS_STREAM, name, batch=_BATCH)) as messages:
            async for message in messages:
                await arrived.put(message)

    async def _next(self, arrived: asyncio.Queue[Msg], reading: asyncio.Task[None], stream: str) -> list[Event]:
        """The next events: all that are there, as many as go into one transaction, but at least one."""
        getting = asyncio.create_task(arrived.get())
        try:
            await asyncio.wait([getting, reading], return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                reading.result()  # says what went wrong
                raise pull.Interrupted("no more messages")
        finally:
            getting.cancel()
        messages = [getting.result()]
        while len(messages) < self._batch and not arrived.empty():
            messages.append(arrived.get_nowait())
        BEHIND.set(messages[-1].metadata.num_pending)
        return [event_of(message, stream) for message in messages]


def _consumer(name: str, start: int) -> ConsumerConfig:
    return ConsumerConfig(
        name=name,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=_INACTIVE,
        mem_storage=True,
    )


def event_of(message: Msg, stream: str) -> Event:
    """A message of the stream as an event. One without an id that can be quoted is known by its place."""
    metadata = message.metadata
    sequence = metadata.sequence.stream
    event_id = (message.headers or {}).get(_ID_HEADER, "")
    if not event_id or len(event_id) > _LONGEST_ID or not event_id.isprintable():
        event_id = f"{EVENTS_STREAM} {stream} {sequence}"
    written: datetime = metadata.timestamp
    event_type = message.subject if message.subject.isprintable() else ascii(message.subject)
    return Event(event_id, event_type, written.astimezone(UTC), message.data, sequence)
