"""The DRM service's process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.drm.v1 import (
    drm_service_pb2,
    drm_service_pb2_grpc,
    fairplay_service_pb2,
    fairplay_service_pb2_grpc,
    key_server_service_pb2,
    key_server_service_pb2_grpc,
    keys_service_pb2,
    keys_service_pb2_grpc,
    licences_service_pb2,
    licences_service_pb2_grpc,
    upstream_licences_service_pb2,
    upstream_licences_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.drm.caretaker import Caretaker
from services.drm.consumers import Listener
from services.drm.emergency.changing import Changing
from services.drm.escrow.keeping import Keeping
from services.drm.fairplay.licensing import FairPlay
from services.drm.fairplay.rpc import FairPlayServicer
from services.drm.fairplay.settings import FairPlaySettings
from services.drm.keks import Keks
from services.drm.key_server.rpc import KeyServerServicer
from services.drm.key_server.signer import signer_of
from services.drm.keys.rpc import KeysServicer
from services.drm.keystores.choice import KeystoreSettings, chosen
from services.drm.licences.asking import Asking
from services.drm.licences.drain import Drain
from services.drm.licences.granting import Granting
from services.drm.licences.journal import Journal
from services.drm.licences.keyring import KeyRing
from services.drm.licences.knowledge import Knowledge
from services.drm.licences.players import LARGEST, SERVER, KeySystem, Players
from services.drm.licences.rpc import LicencesServicer
from services.drm.personal import DECLARATION
from services.drm.rotation.rotating import Rotating
from services.drm.rpc import DrmServicer
from services.drm.upkeep import Upkeep
from services.drm.upstream.rpc import UpstreamLicencesServicer
from services.drm.vault import Vault
from services.kit.database import Database
from services.kit.events import Relay, ensure_events
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run

CONTRACT = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
LICENCES = licences_service_pb2.DESCRIPTOR.services_by_name["LicencesService"]
UPSTREAM = upstream_licences_service_pb2.DESCRIPTOR.services_by_name["UpstreamLicencesService"]
FAIRPLAY = fairplay_service_pb2.DESCRIPTOR.services_by_name["FairPlayService"]
KEYS = keys_service_pb2.DESCRIPTOR.services_by_name["KeysService"]
KEY_SERVER = key_server_service_pb2.DESCRIPTOR.services_by_name["KeyServerService"]
CONTRACTS = [CONTRACT, LICENCES, UPSTREAM, FAIRPLAY, KEYS, KEY_SERVER]
_POLICY = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]


class DrmSettings(FairPlaySettings, KeystoreSettings):
    """What can be set about keys."""

    drm_kek_seconds: float = Field(
        default=300,
        gt=0,
        description="Seconds for which an organisation's opened key-encryption key is kept in memory.",
    )
    drm_cpix_certificate_file: Path | None = Field(
        default=None,
        description="PEM certificate with which answers to signed CPIX documents are signed. None: they are not signed.",
    )
    drm_cpix_key_file: Path | None = Field(
        default=None, description="PEM private key of that certificate, RSA of 2048 bits or more or ECDSA."
    )
    drm_rotation_period: timedelta = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
        description="Age at which an organisation's key-encryption key is rotated.",
    )
    drm_retired_kek_delay: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(minutes=30),
        description="How long a key-encryption key that seals nothing any more is kept before it is destroyed.",
    )
    drm_audit_period: timedelta = Field(
        default=timedelta(days=400), gt=timedelta(0), description="How long it is remembered who used which key when."
    )
    drm_care_seconds: float = Field(
        default=10,
        gt=0,
        description="Seconds between two looks for rotations that are due, or unfinished after a crash.",
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
    process: Process, settings: DrmSettings, database: Database, keyring: KeyRing, knowledge: Knowledge
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
    return Granting(Asking(policy), knowledge, keyring, journal, proofs=process.proofs, clock=process.clock)


def _upstream(process: Process, settings: DrmSettings, granting: Granting) -> UpstreamLicencesServicer:
    """What issues licences that the operator's licence servers make."""
    # It tells where it sends what, at each request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    widevine, playready = settings.widevine(process.clock), settings.playready(process.clock)
    for found in (widevine, playready):
        if found is not None:
            process.at_end(found[1].close)
    return UpstreamLicencesServicer(granting, widevine and widevine[0], playready and playready[0])


