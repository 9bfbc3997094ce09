"""Outbox, relay, consumers and work queues on a real Postgres and a real NATS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext
from reelmesh.upload.v1.events_pb2 import UploadCommitted

from services.kit import telemetry
from services.kit.database import Database, Tx, inbox, outbox
from services.kit.events import Consumer, Relay, Told, announce, announce_all, connect, enqueue, ensure_events
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.work import TryAgain, WorkQueue


@dataclass(frozen=True)
class Bus:
    database: Database
    client: NatsClient
    js: JetStreamContext


@pytest.fixture
async def bus(mesh: ProcessSettings) -> AsyncIterator[Bus]:
    connection = await connect(mesh, "test")
    database = Database.of("upload", mesh)
    js = connection.jetstream()
    await ensure_events(js)
    yield Bus(database, connection, js)
    await database.close()
    await connection.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def in_background(*works: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def committed() -> UploadCommitted:
    return UploadCommitted(upload_id=new_id("upl"))


async def test_an_event_is_handled_once_however_often_it_is_delivered(bus: Bus) -> None:
    event, seen = committed(), []

    async def handle(tx: Tx, payload: bytes) -> None:
        if UploadCommitted.FromString(payload).upload_id == event.upload_id:
            seen.append(telemetry.correlation_id())

    with telemetry.correlated("the-first-call"):
        async with bus.database.transaction() as tx:
            event_id = await announce(tx, event)
    consumer = Consumer(new_id("c"), bus.database, bus.client, {UploadCommitted: handle})
    async with in_background(Relay(bus.database, bus.client).run(), consumer.run()):
        await until(lambda: bool(seen))
        # The same event again, as after a relay that died between publishing and forgetting, long after the stream's own memory.
        await bus.js.publish(
            UploadCommitted.DESCRIPTOR.full_name, event.SerializeToString(), headers={"Nats-Msg-Id": event_id + "x"}
        )
        await bus.js.publish(
            UploadCommitted.DESCRIPTOR.full_name, event.SerializeToString(), headers={"Nats-Msg-Id": event_id}
        )
        marker = committed()
        async with bus.database.transaction() as tx:
            await announce(tx, marker)
        await until(lambda: len(seen) == 2)
    # Twice: once as itself, once under the other id; the true repeat was dropped.
    assert seen[0] == "the-first-call"
    async with bus.database.transaction() as tx:
        assert (
            await tx.execute(sa.select(sa.func.count()).select_from(inbox).where(inbox.c.event_id == event_id))
        ).scalar_one() == 1


async def test_an_event_of_a_transaction_that_failed_is_never_published(bus: Bus) -> None:
    with pytest.raises(ZeroDivisionError):
        async with bus.database.transaction() as tx:
            await announce(tx, committed())
            _ = 1 / 0
    assert await Relay(bus.database, bus.client).relay_once() == 0


async def test_a_handler_that_fails_is_tried_again_and_its_work_undone(bus: Bus) -> None:
    event, tries = committed(), []

    async def handle(tx: Tx, payload: bytes) -> None:
        if UploadCommitted.FromString(payload).upload_id != event.upload_id:
            return
        tries.append(1)
        await enqueue(tx, "nowhere.at.all", b"")
        if len(tries) < 3:
            raise RuntimeError("not yet")
        await tx.execute(sa.delete(outbox).where(outbox.c.subject == "nowhere.at.all"))

    async with bus.database.transaction() as tx:
        await announce(tx, event)
    consumer = Consumer(new_id("c"), bus.database, bus.client, {UploadCommitted: handle})
    await Relay(bus.database, bus.client).relay_once()
    async with in_background(consumer.run()):
        await until(lambda: len(tries) == 3)
    async with bus.database.transaction() as tx:
        assert not (await tx.execute(sa.select(outbox))).all()


async def test_events_leave_the_outbox_in_the_order_in_which_they_were_written(bus: Bus) -> None:
    events = [committed() for _ in range(250)]
    async with bus.database.transaction() as tx:
        for event in events:
            await announce(tx, event)
    relay = Relay(bus.database, bus.client)
    assert [await relay.relay_once() for _ in range(4)] == [100, 100, 50, 0]
    subscription = await bus.js.subscribe(UploadCommitted.DESCRIPTOR.full_name, ordered_consumer=True)
    wanted = {event.upload_id for event in events}
    got: list[str] = []
    while len(got) < len(events):
        message = await subscription.next_msg(timeout=30)
        upload_id = UploadCommitted.FromString(message.data).upload_id
        if upload_id in wanted:
            got.append(upload_id)
    await subscription.unsubscribe()
    assert got == [event.upload_id for event in events]


async def test_a_task_goes_to_one_worker_and_comes_back_when_it_fails(bus: Bus) -> None:
    queue = WorkQueue(f"test-{new_id('q')}")
    done: list[bytes] = []
    tries: list[bytes] = []

    async def work(task: bytes) -> None:
        tries.append(task)
        if len(tries) == 1:
            raise TryAgain("busy", delay=0.05)
        done.append(task)

    async with bus.database.transaction() as tx:
        await enqueue(tx, queue.subject, b"one")
    await queue.ensure(bus.js)
    await Relay(bus.database, bus.client).relay_once()
    async with in_background(queue.run(bus.client, work), queue.run(bus.client, work)):
        await until(lambda: bool(done))
        await asyncio.sleep(0.3)
    assert (tries, done) == ([b"one", b"one"], [b"one"])


async def test_a_task_of_a_worker_that_was_stopped_is_taken_up_by_the_next(bus: Bus) -> None:
    queue = WorkQueue(f"test-{new_id('q')}")
    started = asyncio.Event()
    done: list[bytes] = []

    async def never_ends(task: bytes) -> None:
        started.set()
        await asyncio.Event().wait()

    async def ends(task: bytes) -> None:
        done.append(task)

    await queue.ensure(bus.js)
    await bus.js.publish(queue.subject, b"one")
    async with in_background(queue.run(bus.client, never_ends)):
        await asyncio.wait_for(started.wait(), 30)
    async with in_background(queue.run(bus.client, ends)):
        await until(lambda: bool(done))
    assert done == [b"one"]


async def test_many_events_of_earlier_calls_are_told_in_their_order_under_their_own_ids(bus: Bus) -> None:
    told = [Told(new_id("evt"), f"call-{number:03}", committed()) for number in range(300)]
    async with bus.database.transaction() as tx:
        await announce_all(tx, [])
        await announce_all(tx, told)
    async with bus.database.transaction() as tx:
        rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.position))).all()
    assert [(row.event_id, row.payload) for row in rows] == [
        (one.event_id, one.event.SerializeToString()) for one in told
    ]
    assert {row.subject for row in rows} == {"reelmesh.upload.v1.UploadCommitted"}
    assert [row.headers[telemetry.CORRELATION_HEADER] for row in rows] == [one.correlation_id for one in told]
    relay = Relay(bus.database, bus.client, batch=200)
    assert [await relay.relay_once() for _ in range(3)] == [200, 100, 0]
