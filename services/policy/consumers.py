"""What other services announce becomes this one's own picture of what can be played."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.drm.v1 import events_pb2 as drm
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.protection.v1 import events_pb2 as protection

from services.kit import events
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.kit.ids import new_id
from services.policy import overlays, store
from services.policy.announcements import revocation, target_revoked
from services.policy.decision.consumers import FactProjection
from services.policy.decision.jurisdictions import forget_title
from services.policy.domain import Package
from services.policy.judge import Known
from services.policy.leak_orders import LeakOrders
from services.policy.revocations.store import Revocation, Target, add, barred

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
            drm.ContentKeysRevoked: self.keys_revoked,
            protection.OverlayChanged: overlays.changed,
            **self._facts.handlers(),
            **LeakOrders(self._known, self._clock).handlers(),
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
        await forget_title(tx, event.asset_id)
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

    async def keys_revoked(self, tx: Tx, data: bytes) -> None:
        """The keys of a package must not be used any more: it is held like every package of a revoked key, and its sessions end."""
        event = drm.ContentKeysRevoked.FromString(data)
        now = self._clock.now()
        held = await barred(tx, [event.organisation_id], {Target.KEY: event.key_ids})
        for key_id in dict.fromkeys(event.key_ids):
            if held.first(event.organisation_id, {Target.KEY: [key_id]}):
                continue
            revoked = Revocation(
                revocation_id=new_id("rvk"),
                organisation_id=event.organisation_id,
                target=int(Target.KEY),
                target_id=key_id,
                comment=event.reason,
                actor="service/drm",
                create_time=now,
            )
            await add(tx, revoked)
            await events.announce(tx, target_revoked(revoked))
        for session in await store.revoke_package(tx, event.package_id, now, event.reason):
            await events.announce(tx, revocation(session))
            after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))


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
        watermark_colluders=event.watermark.colluders,
        watermark_segments=event.watermark.segments,
    )


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
