"""What decides about every licence, by heart: the policies of organisations, and offline licences that were revoked.

Replicas hear of each other's changes on the event bus, and look into the database every second besides. While it is away, what is known
goes on; for how long, the policy service says, which every licence is asked of.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from reelmesh.drm.v1 import events_pb2

from services.drm.licences import store
from services.drm.licences.messages import kept_policy
from services.drm.licences.policy import FIRST_POLICY, LicencePolicy
from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database

log = structlog.stdlib.get_logger()

_OVERLAP: Final = timedelta(minutes=1)


class Knowledge:
    """Policies and revocations."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._policies: dict[str, LicencePolicy] = {}
        self._position = 0
        self._revoked: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._seen: datetime | None = None
        self._one_look = asyncio.Lock()

    async def start(self, bus: NatsClient) -> None:
        """Listens, and then looks, so that nothing falls between."""
        for told in (events_pb2.LicencePolicyUpdated, events_pb2.OfflineLicenceRevoked):
            await bus.subscribe(told.DESCRIPTOR.full_name, cb=self._heard)
        await self.catch_up()

    def policy(self, organisation_id: str) -> LicencePolicy:
        """The policy of an organisation."""
        return self._policies.get(organisation_id, FIRST_POLICY)

    def revoked(self, session_id: str, package_id: str) -> str:
        """Id of the offline licence of a playback if it was revoked; empty when not."""
        return self._revoked.get((session_id, package_id), ("",))[0]

    def learn(self, organisation_id: str, policy: LicencePolicy) -> None:
        """An organisation has a new policy."""
        if policy.version >= self.policy(organisation_id).version:
            self._policies[organisation_id] = policy

    def revoke(self, licence: store.OfflineLicence) -> None:
        """An offline licence was revoked."""
        self._revoked[licence.session_id, licence.package_id] = (licence.licence_id, licence.expire_time)

    async def catch_up(self) -> None:
        """Looks into the database: at everything the first time, at what changed from then on."""
        async with self._one_look:
            now = self._clock.now()
            async with self._database.transaction() as tx:
                policies, self._position = await store.policies_since(tx, self._position)
                revoked = await store.revoked_offline(tx, self._seen and self._seen - _OVERLAP)
            for kept in policies:
                self.learn(kept.organisation_id, kept_policy(kept))
            for licence in revoked:
                self.revoke(licence)
            # A session lives for a day at most, so its ticket opens nothing once its licence has ended.
            over = [key for key, (_, ends) in self._revoked.items() if ends + timedelta(days=2) < now]
            for key in over:
                del self._revoked[key]
            self._seen = now

    async def run(self, every: float) -> None:
        """Looks every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.catch_up()
            except asyncio.CancelledError:
                raise
            except (
                Exception
            ) as error:  # the database may be away for a moment; the next look finds what this one missed
                log.warning("look put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])

    async def _heard(self, _message: Msg) -> None:
        await self.catch_up()
