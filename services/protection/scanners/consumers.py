"""A committed upload comes to the gate; a deleted asset leaves it."""

from __future__ import annotations

from typing import Final

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.upload.v1.events_pb2 import UploadCommitted

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import Consumer, enqueue
from services.protection.scanners import store
from services.protection.scanners.domain import HoldState, Screening, ScreeningState
from services.protection.scanners.screening import QUEUE, Gate

_FORGOTTEN: Final = frozenset({ScreeningState.WAITING, ScreeningState.CLEARED})


class Arrivals:
    """What the gate does when others announce something."""

    def __init__(self, gate: Gate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock

    def consumer(self, database: Database, bus: NatsClient) -> Consumer:
        """Listens to committed uploads, and to deletions."""
        return Consumer(
            "protection-gate", database, bus, {UploadCommitted: self._committed, AssetDeleted: self._deleted}
        )

    async def _committed(self, tx: Tx, data: bytes) -> None:
        event, now = UploadCommitted.FromString(data), self._clock.now()
        screening = Screening(
            asset_id=event.asset_id,
            upload_id=event.upload_id,
            organisation_id=event.organisation_id,
            object_key=event.object_key,
            sha256=event.sha256,
            size_bytes=event.size_bytes,
            filename=event.filename,
            content_type=event.content_type,
            watermarking=event.watermarking,
            create_time=now,
            ask_time=now,
            purpose=event.purpose,
        )
        await self._gate.arrive(tx, screening)

    async def _deleted(self, tx: Tx, data: bytes) -> None:
        """What is held stays held: who deletes the asset does not delete the evidence. A file in the clear that only this asset needed still goes
        when it is held for another."""
        screening = await store.find_screening(tx, AssetDeleted.FromString(data).asset_id, for_update=True)
        if screening is None or screening.state not in _FORGOTTEN:
            return
        await store.forget_screening(tx, screening.asset_id)
        for hold in await store.holds_of_file(tx, screening.sha256):
            if hold.state is not HoldState.RELEASED:
                await enqueue(tx, QUEUE.subject, f"preserve:{hold.hold_id}".encode())
