"""Puts overlays and review copies together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.protection.v1 import overlays_service_pb2, overlays_service_pb2_grpc

from services.kit.database import Database
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.protection.overlay.rpc import OverlaysRpc
from services.protection.overlay.working import QUEUE, Copying

CONTRACTS: Final[list[ServiceDescriptor]] = [overlays_service_pb2.DESCRIPTOR.services_by_name["OverlaysService"]]
_UPKEEP_SECONDS: Final = 600.0


class OverlaySettings(ProcessSettings):
    """Settings of review copies."""

    review_copies_kept_days: int = Field(
        default=7, ge=1, description="Days after which the file of a review copy is removed."
    )


async def start_overlay(
    process: Process, settings: OverlaySettings, database: Database, bus: NatsClient
) -> Callable[[grpc.aio.Server], None]:
    """Starts what makes review copies, and returns what adds the service to a server."""
    await QUEUE.ensure(bus.jetstream())
    objects = process.store()
    copying = Copying(database, objects, process.clock, timedelta(days=settings.review_copies_kept_days))
    process.in_background(QUEUE.run(bus, copying.work), "review-worker")
    process.in_background(copying.run(_UPKEEP_SECONDS), "review-upkeep")
    servicer = OverlaysRpc(database, objects, process.clock)
    return lambda server: overlays_service_pb2_grpc.add_OverlaysServiceServicer_to_server(servicer, server)
