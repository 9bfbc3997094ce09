"""Keys: how long a thousand titles' keys take to be sealed anew, and how soon after an alarm the first title can be played with new ones."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Final

import httpx
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc
from reelmesh.drm.v1 import keys_service_pb2 as api

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.bench.harness import Measurement
from tests.bench.licence import key_ids
from tests.bench.screening import Screening, screening
from tests.support.running import connected

if TYPE_CHECKING:
    from reelmesh.policy.v1.policy_pb2 import Playback

TITLES: Final = 1_000
_LABELS: Final = ("AUDIO", "SD", "HD", "UHD1")
_AT_A_TIME: Final = 16
_LOOK: Final = 0.02
_CONTRACT: Final = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]


async def measure() -> list[Measurement]:
    """Takes about a minute."""
    async with screening() as ours:
        before = (await ours.playback()).playback
        organisation_id = (await ours.client.get_asset(ours.asset_id)).organisation_id
        await _with_titles(ours, organisation_id)
        rewrapped, keys = await _rotated(ours)
        first = await _recovered(ours, before)
    return [
        Measurement(
            "keys.rewrap_1000_s",
            rewrapped,
            "s",
            "",
            f"{keys} content keys of {TITLES + 1} titles sealed anew under another key-encryption key, root key in a file, from the call to "
            "the last commit",
        ),
        Measurement(
            "keys.emergency_first_title_s",
            first,
            "s",
            "",
            f"emergency for {TITLES + 1} titles, one of them with a film of 10 s: from the alarm until it is encrypted again and a player has "
            "its new manifest and a licence for new keys",
        ),
    ]


async def _with_titles(ours: Screening, organisation_id: str) -> None:
    """A catalogue of titles that have keys, and no files."""
    layout = ours.mesh.installation.layout
    settings = ProcessSettings(run_dir=layout.sockets, secrets_dir=layout.secrets)
    async with connected(settings, "drm", _CONTRACT, key="", caller="packaging") as channel:
        stub: drm_service_pb2_grpc.DrmServiceAsyncStub = drm_service_pb2_grpc.DrmServiceStub(channel)
        turns = asyncio.Semaphore(_AT_A_TIME)

        async def make() -> None:
            request = drm_service_pb2.CreateContentKeysRequest(
                organisation_id=organisation_id, package_id=new_id("pkg"), labels=_LABELS
            )
            async with turns:
                await stub.CreateContentKeys(request)

        await asyncio.gather(*(make() for _ in range(TITLES)))


async def _rotated(ours: Screening) -> tuple[float, int]:
    """Seconds and number of keys."""
    client, started = ours.client, time.perf_counter()
    request = api.StartRotationRequest(request_id=str(uuid.uuid4()))
    rotation = (await client.call(client.keys.StartRotation, request)).rotation
    while not rotation.HasField("rewrap_time"):
        await asyncio.sleep(_LOOK)
        again = api.GetRotationRequest(rotation_id=rotation.rotation_id)
        rotation = (await client.call(client.keys.GetRotation, again)).rotation
    return time.perf_counter() - started, rotation.keys_done


async def _recovered(ours: Screening, before: Playback) -> float:
    """Seconds from the alarm until the film plays with other keys."""
    client, started = ours.client, time.perf_counter()
    request = api.StartEmergencyRequest(request_id=str(uuid.uuid4()), reason="a measurement of emergencies")
    await client.call(client.keys.StartEmergency, request)
    old = set(key_ids((ours.published / before.package_id / "manifest.mpd").read_text(encoding="utf-8")))
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        while True:
            playback = (await ours.playback()).playback
            if playback.package_id != before.package_id:
                break
            await asyncio.sleep(_LOOK * 5)
        manifest = await http.get(playback.dash_url)
        kids = key_ids(manifest.raise_for_status().text)
        licence = await http.post(playback.licence_url, json={"kids": kids, "type": "temporary"})
        given = {key["kid"] for key in licence.raise_for_status().json()["keys"]}
    if given != set(kids) or given & old:
        raise AssertionError("the film plays with keys that are thought to be stolen")
    return time.perf_counter() - started
