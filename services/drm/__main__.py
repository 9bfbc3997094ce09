"""The DRM service's process."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from pydantic import Field
from reelmesh.drm.v1 import (
    drm_service_pb2,
    drm_service_pb2_grpc,
    licences_service_pb2,
    licences_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.drm.keystore import ROOT_KEY_FILE, FileKeystore
from services.drm.licences.asking import Asking
from services.drm.licences.drain import Drain
from services.drm.licences.granting import Granting
from services.drm.licences.journal import Journal
from services.drm.licences.keyring import KeyRing
from services.drm.licences.knowledge import Knowledge
from services.drm.licences.rpc import LicencesServicer
from services.drm.rpc import DrmServicer
from services.drm.upkeep import Upkeep
from services.drm.vault import Vault
from services.kit.database import Database
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
LICENCES = licences_service_pb2.DESCRIPTOR.services_by_name["LicencesService"]
CONTRACTS = [CONTRACT, LICENCES]
_POLICY = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]


class DrmSettings(ProcessSettings):
    """What can be set about keys."""

    drm_kek_seconds: float = Field(
        default=300,
        gt=0,
        description="Seconds for which an organisation's opened key-encryption key is kept in memory.",
    )
    drm_keys_fresh_seconds: float = Field(
        default=60,
        gt=0,
        description="Seconds after which the sealed keys of a package that is being played are looked up again.",
    )
    drm_keys_kept_seconds: float = Field(
        default=900,
        gt=0,
        description="Seconds for which sealed keys are good while the database is away.",
    )
    drm_journal_mib: int = Field(
        default=1024,
        ge=1,
        description="MiB of licences that may wait on disk for the database, about 2,000 licences each; then none is issued.",
    )
    drm_journal_dir: Path | None = Field(
        default=None,
        description="Folder of the journal of licences, on a disk that outlives the process. None: `<data_dir>/licence-journal`.",
    )
    drm_journal_gather_seconds: float = Field(
        default=0.01,
        ge=0,
        le=0.1,
        description="Seconds for which a licence waits for others before both are written to disk.",
    )
    drm_licence_days: float = Field(default=90, gt=0, description="Days for which records of licences are kept.")
    drm_follow_seconds: float = Field(
        default=1,
        gt=0,
        description="Seconds between two looks into the database for what other replicas did, should the event bus not tell.",
    )
    drm_upkeep_seconds: float = Field(
        default=3600, gt=0, description="Seconds between two removals of records that are old enough."
    )


async def _granting(
    process: Process, settings: DrmSettings, database: Database, vault: Vault, knowledge: Knowledge
) -> Granting:
    """What issues licences, with its journal drained in the background."""
    folder = settings.drm_journal_dir or settings.data_dir / "licence-journal"
    journal = Journal(
        folder, most_bytes=settings.drm_journal_mib << 20, gather_seconds=settings.drm_journal_gather_seconds
    )
    process.at_end(journal.close)
    drain = Drain(database, journal)
    process.at_end(drain.close)
    process.in_background(drain.run(), "drain")
    policy: policy_service_pb2_grpc.PolicyServiceAsyncStub = policy_service_pb2_grpc.PolicyServiceStub(
        process.peer("policy", _POLICY)
    )
    keyring = KeyRing(
        database, vault, fresh_for=settings.drm_keys_fresh_seconds, kept_for=settings.drm_keys_kept_seconds
    )
    return Granting(Asking(policy), knowledge, keyring, journal, proofs=process.proofs, clock=process.clock)


async def wire(process: Process, settings: DrmSettings) -> None:
    """Puts the service together and starts it. It serves only once all revocations are known."""
    database, clock = process.database(), process.clock
    vault = Vault(FileKeystore(settings.secret(ROOT_KEY_FILE)), settings.drm_kek_seconds)
    bus = await process.bus()
    js = bus.jetstream()
    await ensure_events(js)
    knowledge = Knowledge(database, clock)
    await knowledge.start(bus)
    granting = await _granting(process, settings, database, vault, knowledge)
    keys = DrmServicer(database, vault, granting)
    licences = LicencesServicer(database, clock, granting, knowledge)

    def add(server: grpc.aio.Server) -> None:
        drm_service_pb2_grpc.add_DrmServiceServicer_to_server(keys, server)
        licences_service_pb2_grpc.add_LicencesServiceServicer_to_server(licences, server)

    upkeep = Upkeep(database, clock, kept_for=timedelta(days=settings.drm_licence_days))
    works: dict[str, Coroutine[Any, Any, None]] = {
        # Licences come many at a time.
        "relay": Relay(database, js, interval=0.2, batch=500).run(),
        "follower": knowledge.run(settings.drm_follow_seconds),
        "upkeep": upkeep.run(settings.drm_upkeep_seconds),
    }
    process.all_in_background(works)
    await process.serve(CONTRACTS, add)


def main() -> None:
    """Runs until told to stop."""
    run("drm", DrmSettings, wire)


if __name__ == "__main__":
    main()
