"""Puts tables of jurisdictions and classifications together."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import events_pb2 as assets

from services.compliance.jurisdictions.rpc import JurisdictionsRpc
from services.kit.database import Database
from services.kit.events import Consumer
from services.kit.process import Process


async def start_jurisdictions(process: Process, database: Database, bus: NatsClient) -> JurisdictionsRpc:
    """Announces the table that is shipped, listens to which titles are gone, and returns what serves the contract."""
    rpc = JurisdictionsRpc(database, process.clock)
    await rpc.begin()
    consumer = Consumer("compliance-jurisdictions", database, bus, {assets.AssetDeleted: rpc.asset_deleted})
    process.in_background(consumer.run(), "jurisdictions")
    return rpc
