"""`python -m services.protection`: keeps up with what is watermarked and who watched it, and tells whose copy a suspicious file is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field
from reelmesh.protection.v1 import detections_service_pb2, detections_service_pb2_grpc

from services.kit.codewords import KEY_FILE
from services.kit.events import Relay, ensure_events
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.protection.consumers import consumer
from services.protection.personal import DECLARATION
from services.protection.rpc import DetectionsRpc
from services.protection.upkeep import Upkeep
from services.protection.working import QUEUE, Working

CONTRACT: Final = detections_service_pb2.DESCRIPTOR.services_by_name["DetectionsService"]


class ProtectionSettings(ProcessSettings):
    """Settings of the protection service."""

    protection_kept_days: int = Field(
        default=730,
        ge=1,
        description="Days for which a session can be found to be the source of a copy, and detections are kept.",
    )
    protection_upkeep_seconds: float = Field(
        default=600, gt=0, description="Seconds between two looks for what is too old, and for what the queue lost."
    )


async def wire(process: Process, settings: ProtectionSettings) -> None:
    """Puts the service together and starts it."""
    database, objects, bus = process.database(), process.store(), await process.bus()
    js = bus.jetstream()
    await ensure_events(js)
    await QUEUE.ensure(js)
    servicer = DetectionsRpc(database, objects, process.clock)
    working = Working(database, objects, process.clock, settings.secret(KEY_FILE))
    upkeep = Upkeep(database, objects, process.clock, timedelta(days=settings.protection_kept_days))
    await process.serve(
        [CONTRACT],
        lambda server: detections_service_pb2_grpc.add_DetectionsServiceServicer_to_server(servicer, server),
        personal=PersonalData(database, process.clock, DECLARATION),
    )
    process.in_background(Relay(database, js).run(), "relay")
    process.in_background(consumer(database, bus).run(), "consumer")
    process.in_background(QUEUE.run(bus, working.work), "worker")
    process.in_background(upkeep.run(settings.protection_upkeep_seconds), "upkeep")


def main() -> None:
    """Runs the service."""
    run("protection", ProtectionSettings, wire)


if __name__ == "__main__":
    main()
