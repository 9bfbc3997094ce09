"""Work queues: tasks survive their workers, and a worker that was overtaken says nothing."""

from __future__ import annotations

import asyncio

import pytest

from services.kit import events
from services.kit.settings import ProcessSettings
from services.kit.work import Overtaken, TryAgain, WorkQueue, while_ours


async def test_work_that_stays_ours_returns_its_result() -> None:
    async def work() -> str:
        await asyncio.sleep(0.05)
        return "done"

    async def ours() -> bool:
        return True

    assert await while_ours(work(), ours, every=0.01) == "done"


async def test_work_that_is_no_longer_ours_is_stopped_before_the_caller_goes_on() -> None:
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)  # cleaning up takes a moment
            stopped.set()

    async def ours() -> bool:
        return False

    with pytest.raises(Overtaken):
        await while_ours(work(), ours, every=0.01)
    assert stopped.is_set()


async def test_work_goes_on_while_nobody_can_say_whose_it_is() -> None:
    async def work() -> int:
        await asyncio.sleep(0.05)
        return 1

    async def ours() -> bool:
        raise ConnectionError("the database is away")

    assert await while_ours(work(), ours, every=0.01) == 1


async def test_a_task_goes_back_until_it_is_done_and_is_then_gone(mesh: ProcessSettings) -> None:
    bus = await events.connect(mesh, "test")
    js = bus.jetstream()
    queue, tries, done = WorkQueue("test-again"), 0, asyncio.Event()
    await queue.ensure(js)

    async def work(task: bytes) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise TryAgain("not yet", delay=0.01)
        done.set()

    async with asyncio.timeout(30):
        await js.publish(queue.subject, b"task")
        running = asyncio.create_task(queue.run(bus, work))
        await done.wait()
        while (await js.stream_info(queue.stream)).state.messages:
            await asyncio.sleep(0.01)
    assert tries == 2
    running.cancel()
    await bus.close()


async def test_an_overtaken_worker_leaves_the_task_to_whoever_has_it(mesh: ProcessSettings) -> None:
    """Its word must not count: it would take the task from the queue while another worker may still die over it."""
    bus = await events.connect(mesh, "test")
    js = bus.jetstream()
    queue, begun = WorkQueue("test-overtaken"), asyncio.Event()
    await queue.ensure(js)

    async def work(task: bytes) -> None:
        begun.set()
        raise Overtaken

    async with asyncio.timeout(30):
        await js.publish(queue.subject, b"task")
        running = asyncio.create_task(queue.run(bus, work))
        await begun.wait()
        await asyncio.sleep(0.2)
    assert (await js.stream_info(queue.stream)).state.messages == 1
    assert (await js.consumer_info(queue.stream, "workers")).num_ack_pending == 1
    running.cancel()
    await bus.close()
