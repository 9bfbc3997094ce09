"""Cancellation: work that must reach its end in spite of it, and work that must not miss it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


def heed_cancellation() -> None:
    """Raises a cancellation that was swallowed on the way here; to be called in each turn of a loop that runs for ever.

    `asyncio.wait_for` of Python 3.11, on which the NATS client and SQLAlchemy's pool are built, forgets a cancellation that comes
    at the same moment as what it waits for (python/cpython#86296).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def stopped(task: asyncio.Task[None]) -> None:
    """Cancels a task and waits for its end; once more every second, should it have missed that."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)


async def uncancelled(work: Awaitable[Result]) -> Result:
    """Waits until `work` has ended, whatever happens; a cancellation that came meanwhile is passed on afterwards.

    `asyncio.shield` alone is not enough: it lets the work go on, but its waiter runs ahead of it and may take away what it uses.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, so that it is not reported as forgotten
        raise cancelled
    return task.result()
