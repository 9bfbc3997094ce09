"""The protection service with its gate, people who call it, and the bus on which a test plays everybody else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reelmesh.protection.v1 import events_pb2 as events
from reelmesh.protection.v1 import hash_lists_service_pb2_grpc, holds_pb2, holds_service_pb2_grpc
from reelmesh.protection.v1 import holds_service_pb2 as api
from reelmesh.upload.v1.events_pb2 import UploadCommitted
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_TITLE, UploadPurpose

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.protection.__main__ import CONTRACTS, ProtectionSettings, wire
from tests.support.bus import Bus, on_the_bus
from tests.support.films import committed
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.running import connected, running

if TYPE_CHECKING:
    HoldsStub = holds_service_pb2_grpc.HoldsServiceAsyncStub
    HashListsStub = hash_lists_service_pb2_grpc.HashListsServiceAsyncStub

About = TypeVar("About", events.MasterCleared, events.MasterHeld, events.MasterDelayed)
REPOSITORY = Path(__file__).resolve().parents[3]


class Scene:
    """What a test works with."""

    def __init__(self, settings: ProcessSettings, bus: Bus, database: Database) -> None:
        self.settings = settings
        self.bus = bus
        self.database = database
        self.house = organisation_of_operator(settings)

    @asynccontextmanager
    async def serving(self, *, clock: Clock | None = None, **changes: Any) -> AsyncIterator[HoldsStub]:
        """The service for the length of the block, and the operator's view of its holds."""
        plain = self.settings.model_dump(include=set(ProcessSettings.model_fields))
        settings = ProtectionSettings(**{**plain, "scanners": frozenset({"hash-lists"}), **changes})
        async with running("protection", settings, wire, clock=clock), self.caller() as (holds, _):
            yield holds

    @asynccontextmanager
    async def caller(self, key: str | None = None) -> AsyncIterator[tuple[HoldsStub, HashListsStub]]:
        """Somebody who calls; the operator by default."""
        async with connected(self.settings, "protection", *CONTRACTS, key=key) as channel:
            yield (
                holds_service_pb2_grpc.HoldsServiceStub(channel),
                hash_lists_service_pb2_grpc.HashListsServiceStub(channel),
            )

    @asynccontextmanager
    async def somebody(self, *permissions: str, organisation_id: str = "", name: str = "") -> AsyncIterator[HoldsStub]:
        """A person of an organisation, the operator's by default."""
        organisation_id, name = organisation_id or self.house, name or f"user/{new_id('usr')}"
        with with_api_key(self.settings, organisation_id=organisation_id, permissions=permissions, name=name) as key:
            async with self.caller(key) as (holds, _):
                yield holds

    @contextmanager
    def process(self, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
        """The service in a process of its own, which a test may kill."""
        settings = self.settings
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}",
            "REELMESH_DATA_DIR": str(settings.data_dir),
            "REELMESH_RUN_DIR": str(settings.run_dir),
            "REELMESH_SECRETS_DIR": str(settings.secrets_dir),
            "REELMESH_DATABASE_HOST": settings.database_host,
            "REELMESH_NATS_URL": settings.nats_url,
            "REELMESH_NATS_TOKEN_FILE": str(settings.nats_token_file),
            **changes,
        }
        with (settings.data_dir / "logs/test-protection.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.protection"], cwd=REPOSITORY, env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def upload(
        self, content: Path | bytes, organisation_id: str = "", purpose: UploadPurpose.ValueType = UPLOAD_PURPOSE_TITLE
    ) -> UploadCommitted:
        """Lets a master come in."""
        event = committed(self.settings, content, organisation_id=organisation_id or self.house)
        event.purpose = purpose
        await self.bus.publish(event)
        return event

    def master(self, event: UploadCommitted) -> Path:
        """Where a master lies in the clear, if it does."""
        return self.settings.data_dir / "objects" / event.object_key

    def sealed(self, event: UploadCommitted) -> Path:
        """Where it lies encrypted, if it does."""
        return self.settings.data_dir / "objects/quarantine" / event.sha256

    async def cleared(self, event: UploadCommitted) -> events.MasterCleared:
        """Waits until a master is through."""
        return await self._heard(events.MasterCleared, event.asset_id)

    async def held(self, event: UploadCommitted) -> events.MasterHeld:
        """Waits until a master is held, and the file in the clear is gone."""
        held = await self._heard(events.MasterHeld, event.asset_id)
        async with asyncio.timeout(60):
            while self.master(event).exists():
                await asyncio.sleep(0.02)
        return held

    async def delayed(self, event: UploadCommitted) -> events.MasterDelayed:
        """Waits until a master waits."""
        return await self._heard(events.MasterDelayed, event.asset_id)

    async def _heard(self, kind: type[About], asset_id: str) -> About:
        async with asyncio.timeout(60):
            while True:
                for one in self.bus.heard(kind):
                    if one.asset_id == asset_id:
                        return one
                await asyncio.sleep(0.01)


async def decide(holds: HoldsStub, hold_id: str, decision: holds_pb2.HoldDecision.ValueType) -> holds_pb2.Hold:
    """One reviewer's decision."""
    request = api.DecideHoldRequest(
        request_id=new_id("req"), hold_id=hold_id, decision=decision, comment="looked at it"
    )
    return (await holds.DecideHold(request)).hold


@asynccontextmanager
async def on_the_scene(mesh: ProcessSettings) -> AsyncIterator[Scene]:
    """The scene, on which nothing runs yet."""
    database = Database.of("protection", mesh)
    async with on_the_bus(mesh) as bus:
        yield Scene(mesh, bus, database)
    await database.close()
