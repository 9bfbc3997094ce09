"""What other services announce becomes this one's own picture of what can be played."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.packaging.v1 import events_pb2 as packaging

from services.kit import events
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.policy import store
from services.policy.announcements import revocation
from services.policy.decision.consumers import FactProjection
from services.policy.domain import Package
from services.policy.judge import Known

DELETED = "the asset was deleted"


class Projection:
    """Handlers of the events; what they keep is known to this process as soon as it is committed."""

    def __init__(self, known: Known, clock: Clock, facts: FactProjection) -> None:
        self._known = known
        self._clock = clock
        self._facts = facts

    def consumer(self, database: Database, bus: NatsClient) -> events.Consumer:
        """Listens to everything that tells what can be played, and by whom."""
        handlers: dict[type, events.Handler] = {
            assets.AssetCreated: self.created,
            assets.AssetUpdated: self.updated,
            assets.AssetDeleted: self.deleted,
            packaging.PackagePublished: self.published,
            **self._facts.handlers(),
        }
        return events.Consumer("policy", database, bus, handlers)

    async def created(self, tx: Tx, data: bytes) -> None:
        """An asset has its first title."""
        event = assets.AssetCreated.FromString(data)
        await store.name(tx, event.asset_id, event.organisation_id, event.title, _moment(event.create_time))

    async def updated(self, tx: Tx, data: bytes) -> None:
        """An asset has another title."""
        event = assets.AssetUpdated.FromString(data)
        await store.name(tx, event.asset_id, event.organisation_id, event.title, _moment(event.update_time))

    async def deleted(self, tx: Tx, data: bytes) -> None:
        """An asset must not be played any more; its sessions end."""
        event = assets.AssetDeleted.FromString(data)
        await store.withdraw(tx, event.asset_id, event.organisation_id, _moment(event.delete_time))
        now = self._clock.now()
        for session in await store.revoke_all(tx, event.asset_id, now, DELETED):
            await events.announce(tx, revocation(session))
            after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))
        after_commit(tx, partial(self._known.withdraw, event.asset_id, now.timestamp()))

    async def published(self, tx: Tx, data: bytes) -> None:
        """A package can be played."""
        package = package_of(packaging.PackagePublished.FromString(data))
        await store.publish(tx, package)
        after_commit(tx, partial(self._known.publish, package))


def package_of(event: packaging.PackagePublished) -> Package:
    """A package as announced."""
    return Package(
        package_id=event.package_id,
        asset_id=event.asset_id,
        organisation_id=event.organisation_id,
        dash_path=event.dash_path,
        hls_path=event.hls_path,
        poster_path=event.poster_path,
        thumbnails_path=event.thumbnails_path,
        key_ids=tuple(track.key_id for track in event.track_keys),
        publish_time=_moment(event.publish_time),
    )


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
