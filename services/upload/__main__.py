"""The upload service's process."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from reelmesh.upload.v1 import upload_service_pb2, upload_service_pb2_grpc

from gateway.tus.app import Options, Tus
from services.kit.callers import callers_of
from services.kit.events import Relay, ensure_events
from services.kit.http_server import HttpServer
from services.kit.memory import keep_freed_memory
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.upload.expiry import Sweeper
from services.upload.intake import Staging
from services.upload.personal import DECLARATION
from services.upload.receiving import Receiving
from services.upload.rpc import UploadServicer

CONTRACT = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"]
TUS_SERVER = "upload.tus"
"""Its name in `services/callers.toml`, and of its socket."""


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
    tus_path: str = Field(
        default="/files/",
        pattern="^/(.+/)?$",
        description="Address of the collection of uploads by tus, as people see it.",
    )
    tus_checksum_limit_bytes: int = Field(
        default=256 * 1024**2,
        ge=1,
        description="Longest body of tus with Upload-Checksum, in bytes: it is held back on disk until its checksum is known.",
    )
    tus_spool_dir: Path | None = Field(
        default=None, description="Folder for bodies that are held back. None: `<data_dir>/spool`."
    )
    tus_most_bodies: int = Field(
        default=128, ge=1, description="Bodies of tus received at a time; each needs about 4 MiB of memory."
    )


async def wire(process: Process, settings: UploadSettings) -> None:
    """Puts the service together and starts it."""
    keep_freed_memory()
    database, objects = process.database(), process.store()
    staging = Staging(settings.upload_staging_dir or settings.data_dir / "objects" / "staging")
    bus = await process.bus()
    await ensure_events(bus.jetstream())
    clock, patience = process.clock, settings.upload_patience
    receiving = Receiving(
        database, staging, clock, patience=patience, checkpoint_bytes=settings.upload_checkpoint_bytes
    )
    servicer = UploadServicer(
        database, objects, staging, receiving, clock, limit_bytes=settings.upload_limit_bytes, patience=patience
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
    await open_to_tus(process, settings, receiving)


async def open_to_tus(process: Process, settings: UploadSettings, receiving: Receiving) -> None:
    """Opens the door for tus, which hands in bytes here and asks for everything else as everybody does, by the contract."""
    tus = Tus(
        upload_service_pb2_grpc.UploadServiceStub(process.peer("upload", CONTRACT)),
        receiving,
        Options(
            path=settings.tus_path,
            limit_bytes=settings.upload_limit_bytes,
            held_back_bytes=settings.tus_checksum_limit_bytes,
            spool=settings.tus_spool_dir or settings.data_dir / "spool",
            most_bodies=settings.tus_most_bodies,
        ),
    )
    server = HttpServer(tus, process.certificates, callers_of(TUS_SERVER))
    await server.start(settings.plain_address(TUS_SERVER))

    async def close() -> None:
        # Bodies end where they are, what they brought is counted, and their clients are told to go on in a moment.
        tus.drain()
        await server.drain(settings.drain_timeout.total_seconds())

    process.at_end(close)


def main() -> None:
    """Runs until told to stop."""
    run("upload", UploadSettings, wire)


if __name__ == "__main__":
    main()
