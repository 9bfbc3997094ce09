"""Renditions become a package to be made; a deleted asset takes its packages along."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import Consumer, enqueue
from services.kit.ids import new_id
from services.kit.work import WorkQueue
from services.packaging import store
from services.packaging.domain import Package, Scheme

QUEUE = WorkQueue("packaging")


class Listener:
    """What this service does when others announce something."""

    def __init__(self, clock: Clock, scheme: Scheme) -> None:
        self._clock = clock
        self._scheme = scheme

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to the end of transcoding, and to deletions."""
        return Consumer("packaging", database, bus, {TranscodeCompleted: self._transcoded, AssetDeleted: self._deleted})

    async def _transcoded(self, tx: Tx, data: bytes) -> None:
        event = TranscodeCompleted.FromString(data)
        if await store.is_deleted(tx, event.asset_id):
            return
        now = self._clock.now()
        package = Package(
            package_id=new_id("pkg"),
            asset_id=event.asset_id,
            organisation_id=event.organisation_id,
            job_id=event.job_id,
            source=data,
            scheme=self._scheme,
            create_time=now,
            ask_time=now,
        )
        if await store.add(tx, package):
            await enqueue(tx, QUEUE.subject, package.package_id.encode())

    async def _deleted(self, tx: Tx, data: bytes) -> None:
        event = AssetDeleted.FromString(data)
        now = self._clock.now()
        for package in await store.delete_asset(tx, event.asset_id, now):
            await store.put(tx, package.deleted(now))
