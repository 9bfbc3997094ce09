"""What packaging announces of packages whose keys had to be changed."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.packaging.v1 import events_pb2 as packaging

from services.drm.emergency.changing import Changing
from services.kit.database import Database, Tx
from services.kit.events import Consumer


class Listener:
    """Hears what became of packages."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to packages that are published, given up, or not needed."""
        return Consumer(
            "drm",
            database,
            bus,
            {
                packaging.PackagePublished: self._published,
                packaging.PackagingFailed: self._failed,
                packaging.RepackagingSkipped: self._skipped,
            },
        )

    async def _published(self, tx: Tx, data: bytes) -> None:
        event = packaging.PackagePublished.FromString(data)
        if event.replaced_package_id:
            await self._changing.replaced(tx, event.replaced_package_id, event.package_id)

    async def _failed(self, tx: Tx, data: bytes) -> None:
        event = packaging.PackagingFailed.FromString(data)
        if event.replaced_package_id:
            await self._changing.failed(tx, event.replaced_package_id, event.message)

    async def _skipped(self, tx: Tx, data: bytes) -> None:
        await self._changing.skipped(tx, packaging.RepackagingSkipped.FromString(data).package_id)
