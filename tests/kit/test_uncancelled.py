"""Cancellation, on a Python whose `asyncio.wait_for` may lose one."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.uncancelled import heed_cancellation, stopped, uncancelled


async def swallowed(future: asyncio.Future[None]) -> None:
    """What `asyncio.wait_for` of Python 3.11 does when the cancellation comes together with the result."""
    try:
        await future
    except asyncio.CancelledError:
        return


async def test_a_cancellation_that_was_swallowed_is_heeded_at_the_next_turn() -> None:
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            heed_cancellation()
            turns += 1
            await swallowed(asyncio.get_running_loop().create_future())

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await stopped(task)
    assert task.cancelled()
    assert turns == 1, "it was not asked a second time"


async def test_a_time_limit_that_ran_out_is_no_cancellation() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)
    heed_cancellation()


async def test_work_that_misses_its_cancellation_is_stopped_all_the_same() -> None:
    """As libraries do that we cannot mend."""

    async def deaf_once() -> None:
        await swallowed(asyncio.get_running_loop().create_future())
        await asyncio.sleep(60)

    task = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await stopped(task)
    assert task.cancelled()


async def test_work_that_must_end_ends_though_it_is_stopped_again_and_again() -> None:
    ended = False

    async def important() -> None:
        nonlocal ended
        await asyncio.sleep(1.3)
        ended = True

    async def loop() -> None:
        await uncancelled(important())

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await stopped(task)
    assert ended
    assert task.cancelled()
