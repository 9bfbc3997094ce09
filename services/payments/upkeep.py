"""Removes what nobody needs any more. What was sold, granted or redeemed stays: it is part of the books."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from services.kit import attempts, telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.payments.subscriptions import charges, checkouts

log = structlog.stdlib.get_logger()

_EVERY: Final = 600.0
CHARGES_KEPT: Final = timedelta(days=400)
"""How long declined charges are kept, to answer for them."""


class Upkeep:
    """Cleans up now and again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def once(self) -> None:
        """Removes counts of wrong codes that nobody added to for a day, and charges and checkouts of long ago that were not paid."""
        async with self._database.transaction() as tx:
            await attempts.forget_old(tx, self._clock.now())
            await charges.forget_unpaid(tx, self._clock.now() - CHARGES_KEPT)
            await checkouts.forget_unpaid(tx, self._clock.now() - checkouts.UNPAID_KEPT)

    async def run(self) -> None:
        """Cleans up every ten minutes, until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(_EVERY)
