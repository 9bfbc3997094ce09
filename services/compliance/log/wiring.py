"""Puts the audit log together."""

from __future__ import annotations

import httpx
from nats.aio.client import Client as NatsClient

from services.compliance.log.appending import Writer
from services.compliance.log.following import Follower
from services.compliance.log.notes import Signer
from services.compliance.log.publishing import Publisher
from services.compliance.log.rpc import AuditLogRpc
from services.compliance.log.settings import LOG_KEY_FILE, AuditLogSettings
from services.compliance.log.upkeep import upkeep
from services.compliance.log.witnesses import Witness, Witnesses
from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal


def signer_of(process: Process, settings: AuditLogSettings) -> Signer:
    """Who signs the checkpoints of this install."""
    origin = settings.compliance_audit_origin or f"{process.certificates.current().trust_domain}/audit"
    return Signer(origin, settings.secret(LOG_KEY_FILE))


async def start_log(
    process: Process,
    settings: AuditLogSettings,
    database: Database,
    bus: NatsClient,
    install: Seal,
    *,
    anchors: tuple[str, ...],
) -> AuditLogRpc:
    """Begins the log if it is new, starts what keeps it, and returns what shows it, with how the ways of anchoring stand that have these names.

    Raises:
        OriginChanged: the log was begun under another name.
    """
    signer = signer_of(process, settings)
    writer = Writer(database, process.clock, signer, install)
    await writer.begin()
    http = httpx.AsyncClient(trust_env=False, follow_redirects=False)
    process.at_end(http.aclose)
    witnesses = Witnesses(database, tuple(Witness.of(one) for one in settings.compliance_audit_witnesses), http)
    process.all_in_background(
        {
            "audit log": Follower(bus, writer).run(),
            "audit tiles": Publisher(database, process.store()).run(settings.compliance_audit_publish_seconds),
            "audit witnesses": witnesses.run(settings.compliance_audit_witness_seconds),
            "audit upkeep": upkeep(database, process.clock, settings.compliance_audit_upkeep_seconds),
        }
    )
    return AuditLogRpc(database, process.clock, signer.verifier_key, witnesses.keys, install, ways=anchors)
