"""`python -m services.packaging`: serves the record of packages. They are made by `services.packaging.worker`."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field
from reelmesh.packaging.v1 import packaging_service_pb2, packaging_service_pb2_grpc

from services.kit.events import Relay
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.packaging.care import Caretaker
from services.packaging.consumers import QUEUE, Listener
from services.packaging.domain import Scheme
from services.packaging.rpc import PackagingRpc

CONTRACT = packaging_service_pb2.DESCRIPTOR.services_by_name["PackagingService"]


class PackagingSettings(ProcessSettings):
    """Settings of the packaging service."""

    packaging_scheme: Literal["cbcs", "cenc"] = Field(default="cbcs", description="How new packages are encrypted.")
    packaging_removal_delay: timedelta = Field(
        default=timedelta(seconds=30),
        description="How long the files of a deleted asset stay, so that sessions end by a refusal and not by a gap.",
    )
    packaging_care_seconds: float = Field(
        default=5,
        gt=0,
        description="Seconds between two looks for files to remove and for packages that the queue lost.",
    )


async def wire(process: Process, settings: PackagingSettings) -> None:
    """Puts the service together and starts it."""
    database = process.database()
    bus = await process.bus()
    js = bus.jetstream()
    await QUEUE.ensure(js)
    servicer = PackagingRpc(database)
    caretaker = Caretaker(database, process.store(), process.clock, settings.packaging_removal_delay)
    listener = Listener(process.clock, Scheme[settings.packaging_scheme.upper()])
    await process.serve(
        [CONTRACT], lambda server: packaging_service_pb2_grpc.add_PackagingServiceServicer_to_server(servicer, server)
    )
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(caretaker.run(settings.packaging_care_seconds), "caretaker")
    process.in_background(listener.consumer(database, bus).run(), "consumer")


def main() -> None:
    """Runs the service."""
    run("packaging", PackagingSettings, wire)


if __name__ == "__main__":
    main()
