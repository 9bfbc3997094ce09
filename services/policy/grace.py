"""Whoever was told by `assets` that an asset is there may come here before the same event has: it is given a moment to arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.kit.errors import Refusal

GRACE: Final = 2.0
"""Seconds."""
_LOOK_AGAIN: Final = 0.1

Answer = TypeVar("Answer")


class Grace:
    """Gives events a moment.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float = GRACE) -> None:
        self._seconds = seconds

    async def __call__(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """What the call returns, tried again for a moment while it is refused with ASSET_NOT_PLAYABLE.

        Raises:
            Refusal: of the last try.
        """
        give_up = time.monotonic() + self._seconds
        while True:
            try:
                return await call()
            except Refusal as refusal:
                if refusal.reason != "ASSET_NOT_PLAYABLE" or time.monotonic() >= give_up:
                    raise
            await asyncio.sleep(_LOOK_AGAIN)
