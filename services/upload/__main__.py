"""The upload service's process."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from reelmesh.upload.v1 import upload_service_pb2, upload_service_pb2_grpc

from services.kit.events import Relay, ensure_events
from services.kit.memory import keep_freed_memory
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.upload.expiry import Sweeper
from services.upload.intake import Staging
from services.upload.personal import DECLARATION
from services.upload.rpc import UploadServicer

CONTRACT = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"]


class UploadSettings(ProcessSettings):
    """What can be set about uploads."""

    upload_limit_bytes: int = Field(default=50 * 1024**3, ge=1, description="Largest file taken, in bytes.")
    upload_patience: timedelta = Field(
        default=timedelta(hours=24), description="How long an unfinished upload is kept after its last chunk."
    )
    upload_checkpoint_bytes: int = Field(
        default=64 * 1024**2,
        ge=1024**2,
        description="How much may arrive on one stream before it is made durable and counted, in bytes.",
    )
    upload_staging_dir: Path | None = Field(
        default=None,
        description="Folder where files grow; on the object store's own file system when that is local. None: `<data_dir>/objects/staging`.",
    )
    upload_sweep_seconds: float = Field(
        default=60, gt=0, description="Seconds between two looks for uploads whose time ran out."
    )


async def wire(process: Process, settings: UploadSettings) -> None:
    """Puts the service together and starts it."""
    keep_freed_memory()
    database, objects = process.database(), process.store()
    staging = Staging(settings.upload_staging_dir or settings.data_dir / "objects" / "staging")
    bus = await process.bus()
    await ensure_events(bus.jetstream())
    servicer = UploadServicer(
        database,
        objects,
        staging,
        process.clock,
        limit_bytes=settings.upload_limit_bytes,
        patience=settings.upload_patience,
        checkpoint_bytes=settings.upload_checkpoint_bytes,
    )
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(
        Sweeper(database, objects, staging, process.clock).run(settings.upload_sweep_seconds), "sweeper"
    )
    await process.serve(
        [CONTRACT],
        lambda server: upload_service_pb2_grpc.add_UploadServiceServicer_to_server(servicer, server),
        personal=PersonalData(database, process.clock, DECLARATION),
    )


def main() -> None:
    """Runs until told to stop."""
    run("upload", UploadSettings, wire)


if __name__ == "__main__":
    main()
