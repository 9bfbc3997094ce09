"""A master that passed the gate becomes a job; a deleted asset takes its job along."""

from __future__ import annotations

from typing import Final

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.protection.v1.events_pb2 import MasterCleared
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_TITLE, UPLOAD_PURPOSE_UNSPECIFIED, Watermarking

from services.kit.database import Database, Tx
from services.kit.events import Consumer
from services.transcode.jobs import Jobs

_TITLES: Final = frozenset({UPLOAD_PURPOSE_UNSPECIFIED, UPLOAD_PURPOSE_TITLE})
_COLLUDERS: Final = {"STANDARD": 2, "STRONG": 3}


class Listener:
    """What this service does when others announce something.

    Args:
        watermarking: `OFF`, `STANDARD` or `STRONG`, for films of which nobody said.
    """

    def __init__(self, jobs: Jobs, watermarking: str) -> None:
        self._jobs = jobs
        self._watermarking = watermarking

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to cleared masters, and to deletions."""
        return Consumer("transcode", database, bus, {MasterCleared: self._cleared, AssetDeleted: self._deleted})

    async def _cleared(self, tx: Tx, data: bytes) -> None:
        event = MasterCleared.FromString(data)
        if event.purpose not in _TITLES:
            return  # nobody is ever to play it
        await self._jobs.begin(
            tx,
            asset_id=event.asset_id,
            organisation_id=event.organisation_id,
            object_key=event.object_key,
            colluders=self._colluders(event),
        )

    def _colluders(self, event: MasterCleared) -> int:
        """How many colluders the film's watermark is to withstand, as whoever uploaded it or the install says."""
        said = Watermarking.Name(event.watermarking).removeprefix("WATERMARKING_")
        return _COLLUDERS.get(said if event.watermarking else self._watermarking, 0)

    async def _deleted(self, tx: Tx, data: bytes) -> None:
        await self._jobs.delete_asset(tx, AssetDeleted.FromString(data).asset_id)
