"""How many streams a viewer has at a time, and how places are freed and found again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.policy.v1 import decisions_pb2 as told
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.policy.scene import Scene, a_scene, eventually, refused

TWO = told.Rule(kind=told.RULE_KIND_CONCURRENCY, streams_by_tier={"*": 2})


async def beat(scene: Scene, playback: api.CreatePlaybackResponse) -> api.SendHeartbeatResponse:
    ticket = playback.playback.dash_url.split("/p/", 1)[1].split("/", 1)[0]
    request = api.SendHeartbeatRequest(ticket=ticket, package_id=playback.session.package_id)
    return await scene.stub.SendHeartbeat(request)


async def test_a_hundred_starts_at_the_same_moment_get_as_many_streams_as_the_tier_has(scene: Scene) -> None:
    film = await scene.publish()
    await scene.rules(TWO)
    starts = await asyncio.gather(
        *(scene.play(film.asset_id, viewer_id="ada") for _ in range(100)), return_exceptions=True
    )
    opened = [start for start in starts if not isinstance(start, BaseException)]
    failures = [Refusal.from_rpc_error(start) for start in starts if isinstance(start, grpc.aio.AioRpcError)]
    assert len(opened) == 2
    assert {failure.reason for failure in failures} == {"TOO_MANY_STREAMS"}
    assert failures[0].metadata["limit"] == "2"
    await scene.play(film.asset_id, viewer_id="bob")


async def test_a_tier_has_its_own_number_of_streams(scene: Scene) -> None:
    film = await scene.publish()
    await scene.rules(told.Rule(kind=told.RULE_KIND_CONCURRENCY, streams_by_tier={"free": 1}))
    account = new_id("usr")
    await scene.bus.publish(
        identity.AccountCreated(account_id=account, tier="free", create_time=timestamp(scene.clock.now()))
    )
    first = await scene.play(film.asset_id, viewer_id=account)
    while (again := await attempt(scene, film.asset_id, account)) is None:
        scene.clock.advance(timedelta(seconds=1))
    assert again == "TOO_MANY_STREAMS"
    for _ in range(3):
        await scene.play(film.asset_id, viewer_id="of another system, without a tier")
    assert first.session.viewer_id == account


async def attempt(scene: Scene, asset_id: str, viewer_id: str) -> str | None:
    """Reason of the refusal to start; None when it started."""
    try:
        await scene.play(asset_id, viewer_id=viewer_id)
    except grpc.aio.AioRpcError as error:
        return Refusal.from_rpc_error(error).reason
    return None


async def test_silence_frees_a_place_after_half_a_minute_and_heartbeats_keep_it(scene: Scene) -> None:
    film = await scene.publish()
    await scene.rules(TWO)
    alive = await scene.play(film.asset_id, viewer_id="ada")
    silent = await scene.play(film.asset_id, viewer_id="ada")
    for _ in range(3):
        scene.clock.advance(timedelta(seconds=10))
        assert (await beat(scene, alive)).interval.seconds == 10
    third = await scene.play(film.asset_id, viewer_id="ada")
    # Who lost the place is stopped at the edge, and told why.
    await eventually(scene.edge, silent.playback.dash_url, "TOO_MANY_STREAMS")
    segment = silent.playback.dash_url.replace("manifest.mpd", "video/1.m4s")
    assert (await scene.edge.check(segment)).reason == "TOO_MANY_STREAMS"
    assert (await refused(beat(scene, silent))).reason == "TOO_MANY_STREAMS"
    assert (await scene.edge.check(alive.playback.dash_url)).reason == ""
    # Once the third one is gone there is a place again.
    await scene.revoke(third.session.session_id)
    await beat(scene, silent)
    await eventually(scene.edge, segment, "")


async def test_a_silent_session_goes_on_as_long_as_nobody_takes_its_place(scene: Scene) -> None:
    film = await scene.publish()
    await scene.rules(TWO)
    playback = await scene.play(film.asset_id, viewer_id="ada")
    scene.clock.advance(timedelta(minutes=30))
    assert (await scene.edge.check(playback.playback.dash_url)).reason == ""
    await beat(scene, playback)


async def test_places_are_remembered_over_a_restart(mesh: ProcessSettings) -> None:
    async with a_scene(mesh) as scene:
        film = await scene.publish()
        await scene.rules(TWO)
        first, second = [await scene.play(film.asset_id, viewer_id="ada") for _ in range(2)]
        scene.clock.advance(timedelta(seconds=31))
        await beat(scene, first)
        await scene.play(film.asset_id, viewer_id="ada")
    async with a_scene(mesh) as scene:
        assert (await refused(scene.play(film.asset_id, viewer_id="ada"))).reason == "TOO_MANY_STREAMS"
        assert (await scene.edge.check(second.playback.dash_url)).reason == "TOO_MANY_STREAMS"
        assert (await scene.edge.check(first.playback.dash_url)).reason == ""
