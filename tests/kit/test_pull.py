"""Messages of a durable consumer, on a real NATS: at once, in order, and back to the server when nobody takes them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client as NatsClient
from nats.js.api import AckPolicy, ConsumerConfig

from services.kit import events, pull
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings


class Line:
    """A stream with one durable consumer."""

    def __init__(self, bus: NatsClient) -> None:
        self.bus = bus
        self.js = bus.jetstream()
        self.stream = new_id("pull").upper()

    async def laid(self) -> Line:
        await events.ensure_stream(self.js, self.stream, [self.stream])
        await self.js.add_consumer(
            self.stream, ConsumerConfig(durable_name="c", ack_policy=AckPolicy.EXPLICIT, ack_wait=600)
        )
        return self

    async def say(self, *texts: bytes) -> None:
        for text in texts:
            await self.js.publish(self.stream, text)

    async def waiting(self) -> int:
        return (await self.js.consumer_info(self.stream, "c")).num_waiting or 0


@pytest.fixture
async def line(mesh: ProcessSettings) -> AsyncIterator[Line]:
    bus = await events.connect(mesh, "test")
    line = await Line(bus).laid()
    yield line
    with contextlib.suppress(Exception):  # one test removes it itself
        await line.js.delete_stream(line.stream)
    await bus.close()


async def test_a_message_does_not_wait_for_its_batch_to_be_full(line: Line) -> None:
    async with asyncio.timeout(60), contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=32)) as found:
        for text in [b"one", b"two", b"three"]:
            await line.say(text)
            assert (await anext(found)).data == text


async def test_one_request_is_open_however_many_ended(line: Line) -> None:
    """What nats-py's own `fetch` gets wrong: a request that was given up takes the next message and holds up those after it."""
    requests = pull.messages(line.bus, line.stream, "c", batch=32, expires=0.05)
    async with asyncio.timeout(60), contextlib.aclosing(requests) as found:
        first = asyncio.ensure_future(anext(found))
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert await line.waiting() <= 1
        await line.say(b"one", b"two")
        assert ((await first).data, (await anext(found)).data) == (b"one", b"two")


async def test_what_was_not_taken_goes_back_at_once(line: Line) -> None:
    await line.say(b"one", b"two", b"three")
    async with asyncio.timeout(60):
        async with contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=32)) as found:
            await (await anext(found)).ack()
            while (await line.js.consumer_info(line.stream, "c")).num_pending:
                await asyncio.sleep(0.01)
        async with contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=32)) as found:
            assert sorted([(await anext(found)).data, (await anext(found)).data]) == [b"three", b"two"]


async def test_a_process_that_stood_still_does_not_take_the_server_for_silent(line: Line) -> None:
    async with asyncio.timeout(60), contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=1)) as found:
        first = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0.1)
        time.sleep(4.2)  # noqa: ASYNC251  # the whole process stands still, as one that is out of memory does
        await line.say(b"one")
        assert (await first).data == b"one"


async def test_a_cancellation_that_was_swallowed_on_the_way_is_heeded(line: Line) -> None:
    """As `asyncio.wait_for` of Python 3.11 does: the task is cancelled, and nobody has told it."""

    async def consume() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        async with contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=1)) as found:
            async for _ in found:
                pass

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.ensure_future(consume()), 30)


async def test_no_request_stays_behind(line: Line) -> None:
    async with asyncio.timeout(60), contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=32)) as found:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(found), 0.2)
    await line.bus.flush()
    assert await line.waiting() == 0


async def test_a_consumer_that_is_gone_is_told(line: Line) -> None:
    async with asyncio.timeout(60), contextlib.aclosing(pull.messages(line.bus, line.stream, "c", batch=1)) as found:
        first = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0.1)
        await line.js.delete_consumer(line.stream, "c")
        with pytest.raises(pull.Interrupted):
            await first
