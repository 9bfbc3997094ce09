"""Renditions become a package to be made; a deleted asset takes its packages along."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.drm.v1.events_pb2 import RepackagingRequested
from reelmesh.packaging.v1.events_pb2 import RepackagingSkipped
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import Consumer, announce, enqueue
from services.kit.ids import new_id
from services.kit.work import WorkQueue
from services.packaging import store
from services.packaging.domain import Package, Scheme, State

QUEUE = WorkQueue("packaging")


class Listener:
    """What this service does when others announce something."""

    def __init__(self, clock: Clock, scheme: Scheme) -> None:
        self._clock = clock
        self._scheme = scheme

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to the end of transcoding, to deletions, and to keys that have to be changed."""
        return Consumer(
            "packaging",
            database,
            bus,
            {
                TranscodeCompleted: self._transcoded,
                AssetDeleted: self._deleted,
                RepackagingRequested: self._keys_to_be_changed,
            },
        )

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
            if package.wanted and package.replaces:
                await self._skip(tx, package.replaces)
            await store.put(tx, package.deleted(now))

    async def _keys_to_be_changed(self, tx: Tx, data: bytes) -> None:
        """A package is made once more, with keys of its own. One that can be played stays until its successor can be."""
        event = RepackagingRequested.FromString(data)
        package = await store.locked(tx, event.package_id)
        if package is None or package.state is State.FAILED or package.delete_time is not None:
            await self._skip(tx, event.package_id)
            return
        now = self._clock.now()
        if package.state is State.PACKAGING:  # nobody can play it yet: whoever makes it stops
            await store.put(tx, package.deleted(now))
        successor = package.successor(new_id("pkg"), now)
        if not await store.add(tx, successor):
            given_up = await store.successor_of(tx, package)
            if given_up.state is not State.FAILED:
                return
            successor = given_up.begun_again(now)
            await store.put(tx, successor)
        await enqueue(tx, QUEUE.subject, successor.package_id.encode())

    async def _skip(self, tx: Tx, package_id: str) -> None:
        await announce(tx, RepackagingSkipped(package_id=package_id, skip_time=timestamp(self._clock.now())))
