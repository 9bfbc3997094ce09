"""What the assets service announces: whose an asset is, so that nobody records another organisation's."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import events_pb2 as assets

from services.compliance.performers import store
from services.kit.database import Database, Tx
from services.kit.events import Consumer


def consumer(database: Database, bus: NatsClient) -> Consumer:
    """Listens to it."""
    handlers = {assets.AssetCreated: _created, assets.AssetDeleted: _deleted}
    return Consumer("compliance-performers", database, bus, handlers)


async def _created(tx: Tx, data: bytes) -> None:
    event = assets.AssetCreated.FromString(data)
    await store.keep_asset(tx, event.asset_id, event.organisation_id, deleted=False)


async def _deleted(tx: Tx, data: bytes) -> None:
    event = assets.AssetDeleted.FromString(data)
    await store.keep_asset(tx, event.asset_id, event.organisation_id, deleted=True)
