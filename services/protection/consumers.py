"""What other services announce becomes this one's own picture of what is marked, and of who watched it."""

from __future__ import annotations

from datetime import UTC

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.policy.v1.events_pb2 import PlaybackCreated
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted
from reelmesh.upload.v1.events_pb2 import UploadCommitted

from services.kit.database import Database, Tx
from services.kit.events import Consumer, Handler
from services.protection import store
from services.protection.store import MarkedTitle, Rendition, Viewing


def consumer(database: Database, bus: NatsClient) -> Consumer:
    """Listens to files that come in, to watermarked titles, to sessions that play them, and to deletions."""
    handlers: dict[type, Handler] = {
        UploadCommitted: _uploaded,
        TranscodeCompleted: _transcoded,
        PlaybackCreated: _played,
        AssetDeleted: _deleted,
    }
    return Consumer("protection", database, bus, handlers)


async def _uploaded(tx: Tx, data: bytes) -> None:
    event = UploadCommitted.FromString(data)
    await store.add_master(tx, store.Master(event.asset_id, event.organisation_id, event.object_key, event.filename))


async def _transcoded(tx: Tx, data: bytes) -> None:
    event = TranscodeCompleted.FromString(data)
    if not event.watermark_colluders:
        return
    renditions = [
        Rendition(one.width, one.height, one.frame_rate, one.object_key, one.variant_object_key)
        for one in event.renditions
        if one.variant_object_key
    ]
    title = MarkedTitle(
        event.asset_id,
        event.organisation_id,
        event.watermark_colluders,
        event.segment_duration.ToNanoseconds() / 1e9,
        tuple(sorted(renditions, key=lambda one: -one.longer)),
    )
    await store.add_title(tx, title)


async def _played(tx: Tx, data: bytes) -> None:
    event = PlaybackCreated.FromString(data)
    viewing = Viewing(event.session_id, event.viewer_id, event.create_time.ToDatetime(tzinfo=UTC))
    await store.add_session(tx, event.asset_id, viewing)


async def _deleted(tx: Tx, data: bytes) -> None:
    await store.forget_asset(tx, AssetDeleted.FromString(data).asset_id)
