"""`python -m services.protection`: keeps up with what is watermarked and who watched it, and tells whose copy a suspicious file is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from pydantic import Field
from reelmesh.protection.v1 import detections_service_pb2, detections_service_pb2_grpc

from services.kit.codewords import KEY_FILE
from services.kit.events import Relay, ensure_events
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.protection.consumers import consumer
from services.protection.fingerprints.wiring import CONTRACTS as FINGERPRINTS_CONTRACTS
from services.protection.fingerprints.wiring import FingerprintSettings, start_fingerprints
from services.protection.leaks.wiring import CONTRACTS as LEAK_CONTRACTS
from services.protection.leaks.wiring import Leaks, LeakSettings
from services.protection.overlay.wiring import CONTRACTS as OVERLAY_CONTRACTS
from services.protection.overlay.wiring import OverlaySettings, start_overlay
from services.protection.personal import DECLARATION
from services.protection.rpc import DetectionsRpc
from services.protection.scanners.settings import ScannerSettings
from services.protection.scanners.wiring import CONTRACTS as SCANNERS_CONTRACTS
from services.protection.scanners.wiring import start_scanners
from services.protection.upkeep import Upkeep
from services.protection.working import QUEUE, Working

CONTRACT: Final = detections_service_pb2.DESCRIPTOR.services_by_name["DetectionsService"]
CONTRACTS: Final[list[ServiceDescriptor]] = [
    CONTRACT,
    *FINGERPRINTS_CONTRACTS,
    *LEAK_CONTRACTS,
    *SCANNERS_CONTRACTS,
    *OVERLAY_CONTRACTS,
]


class ProtectionSettings(FingerprintSettings, LeakSettings, ScannerSettings, OverlaySettings):
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
    fingerprints = await start_fingerprints(process, settings, database, bus)
    leaks = Leaks(process, settings, database, objects)
    working = Working(
        database,
        objects,
        process.clock,
        settings.secret(KEY_FILE),
        fingerprints.keeping,
        on_end=leaks.handling.detection_ended,
    )
    upkeep = Upkeep(database, objects, process.clock, timedelta(days=settings.protection_kept_days))
    scanners = await start_scanners(process, settings, database, bus, [fingerprints.check])
    overlay = await start_overlay(process, settings, database, bus)

    def add(server: grpc.aio.Server) -> None:
        detections_service_pb2_grpc.add_DetectionsServiceServicer_to_server(servicer, server)
        fingerprints.add(server)
        leaks.add(server)
        scanners(server)
        overlay(server)

    await process.serve(CONTRACTS, add, personal=PersonalData(database, process.clock, DECLARATION))
    leaks.start(bus)
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(consumer(database, bus).run(), "consumer")
    process.in_background(QUEUE.run(bus, working.work), "worker")
    process.in_background(upkeep.run(settings.protection_upkeep_seconds), "upkeep")


def main() -> None:
    """Runs the service."""
    run("protection", ProtectionSettings, wire)


if __name__ == "__main__":
    main()
