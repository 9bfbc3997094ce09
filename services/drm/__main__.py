"""The DRM service's process."""

from __future__ import annotations

from pathlib import Path

import grpc
from pydantic import Field
from reelmesh.drm.v1 import (
    drm_service_pb2,
    drm_service_pb2_grpc,
    key_server_service_pb2,
    key_server_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.drm.key_server.rpc import KeyServerServicer
from services.drm.key_server.signer import signer_of
from services.drm.keystore import ROOT_KEY_FILE, FileKeystore
from services.drm.rpc import DrmServicer
from services.drm.vault import Vault
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
KEY_SERVER_CONTRACT = key_server_service_pb2.DESCRIPTOR.services_by_name["KeyServerService"]
_POLICY = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]


class DrmSettings(ProcessSettings):
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


async def wire(process: Process, settings: DrmSettings) -> None:
    """Puts the service together and starts it."""
    database = process.database()
    vault = Vault(FileKeystore(settings.secret(ROOT_KEY_FILE)), settings.drm_kek_seconds)
    js = (await process.bus()).jetstream()
    await ensure_events(js)
    policy: policy_service_pb2_grpc.PolicyServiceAsyncStub = policy_service_pb2_grpc.PolicyServiceStub(
        process.peer("policy", _POLICY)
    )
    servicer = DrmServicer(database, vault, policy, process.clock)
    signer = signer_of(settings.drm_cpix_certificate_file, settings.drm_cpix_key_file, process.clock.now())
    key_server = KeyServerServicer(database, vault, process.clock, signer)

    def add(server: grpc.aio.Server) -> None:
        drm_service_pb2_grpc.add_DrmServiceServicer_to_server(servicer, server)
        key_server_service_pb2_grpc.add_KeyServerServiceServicer_to_server(key_server, server)

    process.in_background(Relay(database, js).run(), "relay")
    await process.serve([CONTRACT, KEY_SERVER_CONTRACT], add)


def main() -> None:
    """Runs until told to stop."""
    run("drm", DrmSettings, wire)


if __name__ == "__main__":
    main()
