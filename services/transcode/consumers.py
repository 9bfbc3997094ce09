"""A committed upload becomes a job; a deleted asset takes its job along."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.upload.v1.events_pb2 import UploadCommitted

from services.kit.database import Database, Tx
from services.kit.events import Consumer
from services.transcode.jobs import Jobs


class Listener:
    """What this service does when others announce something."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to committed uploads, and to deletions."""
        return Consumer("transcode", database, bus, {UploadCommitted: self._committed, AssetDeleted: self._deleted})

    async def _committed(self, tx: Tx, data: bytes) -> None:
        event = UploadCommitted.FromString(data)
        await self._jobs.begin(
            tx, asset_id=event.asset_id, organisation_id=event.organisation_id, object_key=event.object_key
        )

    async def _deleted(self, tx: Tx, data: bytes) -> None:
        await self._jobs.delete_asset(tx, AssetDeleted.FromString(data).asset_id)
