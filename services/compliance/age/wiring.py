"""Puts proofs of age together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import httpx
import structlog

from services.compliance.age import store
from services.compliance.age.checking import Checking
from services.compliance.age.providers import AgeSettings, providers
from services.compliance.age.rpc import AgeRpc
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal

log = structlog.stdlib.get_logger()

_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0
_UPKEEP_SECONDS: Final = 600.0
KEPT: Final = timedelta(days=30)
"""How long checks and proofs are kept after their time is over, for who has to account for what was shown to whom."""


async def start_age(process: Process, settings: AgeSettings, database: Database, install: Seal) -> AgeRpc:
    """Sets providers up, and returns what serves the contract.

    Raises:
        ValueError, OSError: a provider cannot be used as it is set.
    """
    limits = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
    http = httpx.AsyncClient(timeout=limits, follow_redirects=False, trust_env=False)
    process.at_end(http.aclose)
    checking = Checking(
        database,
        process.clock,
        providers(settings, http),
        install,
        public_url=settings.public_url,
        patience=timedelta(seconds=settings.compliance_age_check_seconds),
        good_for=timedelta(days=settings.compliance_age_proof_days),
    )
    process.in_background(_upkeep(database, process.clock), "age upkeep")
    return AgeRpc(database, process.clock, checking)


async def _upkeep(database: Database, clock: Clock) -> None:
    """Removes old checks and proofs now and then, until cancelled. Trouble is waited out."""
    while True:
        try:
            await cleaned(database, clock)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the database may be away for a moment; there is no hurry
            log.warning("age upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
        await asyncio.sleep(_UPKEEP_SECONDS)


async def cleaned(database: Database, clock: Clock) -> None:
    """Removes old checks and proofs once."""
    now = clock.now()
    async with database.transaction() as tx:
        await store.forget(tx, now, before=now - KEPT)
