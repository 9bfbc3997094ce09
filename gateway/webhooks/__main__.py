"""The gateway's process."""

from __future__ import annotations

import asyncio
from typing import Final

from reelmesh.compliance.v1 import age_service_pb2, age_service_pb2_grpc
from reelmesh.payments.v1 import webhooks_service_pb2, webhooks_service_pb2_grpc

from gateway.webhooks.age import AgeGateway
from gateway.webhooks.app import WebhooksGateway
from gateway.webhooks.grouping import Grouping
from services.kit.callers import callers_of
from services.kit.http_server import HttpServer
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT: Final = webhooks_service_pb2.DESCRIPTOR.services_by_name["WebhooksService"]
AGE_CONTRACT: Final = age_service_pb2.DESCRIPTOR.services_by_name["AgeService"]


class WebhooksSettings(ProcessSettings):
    """What can be set about the gateway: nothing of its own."""


async def wire(process: Process, settings: WebhooksSettings) -> None:
    """Puts the gateway together and starts it."""
    grouping = Grouping(webhooks_service_pb2_grpc.WebhooksServiceStub(process.peer("payments", CONTRACT)))
    ages = age_service_pb2_grpc.AgeServiceStub(process.peer("compliance", AGE_CONTRACT))
    server = HttpServer(AgeGateway(ages, WebhooksGateway(grouping)), process.certificates, callers_of("webhooks"))
    await server.start(settings.listen_address("webhooks"))
    begun = asyncio.Event()

    async def until_stopped() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await server.drain(settings.drain_timeout.total_seconds())

    # Closed last opened first: what is answered while it drains is still handed on.
    process.in_background(grouping.run(), "grouping")
    process.in_background(until_stopped(), "http")
    # A task that is cancelled before its first step never comes to its `finally`.
    await begun.wait()


def main() -> None:
    """Runs until told to stop."""
    run("webhooks", WebhooksSettings, wire)


if __name__ == "__main__":
    main()
