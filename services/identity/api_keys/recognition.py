"""Tells what an API key is good for, and notes that it was used."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from reelmesh.identity.v1 import events_pb2
from reelmesh.rpc.v1 import trust_service_pb2 as api

from services.identity.api_keys import store
from services.identity.api_keys.store import ApiKey
from services.identity.organisations.store import organisations
from services.kit.access import credential_invalid
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.events import announce

KEPT_FOR: Final = timedelta(minutes=1)
"""How long servers may go by an answer; so the last use is known to the minute."""


class ApiKeyRecognition:
    """Looks keys up by their SHA-256: they are 256 random bits, so the look-up gives nothing away."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def resolved(self, key_sha256: bytes) -> api.ResolveApiKeyResponse:
        """What a key is good for.

        Raises:
            Refusal: UNAUTHENTICATED `CREDENTIAL_INVALID` when it is unknown, revoked or expired.
        """
        now = self._clock.now()
        async with self._database.transaction() as tx:
            key = await store.find(tx, key_sha256)
            if key is None or not key.works(now):
                raise credential_invalid("the API key is unknown, revoked or expired; make a new one")
            if key.use_time is None or now - key.use_time >= KEPT_FOR:
                await store.used(tx, key.key_id, now)
                await announce(
                    tx,
                    events_pb2.ApiKeyUsed(
                        key_id=key.key_id, organisation_id=key.organisation_id, use_time=timestamp(now)
                    ),
                )
            tier = await tx.execute(
                sa.select(organisations.c.tier).where(organisations.c.organisation_id == key.organisation_id)
            )
            return _answer(key, tier.scalar_one(), now)


def _answer(key: ApiKey, tier: str, now: datetime) -> api.ResolveApiKeyResponse:
    until = now + KEPT_FOR
    return api.ResolveApiKeyResponse(
        key_id=key.key_id,
        organisation_id=key.organisation_id,
        permissions=key.permissions,
        tier=tier,
        keep_until_time=timestamp(until if key.expire_time is None else min(until, key.expire_time)),
    )
