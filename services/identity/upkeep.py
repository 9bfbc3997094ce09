"""Removes what nobody needs any more."""

from __future__ import annotations

import asyncio

import structlog

from services.identity import attempts, codes
from services.identity.api_keys import store as api_keys
from services.identity.devices import store as devices
from services.identity.oauth import store as oauth
from services.identity.sessions import store as sessions
from services.identity.sso import store as sso
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database

log = structlog.stdlib.get_logger()


class Upkeep:
    """Cleans up now and again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def once(self) -> None:
        """Removes expired codes, counts of attempts, refresh tokens, old sessions and devices, ended API keys, and what OAuth clients asked."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await attempts.forget_old(tx, now)
            await codes.forget_old(tx, now)
            await sessions.forget_old(tx, now)
            await devices.forget_old(tx, now)
            await oauth.forget_old(tx, now)
            await sso.forget_old(tx, now)
            await api_keys.forget_old(tx, now)

    async def run(self, every: float) -> None:
        """Cleans up every so many seconds, until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)
