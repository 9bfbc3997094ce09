"""The DRM service's process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import grpc
from pydantic import Field
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc, keys_service_pb2, keys_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.drm.caretaker import Caretaker
from services.drm.consumers import Listener
from services.drm.emergency.changing import Changing
from services.drm.escrow.keeping import Keeping
from services.drm.keks import Keks
from services.drm.keys.rpc import KeysServicer
from services.drm.keystores.choice import KeystoreSettings, chosen
from services.drm.rotation.rotating import Rotating
from services.drm.rpc import DrmServicer
from services.drm.vault import Vault
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run

CONTRACT = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
KEYS_CONTRACT = keys_service_pb2.DESCRIPTOR.services_by_name["KeysService"]
_POLICY = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]


class DrmSettings(KeystoreSettings):
    """What can be set about keys."""

    drm_kek_seconds: float = Field(
        default=300,
        gt=0,
        description="Seconds for which an organisation's opened key-encryption key is kept in memory.",
    )
    drm_rotation_period: timedelta = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
        description="Age at which an organisation's key-encryption key is rotated.",
    )
    drm_retired_kek_delay: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(minutes=1),
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


async def wire(process: Process, settings: DrmSettings) -> None:
    """Puts the service together and starts it."""
    database, clock = process.database(), process.clock
    keystore = chosen(settings)
    process.at_end(partial(asyncio.to_thread, keystore.close))
    keks = Keks(keystore, settings.drm_kek_seconds, clock)
    bus = await process.bus()
    js = bus.jetstream()
    await ensure_events(js)
    policy: policy_service_pb2_grpc.PolicyServiceAsyncStub = policy_service_pb2_grpc.PolicyServiceStub(
        process.peer("policy", _POLICY)
    )
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
    keys = KeysServicer(
        database,
        keks,
        clock,
        rotating=rotating,
        changing=changing,
        keeping=keeping,
        caretaker=caretaker,
        period=settings.drm_rotation_period,
    )
    servicer = DrmServicer(database, Vault(keks), policy, clock)

    def add(server: grpc.aio.Server) -> None:
        drm_service_pb2_grpc.add_DrmServiceServicer_to_server(servicer, server)
        keys_service_pb2_grpc.add_KeysServiceServicer_to_server(keys, server)

    process.in_background(Relay(database, js).run(), "relay")
    process.in_background(Listener(changing).consumer(database, bus).run(), "consumer")
    process.in_background(caretaker.run(settings.drm_care_seconds), "caretaker")
    await process.serve([CONTRACT, KEYS_CONTRACT], add)


def main() -> None:
    """Runs until told to stop."""
    run("drm", DrmSettings, wire)


if __name__ == "__main__":
    main()
