"""Events and tasks: written to an outbox with the state they tell of, relayed to JetStream, handled once by whoever listens.

- `announce` puts an event in the outbox in the caller's own transaction, `announce_all` many that earlier calls left to it.
- `Relay` moves the outbox to JetStream; the event id is `Nats-Msg-Id`, so a relay that dies between publish and delete is harmless.
- `Consumer` hands each event to a handler within a transaction that also notes the event id, so a second delivery does nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import nats
import sqlalchemy as sa
import structlog
from google.protobuf.message import Message
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from sqlalchemy.dialects.postgresql import insert

from services.kit import idempotency, pull, telemetry
from services.kit.database import ANNOUNCED, Database, Tx, inbox, outbox
from services.kit.ids import new_id
from services.kit.publishing import Publisher
from services.kit.settings import ProcessSettings
from services.kit.uncancelled import heed_cancellation, uncancelled

log = structlog.stdlib.get_logger()

EVENTS_STREAM: Final = "EVENTS"
EVENTS_PREFIX: Final = "reelmesh."
EVENTS_SUBJECTS: Final = "reelmesh.*.v1.*"
_EVENT_ID_HEADER: Final = "Nats-Msg-Id"
EVENTS_KEPT_FOR: Final = timedelta(days=30)
"""How long the stream keeps events, for whoever comes late."""
LARGEST_PAYLOAD: Final = 900_000
"""Bytes of one message: NATS takes 1 MB, headers included."""
_FORGET_EVERY: Final = 3600.0
_RELAY_BATCH: Final = 100
_LOOK_FOR_LEFT: Final = 3.0
"""Seconds after which a relay that nobody woke looks for what others left in the outbox, such as a process that was killed. Each commit of its own
process wakes it."""
_CONSUMER_BATCH: Final = 32
_GIVEN_AGAIN: Final = 30
"""Seconds after which an event is given again when nobody said that it was handled: so long work stands still whose handler was killed. It is more
than a batch takes on a busy machine, or all would be handled again and again."""
_FIRST_RETRY: Final = 0.5
_LAST_RETRY: Final = 30.0

Handler = Callable[[Tx, bytes], Awaitable[None]]


async def connect(settings: ProcessSettings, name: str) -> NatsClient:
    """Connects to NATS, and keeps connecting for as long as the process lives: a server that is away is a normal event."""
    token = settings.nats_token_file.read_text(encoding="utf-8").strip() if settings.nats_token_file else None

    async def on_error(error: Exception) -> None:
        log.warning("nats trouble", error=str(error) or type(error).__name__)

    return await nats.connect(
        servers=settings.nats_url.split(","),
        name=name,
        token=token,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
        connect_timeout=2,
        ping_interval=10,
        error_cb=on_error,
    )


async def disconnect(connection: NatsClient) -> None:
    """Closes a connection, also one whose server went away under it."""
    # What it still had to say cannot be said any more. uvloop calls a socket that is closed already a RuntimeError.
    with contextlib.suppress(OSError, RuntimeError):
        await connection.close()


async def ensure_stream(js: JetStreamContext, name: str, subjects: list[str], *, work_queue: bool = False) -> None:
    """Makes the stream when it does not exist. Safe to call from every process at once."""
    config = StreamConfig(
        name=name,
        subjects=subjects,
        retention=RetentionPolicy.WORK_QUEUE if work_queue else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        duplicate_window=120,
        max_age=0 if work_queue else EVENTS_KEPT_FOR.total_seconds(),
        allow_atomic=not work_queue,
    )
    try:
        found = await js.stream_info(name)
    except NotFoundError:
        await js.add_stream(config)
    else:
        if not work_queue and not found.config.allow_atomic:  # it was made before there were batches
            await js.update_stream(replace(found.config, allow_atomic=True))


async def ensure_events(js: JetStreamContext) -> None:
    """Makes the stream of all events."""
    await ensure_stream(js, EVENTS_STREAM, [EVENTS_SUBJECTS])


async def announce(tx: Tx, event: Message) -> str:
    """Puts an event in the outbox; it is published if and only if the transaction commits. Returns the event id."""
    return await enqueue(tx, event.DESCRIPTOR.full_name, event.SerializeToString())


async def enqueue(tx: Tx, subject: str, payload: bytes) -> str:
    """Puts a message for any subject in the outbox, such as a task for a work queue. Returns its id.

    Raises:
        ValueError: the message is larger than NATS takes; in the outbox it would stop everything behind it for ever.
    """
    if len(payload) > LARGEST_PAYLOAD:
        raise ValueError(f"a message for {subject} has {len(payload)} bytes; at most {LARGEST_PAYLOAD} can be sent")
    event_id = new_id("evt")
    headers = {
        _EVENT_ID_HEADER: event_id,
        telemetry.CORRELATION_HEADER: telemetry.correlation_id(),
        **telemetry.trace_headers(),
    }
    await tx.execute(sa.insert(outbox).values(event_id=event_id, subject=subject, payload=payload, headers=headers))
    tx.info[ANNOUNCED] = True
    return event_id


@dataclass(frozen=True, slots=True)
class Told:
    """An event about something that was done in an earlier call.

    Attributes:
        event_id: chosen then, so that telling it twice is telling it once.
        correlation_id: of that call.
    """

    event_id: str
    correlation_id: str
    event: Message


# One text for all rows: the driver would look at each element of arrays by itself.
_ADD_MANY: Final = sa.text(
    "INSERT INTO outbox (event_id, subject, payload, headers)"
    " SELECT event_id, subject, decode(payload, 'base64'), headers"
    " FROM json_to_recordset(CAST(:told AS json)) AS told (event_id text, subject text, payload text, headers jsonb)"
)


async def announce_all(tx: Tx, told: Sequence[Told]) -> None:
    """Puts many events in the outbox, in their order, by one statement."""
    if not told:
        return
    rows = [
        {
            "event_id": one.event_id,
            "subject": one.event.DESCRIPTOR.full_name,
            "payload": base64.b64encode(one.event.SerializeToString()).decode(),
            "headers": {_EVENT_ID_HEADER: one.event_id, telemetry.CORRELATION_HEADER: one.correlation_id},
        }
        for one in told
    ]
    await tx.execute(_ADD_MANY, {"told": json.dumps(rows)})
    tx.info[ANNOUNCED] = True


class Relay:
    """Moves committed events from the outbox to JetStream, in the order in which they were written."""

    def __init__(
        self,
        database: Database,
        bus: NatsClient,
        *,
        interval: float = 0.05,
        idle_interval: float = _LOOK_FOR_LEFT,
        batch: int = _RELAY_BATCH,
    ) -> None:
        self._database = database
        self._publisher = Publisher(bus, EVENTS_PREFIX)
        self._interval = interval
        self._idle_interval = idle_interval
        self._batch = batch
        self._wake = asyncio.Event()
        database.when_announced(self._wake.set)

    async def run(self) -> None:
        """Relays until cancelled. Trouble with Postgres or NATS is waited out."""
        delay, forget_at = self._interval, time.monotonic()
        while True:
            heed_cancellation()
            try:
                # Not cut off in mid-transaction: a drain waits for the batch.
                moved = await uncancelled(self.relay_once())
                if time.monotonic() >= forget_at:
                    await uncancelled(self._forget())
                    forget_at = time.monotonic() + _FORGET_EVERY
            except asyncio.CancelledError:
                raise
            except Exception as error:  # any trouble of either server: the events stay in the outbox, so try again
                log.warning("relay is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
                delay = min(max(delay * 2, 0.2), 5.0)
            else:
                # Whoever relays now may have looked before the last commit.
                delay = self._interval if moved or moved is None else self._idle_interval
                if moved == self._batch:
                    continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            self._wake.clear()

    async def _forget(self) -> None:
        """Removes what can no longer be asked for: old first answers, and notes of events that left the stream."""
        async with self._database.transaction() as tx:
            await idempotency.forget_old(tx)
            await tx.execute(sa.delete(inbox).where(inbox.c.handle_time < sa.func.now() - 2 * EVENTS_KEPT_FOR))

    async def relay_once(self) -> int | None:
        """Publishes one batch and removes it from the outbox. Returns how many there were; None while another relay is at it."""
        async with self._database.transaction() as tx:
            # One relay at a time keeps the order when a service runs more than once.
            mine = (
                await tx.execute(
                    sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.outbox', 0))")
                )
            ).scalar_one()
            if not mine:
                return None
            rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.position).limit(self._batch))).all()
            telemetry.OUTBOX_PENDING.set(len(rows))
            # If one fails, all stay here and are published again; those that were taken are dropped as repeats.
            await self._publisher.publish(rows)
            if rows:
                await tx.execute(sa.delete(outbox).where(outbox.c.position.in_([row.position for row in rows])))
            return len(rows)


class Consumer:
    """Hands each event of the named kinds to its handler, once, in a transaction of its own.

    A handler that raises is tried again later, with growing pauses, for as long as it takes: an event is a fact, and dropping one
    would leave this service's picture of the world wrong for ever. Handlers therefore must not depend on the order of events.
    """

    def __init__(
        self, name: str, database: Database, bus: NatsClient, handlers: Mapping[type[Message], Handler]
    ) -> None:
        self._name = name
        self._database = database
        self._bus = bus
        self._js = bus.jetstream()
        self._handlers = {event.DESCRIPTOR.full_name: handler for event, handler in handlers.items()}

    async def run(self) -> None:
        """Consumes until cancelled. Trouble with NATS is waited out."""
        while True:
            try:
                await ensure_events(self._js)
                await self._js.add_consumer(EVENTS_STREAM, self._config())
                async with aclosing(
                    pull.messages(self._bus, EVENTS_STREAM, self._name, batch=_CONSUMER_BATCH)
                ) as messages:
                    async for message in messages:
                        await uncancelled(self._handle(message))
                        heed_cancellation()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # NATS is away or the consumer is gone: begin again
                log.warning("consumer is waiting", consumer=self._name, error=f"{type(error).__name__}: {error}"[:300])
                await asyncio.sleep(1)

    def _config(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self._name,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_GIVEN_AGAIN,
            max_deliver=-1,
            max_ack_pending=256,
            filter_subjects=sorted(self._handlers),
        )

    def _note(self, event_id: str) -> str:
        """What is noted in the inbox, which all consumers of a service share: each of them handles an event by itself. The first of a service
        is named as the service is, others `<service>-<what>`."""
        _, _, what = self._name.partition("-")
        return f"{what}/{event_id}" if what else event_id

    async def _handle(self, message: Msg) -> None:
        headers = message.headers or {}
        # Whatever comes without an id, such as from a tool, is known by its place in the stream.
        event_id = headers.get(_EVENT_ID_HEADER) or f"{EVENTS_STREAM}-{message.metadata.sequence.stream}"
        with (
            telemetry.correlated(headers.get(telemetry.CORRELATION_HEADER)),
            telemetry.traced(message.subject, headers),
        ):
            try:
                async with self._database.transaction() as tx:
                    noted = await tx.execute(
                        insert(inbox).values(event_id=self._note(event_id)).on_conflict_do_nothing()
                    )
                    if noted.rowcount:
                        await self._handlers[message.subject](tx, message.data)
            except asyncio.CancelledError:
                raise
            except Exception:  # whatever the handler stumbled over, the event stays and is tried again
                tries = message.metadata.num_delivered
                pause = min(_FIRST_RETRY * 2 ** min(tries, 10), _LAST_RETRY)
                log.exception(
                    "event was not handled",
                    consumer=self._name,
                    subject=message.subject,
                    event_id=event_id,
                    tries=tries,
                )
                telemetry.EVENTS_HANDLED.labels(self._name, message.subject, "failed").inc()
                await message.nak(delay=pause)
            else:
                telemetry.EVENTS_HANDLED.labels(
                    self._name, message.subject, "handled" if noted.rowcount else "repeated"
                ).inc()
                await message.ack()
