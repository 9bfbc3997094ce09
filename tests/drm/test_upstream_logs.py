"""The DRM service as a process of its own, asking licence servers and talking as much as it can: nothing that it says gives a secret away."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc, upstream_licences_service_pb2_grpc
from reelmesh.drm.v1 import upstream_licences_service_pb2 as api
from reelmesh.policy.v1 import decisions_service_pb2_grpc, policy_service_pb2_grpc

from services.drm.__main__ import CONTRACT, CONTRACTS, DrmSettings
from services.kit.clock import FixedClock, SystemClock
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.__main__ import PolicySettings
from tests.drm.test_logs import processes, written
from tests.policy.scene import Scene, an_edge
from tests.support import playready_device, widevine_device
from tests.support.bus import on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.licence_servers import Servers, licence_servers
from tests.support.running import connected

SESSION_KEY = "c2Vzc2lvbiBzaWduaW5nIGtleQ"


async def use(settings: DrmSettings, scene: Scene, servers: Servers) -> list[bytes]:
    """Asks in every way, well and badly. Returns the keys."""
    async with (
        connected(settings, "drm", CONTRACT, key="", caller="packaging") as packager,
        connected(settings, "drm", *CONTRACTS, key="") as player,
    ):
        package_id = new_id("pkg")
        order = drm_service_pb2.CreateContentKeysRequest(
            organisation_id=scene.organisation_id, package_id=package_id, labels=["AUDIO", "HD", "UHD1"]
        )
        keys = (await drm_service_pb2_grpc.DrmServiceStub(packager).CreateContentKeys(order)).keys
        package = await scene.publish(package_id=package_id, key_ids=[key.key_id.hex() for key in keys])
        ticket = (await scene.play(package.asset_id)).playback.licence_url.split("/")[4]
        stub: upstream_licences_service_pb2_grpc.UpstreamLicencesServiceAsyncStub = (
            upstream_licences_service_pb2_grpc.UpstreamLicencesServiceStub(player)
        )
        ids = [key.key_id for key in keys]
        for mood in ("serves", "lies", "empty", "babbles", "moved", "fails"):
            servers.mood = mood
            for widevine in (widevine_device.Device(level=1), widevine_device.Device(level=1, state="NO")):
                request = api.AcquireWidevineLicenceRequest(ticket=ticket, package_id=package_id)
                request.challenge.data = widevine.challenge(*ids)
                await stub.AcquireWidevineLicence(request)
            for playready in (playready_device.Device(level=3000), playready_device.Device(state="0x8004C065")):
                asked = api.AcquirePlayReadyLicenceRequest(ticket=ticket, package_id=package_id)
                asked.challenge.data = playready.challenge(*ids)
                await stub.AcquirePlayReadyLicence(asked)
        return [value for key in keys for value in (key.key, key.iv)]


async def test_no_log_line_holds_a_key_a_secret_or_a_session(mesh: ProcessSettings, tmp_path: Path) -> None:
    folder = mesh.run_dir / "three"
    folder.mkdir(exist_ok=True)
    async with licence_servers() as servers:
        servers.secrets_into(mesh.secrets_dir)
        shared: dict[str, Any] = {**mesh.model_dump(), "run_dir": folder, "log_level": "DEBUG"}
        settings, log = DrmSettings(**{**shared, **servers.settings()}), tmp_path / "log"
        async with (
            processes(settings, log),
            on_the_bus(settings) as bus,
            connected(settings, "policy") as to_policy,
            an_edge(settings) as edge,
        ):
            scene = Scene(
                PolicySettings(**shared),
                policy_service_pb2_grpc.PolicyServiceStub(to_policy),
                decisions_service_pb2_grpc.DecisionsServiceStub(to_policy),
                edge,
                bus,
                FixedClock(SystemClock().now()),
                organisation_of_operator(settings),
                to_policy,
                to_policy,
            )
            keys = await use(settings, scene, servers)
    text = log.read_text(encoding="utf-8", errors="replace")
    assert text.count("AcquireWidevineLicence") >= 12, "the log is the right one"
    assert "UPSTREAM_UNAVAILABLE" in text
    pem = servers.stating_key.as_pem(private=True)
    secrets = [*keys, servers.signing_key, servers.signing_iv, servers.secret]
    forms = {form for secret in secrets for form in written(secret[:16])}
    forms |= {base64.b64encode(secret).decode().rstrip("=") for secret in secrets} | {
        SESSION_KEY,
        pem.decode().splitlines()[1],
    }
    found = [line for line in text.splitlines() for form in forms if form in line]
    assert not found, found[0]
