"""`python -m services.notifications`: writes to people for the other services."""

from __future__ import annotations

import asyncio
import logging

import grpc
import structlog
from reelmesh.notifications.v1 import notifications_service_pb2, notifications_service_pb2_grpc

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.notifications import store
from services.notifications.channels import console
from services.notifications.delivery import Deliveries
from services.notifications.rpc import NotificationsServicer
from services.notifications.settings import NotificationsSettings, channels_of
from services.notifications.texts import Texts

log = structlog.stdlib.get_logger()

CONTRACT = notifications_service_pb2.DESCRIPTOR.services_by_name["NotificationsService"]
# They tell what they send and where to, of which one provider makes its key a part.
_TALKATIVE = ("httpx", "httpcore", "aiosmtplib")


async def _upkeep(settings: NotificationsSettings, database: Database, clock: Clock) -> None:
    while True:
        try:
            console.forget_old(settings.messages_folder)
            async with database.transaction() as tx:
                await store.forget_old(tx, clock.now())
        except Exception as error:  # the database may be away for a moment; there is no hurry
            log.warning("upkeep put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
        await asyncio.sleep(settings.notifications_upkeep_seconds)


async def wire(process: Process, settings: NotificationsSettings) -> None:
    """Puts the service together and starts it."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    database = process.database()
    bus = await process.bus()
    await ensure_events(bus.jetstream())
    channels = channels_of(settings, process.clock)
    for channel in channels.values():
        process.at_end(channel.close)
    texts = Texts(settings.notifications_product, settings.public_url.rstrip("/"))
    servicer = NotificationsServicer(texts, Deliveries(database, process.clock, channels))

    def add(server: grpc.aio.Server) -> None:
        notifications_service_pb2_grpc.add_NotificationsServiceServicer_to_server(servicer, server)

    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(_upkeep(settings, database, process.clock), "upkeep")
    await process.serve([CONTRACT], add)


def main() -> None:
    """Runs the service."""
    run("notifications", NotificationsSettings, wire)


if __name__ == "__main__":
    main()
