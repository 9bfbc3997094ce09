"""The gateway's process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from pydantic import Field
from reelmesh.upload.v1 import upload_service_pb2

from gateway.http_server import HttpServer
from gateway.tus.app import Options, Tus
from gateway.tus.uploads import Service
from services.kit.callers import callers_of
from services.kit.memory import keep_freed_memory
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT: Final = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"]


class TusSettings(ProcessSettings):
    """What can be set about the gateway."""

    tus_path: str = Field(
        default="/files/", pattern="^/(.+/)?$", description="Address of the collection of uploads, as people see it."
    )
    upload_limit_bytes: int = Field(
        default=50 * 1024**3,
        ge=1,
        description="Largest file that the upload service takes, in bytes; announced as Tus-Max-Size.",
    )
    tus_checksum_limit_bytes: int = Field(
        default=256 * 1024**2,
        ge=1,
        description="Longest body with Upload-Checksum, in bytes: it is held back on disk until its checksum is known.",
    )
    tus_spool_dir: Path | None = Field(
        default=None, description="Folder for bodies that are held back. None: `<data_dir>/spool`."
    )
    tus_most_bodies: int = Field(
        default=128, ge=1, description="Bodies received at a time; each needs about 4 MiB of memory."
    )


async def wire(process: Process, settings: TusSettings) -> None:
    """Puts the gateway together and starts it."""
    keep_freed_memory()
    # Each request brings its own credential; the gateway shows but its certificate.
    channel = process.peer("upload", CONTRACT)
    options = Options(
        path=settings.tus_path,
        limit_bytes=settings.upload_limit_bytes,
        held_back_bytes=settings.tus_checksum_limit_bytes,
        spool=settings.tus_spool_dir or settings.data_dir / "spool",
        most_bodies=settings.tus_most_bodies,
    )
    tus = Tus(Service(channel), options)
    server = HttpServer(tus, process.certificates, callers_of("tus"))
    await server.start(settings.listen_address("tus"))
    begun = asyncio.Event()

    async def until_stopped() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            # Bodies end where they are, what they brought is counted, and their clients are told to go on in a moment.
            tus.drain()
            await server.drain(settings.drain_timeout.total_seconds())

    process.in_background(until_stopped(), "http")
    # A task that is cancelled before its first step never comes to its `finally`.
    await begun.wait()


def main() -> None:
    """Runs until told to stop."""
    run("tus", TusSettings, wire)


if __name__ == "__main__":
    main()
