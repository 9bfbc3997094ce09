"""What the assets service announces: whose an asset is, so that nobody records another organisation's, and so that those are withheld which need
records and have none yet."""

from __future__ import annotations

from datetime import UTC

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE

from services.compliance.performers import store
from services.compliance.performers.consents import Consents
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import Consumer


def consumer(database: Database, bus: NatsClient, consents: Consents, clock: Clock) -> Consumer:
    """Listens to it."""

    async def created(tx: Tx, data: bytes) -> None:
        event = assets.AssetCreated.FromString(data)
        if event.purpose == UPLOAD_PURPOSE_EVIDENCE:
            return  # nobody is ever to see it
        await store.lock(tx, event.organisation_id)
        await store.keep_asset(tx, event.asset_id, event.organisation_id)
        await consents.settle(tx, event.organisation_id, [event.asset_id], clock.now())

    handlers = {assets.AssetCreated: created, assets.AssetDeleted: _deleted}
    return Consumer("compliance-performers", database, bus, handlers)


async def _deleted(tx: Tx, data: bytes) -> None:
    event = assets.AssetDeleted.FromString(data)
    delete_time = event.delete_time.ToDatetime(tzinfo=UTC)
    await store.keep_asset(tx, event.asset_id, event.organisation_id, delete_time=delete_time)
