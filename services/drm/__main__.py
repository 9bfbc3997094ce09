"""The DRM service's process."""

from __future__ import annotations

from pydantic import Field
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.drm.keystore import ROOT_KEY_FILE, FileKeystore
from services.drm.rpc import DrmServicer
from services.drm.vault import Vault
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
_POLICY = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]


class DrmSettings(ProcessSettings):
    """What can be set about keys."""

    drm_kek_seconds: float = Field(
        default=300,
        gt=0,
        description="Seconds for which an organisation's opened key-encryption key is kept in memory.",
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
    process.in_background(Relay(database, js).run(), "relay")
    await process.serve(
        [CONTRACT], lambda server: drm_service_pb2_grpc.add_DrmServiceServicer_to_server(servicer, server)
    )


def main() -> None:
    """Runs until told to stop."""
    run("drm", DrmSettings, wire)


if __name__ == "__main__":
    main()
