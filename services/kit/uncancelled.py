"""Work that must reach its end even when whoever waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


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
