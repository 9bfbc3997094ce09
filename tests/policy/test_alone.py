"""What goes on when the stores are killed, and for how long: real ones, of this test's own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.errors import Refusal
from services.policy.__main__ import PolicySettings, wire
from tests.envoy.edge import running_edge
from tests.envoy.lanes import Lanes, nobody_asks, warmed_up
from tests.policy.scene import AUDIO, Edge, a_scene, an_edge, eventually, refused
from tests.support.running import running
from tests.support.stores import Stores, mortal_stores, without_environment

pytestmark = pytest.mark.timeout(240)

ALONE = 6.0


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    without_environment()
    with mortal_stores() as found:
        yield found


@contextlib.asynccontextmanager
async def some_lanes(stores: Stores, *, alone: float = 600.0, lease: float = 10.0) -> AsyncIterator[Lanes]:
    """An edge with a warm lane and one without, in front of a policy service that looks into the database ten times a second."""
    objects = Path(tempfile.mkdtemp(prefix="lanes-"))
    changed: dict[str, Any] = {
        "policy_follow_seconds": 0.1,
        "policy_longest_alone_seconds": alone,
        "policy_edge_lease_seconds": lease,
    }
    try:
        async with a_scene(stores.settings, **changed) as scene:
            policy, secrets = scene.settings.peer("policy"), scene.settings.secrets_dir
            async with (
                running_edge(secrets, policy=policy, objects=objects, strict=False) as warm,
                running_edge(secrets, policy=policy, objects=objects) as strict,
            ):
                lanes = Lanes(scene, warm, strict, objects)
                await warmed_up(lanes)
                yield lanes
    finally:
        shutil.rmtree(objects)


@contextlib.asynccontextmanager
async def without(stores: Stores, name: str) -> AsyncIterator[None]:
    """One of the stores is dead during the block."""
    await asyncio.to_thread(stores.kill, name)  # the service runs on this test's own loop
    try:
        yield
    finally:
        stores.start(name)


def keys_of(base: str) -> api.AuthorizeKeysRequest:
    """The key service asks for keys on behalf of whoever has this path."""
    _, _, ticket, package_id = base.split("/")
    return api.AuthorizeKeysRequest(ticket=ticket, package_id=package_id, key_ids=[AUDIO])


async def until(attempt: Callable[[], Awaitable[object]], within: float = 60) -> None:
    """Waits until a call is not refused any more because something is away."""
    async with asyncio.timeout(within):
        while True:
            try:
                await attempt()
            except grpc.aio.AioRpcError as error:
                if Refusal.from_rpc_error(error).reason != "DEPENDENCY_UNAVAILABLE":
                    raise
                await asyncio.sleep(0.1)
            else:
                return


async def test_without_its_database_open_sessions_play_on_and_nothing_new_is_opened(stores: Stores) -> None:
    async with some_lanes(stores) as lanes:
        known, known_base = await lanes.film(viewer_id="ada")
        _, fresh_base = await lanes.film(viewer_id="ada")  # never seen at the gate
        assert " 200 " in await lanes.at(lanes.strict, f"{known_base}/manifest.mpd")
        scene = lanes.scene
        async with without(stores, "postgres"):
            for base in (known_base, fresh_base):
                with nobody_asks():
                    assert " 200 " in await lanes.at(lanes.warm, f"{base}/video/1.m4s")
                assert " 200 " in await lanes.at(lanes.strict, f"{base}/video/1.m4s")
                assert " 200 " in await lanes.at(lanes.strict, f"{base}/manifest.mpd")
            licence = known.playback.licence_url
            assert (await scene.edge.check(licence, "POST")).allowed
            assert (await scene.as_drm.AuthorizeKeys(keys_of(known_base))).session_id == known.session.session_id
            refusal = await refused(scene.play(known.session.asset_id))
            assert refusal.code is grpc.StatusCode.UNAVAILABLE
            assert refusal.reason == "DEPENDENCY_UNAVAILABLE"
            assert refusal.retry_after is not None
        await until(lambda: scene.play(known.session.asset_id))


async def test_what_was_revoked_stays_so_without_the_database(stores: Stores) -> None:
    async with some_lanes(stores) as lanes:
        answer, base = await lanes.film()
        await lanes.scene.revoke(answer.session.session_id)
        async with without(stores, "postgres"):
            for edge in (lanes.warm, lanes.strict):
                assert "SESSION_REVOKED" in await lanes.at(edge, f"{base}/video/1.m4s")
        await until(lambda: lanes.scene.play(answer.session.asset_id))


async def test_after_too_long_alone_everything_is_refused_and_the_warm_lane_closes(stores: Stores) -> None:
    async with some_lanes(stores, alone=ALONE, lease=2.0) as lanes:
        answer, base = await lanes.film()
        segment = f"{base}/video/1.m4s"
        assert " 200 " in await lanes.at(lanes.warm, segment)
        async with without(stores, "postgres"):
            for edge in (lanes.strict, lanes.warm):
                async with asyncio.timeout(60):
                    while not (told := await lanes.at(edge, segment)).startswith("HTTP/1.1 503"):
                        await asyncio.sleep(0.05)
                assert "DEPENDENCY_UNAVAILABLE" in told
            denied = (await lanes.scene.edge.check(answer.playback.dash_url)).answer.denied_response
            assert denied.status.code == 503
            assert {option.header.key for option in denied.headers} >= {"retry-after"}
            for file in ("manifest.mpd", "video/1.m4s"):
                assert (await lanes.scene.edge.check(f"{base}/{file}")).reason == "DEPENDENCY_UNAVAILABLE"
            refusal = await refused(lanes.scene.as_drm.AuthorizeKeys(keys_of(base)))
            assert refusal.code is grpc.StatusCode.UNAVAILABLE
        # Once the database is back, so is everything.
        for edge in (lanes.strict, lanes.warm):
            async with asyncio.timeout(60):
                while " 200 " not in await lanes.at(edge, segment):
                    await asyncio.sleep(0.05)
        await warmed_up(lanes)


async def test_without_the_bus_decisions_go_on_and_revocations_arrive_by_the_database(stores: Stores) -> None:
    async with some_lanes(stores) as lanes, another_replica(stores) as elsewhere:
        scene = lanes.scene
        answer, base = await lanes.film()
        async with without(stores, "nats"):
            fresh = await scene.play(answer.session.asset_id)
            for playback in (answer, fresh):
                await eventually(elsewhere, playback.playback.dash_url, "")
            await scene.revoke(answer.session.session_id)
            await eventually(elsewhere, answer.playback.dash_url, "SESSION_REVOKED")
            for edge in (lanes.warm, lanes.strict):
                async with asyncio.timeout(30):
                    while "SESSION_REVOKED" not in await lanes.at(edge, f"{base}/video/1.m4s"):
                        await asyncio.sleep(0.02)
            assert (await scene.edge.check(fresh.playback.dash_url)).reason == ""


@contextlib.asynccontextmanager
async def another_replica(stores: Stores) -> AsyncIterator[Edge]:
    """The same service once more, on a socket of its own."""
    address = f"unix:{stores.settings.run_dir}/policy-2.sock"
    settings = PolicySettings(
        **{
            **stores.settings.model_dump(),
            "listen": address,
            "peers": {"policy": address},
            "policy_follow_seconds": 0.1,
        }
    )
    async with running("policy", settings, wire), an_edge(settings) as edge:
        yield edge
