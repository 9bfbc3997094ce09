"""The gateway's process."""

from __future__ import annotations

import asyncio
from typing import Final

from reelmesh.drm.v1 import key_server_service_pb2, key_server_service_pb2_grpc

from gateway.speke.app import SpekeGateway
from services.kit.callers import callers_of
from services.kit.http_server import HttpServer
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT: Final = key_server_service_pb2.DESCRIPTOR.services_by_name["KeyServerService"]


class SpekeSettings(ProcessSettings):
    """What can be set about the gateway: nothing of its own."""


async def wire(process: Process, settings: SpekeSettings) -> None:
    """Puts the gateway together and starts it."""
    # Each request brings its own credential; the gateway shows but its certificate.
    gateway = SpekeGateway(key_server_service_pb2_grpc.KeyServerServiceStub(process.peer("drm", CONTRACT)))
    server = HttpServer(gateway.app, process.certificates, callers_of("speke"))
    await server.start(settings.listen_address("speke"))
    begun = asyncio.Event()

    async def until_stopped() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await server.drain(settings.drain_timeout.total_seconds())

    process.in_background(until_stopped(), "http")
    # A task that is cancelled before its first step never comes to its `finally`.
    await begun.wait()


def main() -> None:
    """Runs until told to stop."""
    run("speke", SpekeSettings, wire)


if __name__ == "__main__":
    main()
