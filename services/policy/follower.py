"""Keeps what this process knows by heart in step with what other replicas of the service do.

Three ways lead there, and any one of them is enough in the end: what this process commits itself it knows at once; what others announce
is heard on the event bus within milliseconds; and a look into the database every moment finds what was not heard.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.policy.v1 import events_pb2 as policy

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.policy import store
from services.policy.consumers import package_of
from services.policy.holds import taken_down_packages
from services.policy.judge import Known
from services.policy.revocations.store import held_packages
from services.policy.signals.store import throttled_sessions
from services.policy.withdrawn_consents import packages_without_consent

log = structlog.stdlib.get_logger()


class Follower:
    """Follows the other replicas."""

    def __init__(self, database: Database, known: Known, clock: Clock) -> None:
        self._database = database
        self._known = known
        self._clock = clock
        self._seen: datetime | None = None
        self._one_look = asyncio.Lock()

    async def start(self, bus: NatsClient) -> None:
        """Listens, and then looks, so that nothing falls between."""
        await self.listen(bus)
        await self.catch_up()

    async def listen(self, bus: NatsClient) -> None:
        """Hears what is announced from now on. Every process hears all of it, unlike a durable consumer, which shares."""
        await bus.subscribe(policy.SessionRevoked.DESCRIPTOR.full_name, cb=self._revoked)
        await bus.subscribe(assets.AssetDeleted.DESCRIPTOR.full_name, cb=self._deleted)
        await bus.subscribe(packaging.PackagePublished.DESCRIPTOR.full_name, cb=self._published)
        for told in (
            policy.TargetRevoked,
            policy.RevocationLifted,
            policy.ConsentApplied,
            policy.TitleStandingChanged,
            policy.ViewerThrottled,
            policy.ViewerRiskCleared,
        ):
            await bus.subscribe(told.DESCRIPTOR.full_name, cb=self._look)

    async def catch_up(self) -> None:
        """Looks into the database: at everything the first time, at what changed from then on."""
        async with self._one_look:
            now, began = self._clock.now(), time.monotonic()
            async with self._database.transaction() as tx:
                found = await store.changes(tx, self._seen, now, self._known.displaced())
                held = {
                    **await packages_without_consent(tx),
                    **await held_packages(tx),
                    **await taken_down_packages(tx),
                }
                throttled = await throttled_sessions(tx, now)
            for package in found.packages:
                self._known.publish(package)
            for asset_id, moment in found.withdrawn:
                self._known.withdraw(asset_id, moment.timestamp())
            for session in found.revoked:
                self._known.revoke(session.session_id, session.expire_time.timestamp())
            for session in found.displaced:
                self._known.displace(session.session_id, session.expire_time.timestamp())
            self._known.hold(held)
            self._known.throttle(throttled)
            for session_id in found.restored:
                self._known.restore(session_id)
            self._known.forget_expired(now.timestamp())
            self._known.confirmed = began
            self._seen = found.until

    async def run(self, every: float) -> None:
        """Looks every so many seconds until cancelled. Without a database, decisions go on by what is known and heard."""
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

    async def _revoked(self, message: Msg) -> None:
        event = policy.SessionRevoked.FromString(message.data)
        self._known.revoke(event.session_id, event.expire_time.ToNanoseconds() / 1e9)

    async def _deleted(self, message: Msg) -> None:
        event = assets.AssetDeleted.FromString(message.data)
        self._known.withdraw(event.asset_id, self._clock.now().timestamp())

    async def _look(self, _message: Msg) -> None:
        await self.catch_up()

    async def _published(self, message: Msg) -> None:
        self._known.publish(package_of(packaging.PackagePublished.FromString(message.data)))
