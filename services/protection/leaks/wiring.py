"""Puts leak cases together and starts what they need."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final

import grpc
import structlog
from google.protobuf.message import Message
from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.notifications.v1 import notifications_service_pb2
from reelmesh.policy.v1.events_pb2 import SessionRevoked, TargetRevoked
from reelmesh.protection.v1 import (
    leaks_service_pb2,
    leaks_service_pb2_grpc,
    takedowns_service_pb2,
    takedowns_service_pb2_grpc,
)

from services.kit import telemetry
from services.kit.database import Database, Tx
from services.kit.events import Consumer, Handler
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.protection.leaks.carriers import ByEmail, ByInterface, Messenger, Ways
from services.protection.leaks.cases_rpc import LeaksRpc
from services.protection.leaks.forgetting import forget
from services.protection.leaks.handling import Handling
from services.protection.leaks.noticing import Noticing
from services.protection.leaks.platforms import Platforms
from services.protection.leaks.preserving import Preserving
from services.protection.leaks.rules import RuleBook
from services.protection.leaks.takedowns_rpc import TakedownsRpc

log = structlog.stdlib.get_logger()

CONTRACTS: Final = [
    leaks_service_pb2.DESCRIPTOR.services_by_name["LeaksService"],
    takedowns_service_pb2.DESCRIPTOR.services_by_name["TakedownsService"],
]
_NOTIFICATIONS: Final = notifications_service_pb2.DESCRIPTOR.services_by_name["NotificationsService"]


class LeakSettings(ProcessSettings):
    """What can be set about leak cases."""

    protection_leak_rules: Path | None = Field(
        default=None,
        description="YAML file with the rules of leak cases, in place of `services/protection/leaks/rules.yaml`.",
    )
    protection_leak_platforms: Path | None = Field(
        default=None,
        description="YAML file with platforms and how they take notices, on top of `services/protection/leaks/platforms.yaml`.",
    )
    protection_leak_kept_days: int = Field(
        default=2555,
        ge=1,
        description="Days for which cases are kept after they were closed, with evidence and notices.",
    )
    protection_leak_seconds: float = Field(
        default=15, gt=0, description="Seconds between two looks for notices to send, reminders, and blocks that end."
    )


class Leaks:
    """Leak cases, put together."""

    def __init__(self, process: Process, settings: LeakSettings, database: Database, objects: ObjectStore) -> None:
        rules = RuleBook.read(settings.protection_leak_rules)
        platforms = Platforms.read(settings.protection_leak_platforms)
        self._process = process
        self._settings = settings
        self._database = database
        self._objects = objects
        self.handling = Handling(process.clock, rules)
        self.noticing = Noticing(objects, process.clock, rules, platforms)
        by_interface = ByInterface.with_client(settings)
        process.at_end(by_interface.close)
        ways = Ways(ByEmail(process.peer("notifications", _NOTIFICATIONS)), by_interface)
        self.messenger = Messenger(database, process.clock, rules, ways)
        self._cases = LeaksRpc(database, process.clock, self.handling, Preserving(objects), platforms)
        self._takedowns = TakedownsRpc(database, process.clock, self.noticing)

    def add(self, server: grpc.aio.Server) -> None:
        """Adds the servicers."""
        leaks_service_pb2_grpc.add_LeaksServiceServicer_to_server(self._cases, server)
        takedowns_service_pb2_grpc.add_TakedownsServiceServicer_to_server(self._takedowns, server)

    def start(self, bus: NatsClient) -> None:
        """Starts what goes on by itself."""
        self._process.in_background(self._consumer(bus).run(), "leak consumer")
        self._process.in_background(self.messenger.run(self._settings.protection_leak_seconds), "leak messenger")
        self._process.in_background(self._look_after(), "leak upkeep")

    def _consumer(self, bus: NatsClient) -> Consumer:
        """Hears whether what was ordered holds."""

        async def session_revoked(tx: Tx, data: bytes) -> None:
            event = SessionRevoked.FromString(data)
            moment = event.revoke_time.ToDatetime(tzinfo=UTC)
            await self.handling.took_effect(tx, event.organisation_id, moment, session_id=event.session_id)

        async def target_revoked(tx: Tx, data: bytes) -> None:
            event = TargetRevoked.FromString(data)
            moment = event.revoke_time.ToDatetime(tzinfo=UTC)
            await self.handling.took_effect(tx, event.organisation_id, moment, revocation_id=event.revocation_id)

        handlers: dict[type[Message], Handler] = {SessionRevoked: session_revoked, TargetRevoked: target_revoked}
        return Consumer("protection-leaks", self._database, bus, handlers)

    async def _look_after(self) -> None:
        while True:
            try:
                await self.once()
            except Exception as error:  # the database may be away for a moment; there is no hurry
                log.warning("leaks put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(self._settings.protection_leak_seconds)

    async def once(self) -> None:
        """Reminds of notices, lifts blocks whose end has come, and forgets what is too old."""
        async with self._database.transaction() as tx:
            await self.handling.end_blocks(tx)
        async with self._database.transaction() as tx:
            await self.noticing.remind(tx)
        long_ago = self._process.clock.now() - timedelta(days=self._settings.protection_leak_kept_days)
        async with self._database.transaction() as tx:
            for key in await forget(tx, long_ago):
                await self._objects.delete(key)
