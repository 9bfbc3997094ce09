"""Removes what nobody will ask for again: codes and single uses that ended, and old answers to repeated requests."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from services.kit import idempotency, telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.policy import store
from services.policy.cat.store import forget_uses
from services.policy.decision import tiers
from services.policy.decision.people import forget as forget_people
from services.policy.decision.store import forget_age_proofs, forget_decisions
from services.policy.decision.territories import Territories
from services.policy.signals.store import forget as forget_signals

log = structlog.stdlib.get_logger()

CODES_KEPT: Final = timedelta(days=1)
"""How long a code that ended is kept, so that its owner is told that it came too late and not that it is unknown."""
DECISIONS_KEPT: Final = timedelta(days=30)
"""How long decisions can be explained and replayed, and signals explained."""
SIGN_INS_KEPT: Final = timedelta(days=1)
"""Only those of the last minutes matter."""
DEVICES_KEPT: Final = timedelta(days=365)
"""How long a device that was revoked is known as such: a server may go on naming it."""


class Upkeep:
    """Cleans up now and then."""

    def __init__(self, database: Database, clock: Clock, territories: Territories) -> None:
        self._territories = territories
        self._database = database
        self._clock = clock

    async def run(self, every: float) -> None:
        """Cleans up every so many seconds until cancelled. Trouble is waited out."""
        while True:
            try:
                await self.once()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(every)

    async def once(self) -> None:
        """Cleans up once, and looks whether there is a newer territory database."""
        await asyncio.to_thread(self._territories.refresh)
        async with self._database.transaction() as tx:
            await store.forget_codes(tx, self._clock.now() - CODES_KEPT)
            now = self._clock.now()
            await forget_uses(tx, now)
            await forget_decisions(tx, now - DECISIONS_KEPT)
            await forget_age_proofs(tx, now - DECISIONS_KEPT)
            await forget_signals(tx, now, signals_before=now - DECISIONS_KEPT, sign_ins_before=now - SIGN_INS_KEPT)
            await forget_people(tx, devices_before=now - DEVICES_KEPT, profiles_before=now - DECISIONS_KEPT)
            await tiers.forget(tx, now - DECISIONS_KEPT)
            await idempotency.forget_old(tx)