def _fairplay(
    process: Process, settings: DrmSettings, database: Database, granting: Granting, keyring: KeyRing
) -> FairPlayServicer:
    """What issues FairPlay licences."""
    deployments, upstream = settings.fairplay(process.clock)
    if upstream is not None:
        process.at_end(upstream.close)
    licensing = FairPlay(granting, deployments, settings.replays(database, process.clock))
    return FairPlayServicer(licensing, deployments, keyring)


def _keys(process: Process, settings: DrmSettings, database: Database, keks: Keks, bus: NatsClient) -> KeysServicer:
    """What looks after keys, with what is due seen to in the background."""
    clock = process.clock
    rotating, keeping = Rotating(database, keks, clock), Keeping(keks, clock)
    changing = Changing(database, rotating, clock)
    caretaker = Caretaker(
        database,
        keks,
        clock,
        rotating=rotating,
        changing=changing,
        keeping=keeping,
        period=settings.drm_rotation_period,
        kept=settings.drm_retired_kek_delay,
        remembered=settings.drm_audit_period,
    )
    process.in_background(Listener(changing).consumer(database, bus).run(), "consumer")
    process.in_background(caretaker.run(settings.drm_care_seconds), "caretaker")
    return KeysServicer(
        database,
        keks,
        clock,
        rotating=rotating,
        changing=changing,
        keeping=keeping,
        caretaker=caretaker,
        period=settings.drm_rotation_period,
    )


async def wire(process: Process, settings: DrmSettings) -> None:
    """Puts the service together and starts it. It serves only once all revocations are known."""
    database, clock = process.database(), process.clock
    keystore = chosen(settings)
    process.at_end(partial(asyncio.to_thread, keystore.close))
    keks = Keks(keystore, settings.drm_kek_seconds, clock)
    vault = Vault(keks)
    bus = await process.bus()
    js = bus.jetstream()
    await ensure_events(js)
    knowledge = Knowledge(database, clock)
    await knowledge.start(bus)
    keyring = KeyRing(
        database, vault, fresh_for=settings.drm_keys_fresh_seconds, kept_for=settings.drm_keys_kept_seconds
    )
    granting = await _granting(process, settings, database, keyring, knowledge)
    servicer = DrmServicer(database, vault, granting, clock)
    keys = _keys(process, settings, database, keks, bus)
    licences = LicencesServicer(database, clock, granting, knowledge)
    upstream = _upstream(process, settings, granting)
    fairplay = _fairplay(process, settings, database, granting, keyring)
    signer = signer_of(settings.drm_cpix_certificate_file, settings.drm_cpix_key_file, clock.now())
    key_server = KeyServerServicer(database, vault, clock, signer)

    def add(server: grpc.aio.Server) -> None:
        drm_service_pb2_grpc.add_DrmServiceServicer_to_server(servicer, server)
        key_server_service_pb2_grpc.add_KeyServerServiceServicer_to_server(key_server, server)
        keys_service_pb2_grpc.add_KeysServiceServicer_to_server(keys, server)
        licences_service_pb2_grpc.add_LicencesServiceServicer_to_server(licences, server)
        upstream_licences_service_pb2_grpc.add_UpstreamLicencesServiceServicer_to_server(upstream, server)
        fairplay_service_pb2_grpc.add_FairPlayServiceServicer_to_server(fairplay, server)

    upkeep = Upkeep(database, clock, kept_for=timedelta(days=settings.drm_licence_days))
    works: dict[str, Coroutine[Any, Any, None]] = {
        # Licences come many at a time.
        "relay": Relay(database, bus, interval=0.2, batch=500).run(),
        "follower": knowledge.run(settings.drm_follow_seconds),
        "upkeep": upkeep.run(settings.drm_upkeep_seconds),
    }
    process.all_in_background(works)
    players = Players(
        {
            "clearkey": KeySystem(f"/{LICENCES.full_name}/AcquireClearKeyLicence", licences.clear_key),
            "fairplay": KeySystem(f"/{FAIRPLAY.full_name}/AcquireFairPlayLicence", fairplay.licence),
            "playready": KeySystem(f"/{UPSTREAM.full_name}/AcquirePlayReadyLicence", upstream.playready),
            "widevine": KeySystem(f"/{UPSTREAM.full_name}/AcquireWidevineLicence", upstream.widevine),
        }
    )
    await process.serve_plainly(SERVER, players.answer, body_bytes=LARGEST)
    await process.serve(CONTRACTS, add, personal=PersonalData(database, clock, DECLARATION))


def main() -> None:
    """Runs until told to stop."""
    run("drm", DrmSettings, wire)


if __name__ == "__main__":
    main()
