"""The compliance service on real stores, with somebody who reads the audit log, and events as other services announce them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from reelmesh.compliance.v1 import audit_log_service_pb2 as api
from reelmesh.compliance.v1 import audit_log_service_pb2_grpc
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.policy.v1 import events_pb2 as policy
from reelmesh.upload.v1 import events_pb2 as upload

from services.compliance.__main__ import CONTRACTS, ComplianceSettings, wire
from services.compliance.jurisdictions.shipped import shipped_rules
from services.compliance.jurisdictions.store import put_shipped
from services.compliance.log.settings import COMPLIANCE_KEY_FILE, LOG_KEY_FILE
from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.process import Process
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from tests.support import databases
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

T0 = datetime(2026, 11, 28, 12, tzinfo=UTC)
if TYPE_CHECKING:
    AuditLog = audit_log_service_pb2_grpc.AuditLogServiceAsyncStub


@contextlib.contextmanager
def refused(reason: str) -> Iterator[list[Refusal]]:
    caught: list[Refusal] = []
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield caught
    caught.append(Refusal.from_rpc_error(error.value))
    assert caught[0].reason == reason, caught[0]


def settings_of(settings: ProcessSettings, **changes: Any) -> ComplianceSettings:
    """Tiles are published at once, and origins are those of a public log."""
    usual = {"compliance_audit_origin": "log.example/audit", "compliance_audit_publish_seconds": 0.05}
    return ComplianceSettings(**(settings.model_dump() | usual | changes))


@dataclass
class Log:
    """The running service, and its callers."""

    settings: ComplianceSettings
    process: Process
    clock: FixedClock
    database: Database
    bus: Bus
    api: AuditLog

    @property
    def organisation_id(self) -> str:
        return organisation_of_operator(self.settings)

    @property
    def install(self) -> Seal:
        return Seal(self.settings.secret(COMPLIANCE_KEY_FILE), "compliance")

    def played(self, viewer_id: str = "", organisation_id: str = "", **changes: Any) -> policy.PlaybackCreated:
        """Somebody began to watch."""
        return policy.PlaybackCreated(
            session_id=new_id("pbs"),
            asset_id=new_id("ast"),
            organisation_id=organisation_id or self.organisation_id,
            viewer_id=viewer_id or new_id("usr"),
            **changes,
        )

    def uploaded(self, asset_id: str, **changes: Any) -> upload.UploadCommitted:
        usual = {"upload_id": new_id("upl"), "sha256": "ab" * 32, "organisation_id": self.organisation_id}
        return upload.UploadCommitted(asset_id=asset_id, **(usual | changes))

    def published(self, asset_id: str, **changes: Any) -> packaging.PackagePublished:
        usual = {"package_id": new_id("pkg"), "organisation_id": self.organisation_id}
        return packaging.PackagePublished(asset_id=asset_id, **(usual | changes))

    async def tell(self, *events: Message) -> list[str]:
        """Announces events, and waits until they are in the log. Returns their ids."""
        ids = [await self.bus.publish(event) for event in events]
        await self.has(ids)
        return ids

    async def has(self, event_ids: list[str]) -> None:
        """Waits until events are in the log."""
        query = sa.text("SELECT count(*) FROM log_leaves WHERE event_id = ANY(:ids)")
        async with asyncio.timeout(60):
            while True:
                async with self.database.transaction() as tx:
                    if (await tx.execute(query, {"ids": event_ids})).scalar_one() == len(set(event_ids)):
                        return
                await asyncio.sleep(0.02)

    async def size(self) -> int:
        return (await self.api.GetCheckpoint(api.GetCheckpointRequest())).checkpoint.tree_size

    async def key(self) -> str:
        return (await self.api.GetCheckpoint(api.GetCheckpointRequest())).verifier_key

    async def leaf(self, event_id: str) -> Any:
        return (await self.api.GetInclusionProof(api.GetInclusionProofRequest(event_id=event_id))).leaf

    async def export(self, file: Path, **asked: Any) -> Path:
        """Takes the log home."""
        with file.open("wb") as target:
            async for part in self.api.GetExport(api.GetExportRequest(**asked)):
                target.write(part.part)
        return file


async def long_announced(database: Database) -> None:
    """Has the service know that it has announced the table that ships with it: nothing but what a test announces comes into its log."""
    async with database.transaction() as tx:
        await put_shipped(tx, shipped_rules(), T0)


@contextlib.asynccontextmanager
async def logging_all(settings: ProcessSettings, **changes: Any) -> AsyncIterator[Log]:
    """Runs the service for the length of the block."""
    made, clock = settings_of(settings, **changes), FixedClock(T0)
    assert (made.secrets_dir / LOG_KEY_FILE).exists()
    database = databases.lent("compliance", made)
    await long_announced(database)
    try:
        async with (
            on_the_bus(made) as bus,
            running("compliance", made, wire, clock=clock) as process,
            connected(made, "compliance", *CONTRACTS) as channel,
        ):
            yield Log(
                made,
                process,
                clock,
                database,
                bus,
                audit_log_service_pb2_grpc.AuditLogServiceStub(channel),
            )
    finally:
        await database.close()
