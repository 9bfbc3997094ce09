"""`python -m services.compliance`: keeps the audit log and serves its proofs."""

from __future__ import annotations

import logging
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from reelmesh.compliance.v1 import (
    audit_log_service_pb2,
    audit_log_service_pb2_grpc,
    rights_service_pb2,
    rights_service_pb2_grpc,
)

from services.compliance.log.settings import COMPLIANCE_KEY_FILE, AuditLogSettings
from services.compliance.log.wiring import start_log
from services.compliance.rights.settings import RightsSettings
from services.compliance.rights.wiring import start_rights
from services.kit.events import Relay
from services.kit.process import Process, run
from services.kit.sealing import Seal

CONTRACTS: Final[list[ServiceDescriptor]] = [
    audit_log_service_pb2.DESCRIPTOR.services_by_name["AuditLogService"],
    rights_service_pb2.DESCRIPTOR.services_by_name["RightsService"],
]


class ComplianceSettings(AuditLogSettings, RightsSettings):
    """Settings of the compliance service."""


async def wire(process: Process, settings: ComplianceSettings) -> None:
    """Puts the service together and starts it."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    database = process.database()
    bus = await process.bus()
    install = Seal(settings.secret(COMPLIANCE_KEY_FILE), "compliance")
    audit_log = await start_log(process, settings, database, bus, install)
    rights = await start_rights(process, settings, database, bus, install)
    process.in_background(Relay(database, bus.jetstream()).run(), "relay")

    def add(server: grpc.aio.Server) -> None:
        audit_log_service_pb2_grpc.add_AuditLogServiceServicer_to_server(audit_log, server)
        rights_service_pb2_grpc.add_RightsServiceServicer_to_server(rights, server)

    await process.serve(CONTRACTS, add)


def main() -> None:
    """Runs the service."""
    run("compliance", ComplianceSettings, wire)


if __name__ == "__main__":
    main()
