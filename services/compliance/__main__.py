"""`python -m services.compliance`: keeps the audit log and serves its proofs, has ages proved, keeps records of who is seen in titles, and takes
notices."""

from __future__ import annotations

import logging
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from reelmesh.compliance.v1 import (
    age_service_pb2,
    age_service_pb2_grpc,
    audit_log_service_pb2,
    audit_log_service_pb2_grpc,
    jurisdictions_service_pb2,
    jurisdictions_service_pb2_grpc,
    notices_service_pb2_grpc,
    rights_service_pb2,
    rights_service_pb2_grpc,
)

from services.compliance.age.providers import AgeSettings
from services.compliance.age.wiring import start_age
from services.compliance.anchoring.settings import AnchoringSettings
from services.compliance.anchoring.wiring import start_anchoring
from services.compliance.jurisdictions.wiring import start_jurisdictions
from services.compliance.log.settings import COMPLIANCE_KEY_FILE, AuditLogSettings
from services.compliance.log.wiring import start_log
from services.compliance.notices.settings import NoticesSettings
from services.compliance.notices.wiring import CONTRACT as NOTICES_CONTRACT
from services.compliance.notices.wiring import start_notices
from services.compliance.performers.wiring import CONTRACTS as PERFORMERS_CONTRACTS
from services.compliance.performers.wiring import PerformersSettings, start_performers
from services.compliance.rights.settings import RightsSettings
from services.compliance.rights.wiring import start_rights
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.kit.sealing import Seal

CONTRACTS: Final[list[ServiceDescriptor]] = [
    audit_log_service_pb2.DESCRIPTOR.services_by_name["AuditLogService"],
    age_service_pb2.DESCRIPTOR.services_by_name["AgeService"],
    jurisdictions_service_pb2.DESCRIPTOR.services_by_name["JurisdictionsService"],
    *PERFORMERS_CONTRACTS,
    NOTICES_CONTRACT,
    rights_service_pb2.DESCRIPTOR.services_by_name["RightsService"],
]


class ComplianceSettings(
    AuditLogSettings, AgeSettings, AnchoringSettings, PerformersSettings, NoticesSettings, RightsSettings
):
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
    age = await start_age(process, settings, database, install)
    jurisdictions = await start_jurisdictions(process, database, bus)
    performers = await start_performers(process, settings, database, bus, install)
    notices = await start_notices(process, settings, database, bus, install)
    rights = await start_rights(process, settings, database, bus, install)
    process.in_background(Relay(database, bus).run(), "relay")

    def add(server: grpc.aio.Server) -> None:
        audit_log_service_pb2_grpc.add_AuditLogServiceServicer_to_server(audit_log, server)
        age_service_pb2_grpc.add_AgeServiceServicer_to_server(age, server)
        jurisdictions_service_pb2_grpc.add_JurisdictionsServiceServicer_to_server(jurisdictions, server)
        performers.add_to(server)
        notices_service_pb2_grpc.add_NoticesServiceServicer_to_server(notices, server)
        rights_service_pb2_grpc.add_RightsServiceServicer_to_server(rights, server)

    await process.serve(CONTRACTS, add)


def main() -> None:
    """Runs the service."""
    run("compliance", ComplianceSettings, wire)


if __name__ == "__main__":
    main()
