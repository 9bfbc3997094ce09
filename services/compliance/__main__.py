"""`python -m services.compliance`: keeps the audit log and serves its proofs."""

from __future__ import annotations

import logging
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from reelmesh.compliance.v1 import audit_log_service_pb2, audit_log_service_pb2_grpc

from services.compliance.anchoring.settings import AnchoringSettings
from services.compliance.anchoring.wiring import start_anchoring
from services.compliance.log.settings import COMPLIANCE_KEY_FILE, AuditLogSettings
from services.compliance.log.wiring import start_log
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.kit.sealing import Seal

CONTRACTS: Final[list[ServiceDescriptor]] = [
    audit_log_service_pb2.DESCRIPTOR.services_by_name["AuditLogService"],
]


class ComplianceSettings(AuditLogSettings, AnchoringSettings):
    """Settings of the compliance service."""


async def wire(process: Process, settings: ComplianceSettings) -> None:
    """Puts the service together and starts it."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    database = process.database()
    bus = await process.bus()
    install = Seal(settings.secret(COMPLIANCE_KEY_FILE), "compliance")
    await ensure_events(bus.jetstream())
    anchors = start_anchoring(process, settings, database)
    audit_log = await start_log(process, settings, database, bus, install, anchors=anchors)

    def add(server: grpc.aio.Server) -> None:
        audit_log_service_pb2_grpc.add_AuditLogServiceServicer_to_server(audit_log, server)

    await process.serve(CONTRACTS, add)
    process.in_background(Relay(database, bus).run(), "relay")


def main() -> None:
    """Runs the service."""
    run("compliance", ComplianceSettings, wire)


if __name__ == "__main__":
    main()
