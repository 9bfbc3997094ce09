"""Entitlements of which the plays are counted, and rentals whose time begins with the first play."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from reelmesh.payments.v1 import events_pb2 as payments
from reelmesh.policy.v1 import decisions_service_pb2, events_pb2

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.policy.scene import Scene, eventually, refused

HOUR = timedelta(hours=1)
RACERS = 100


async def grant(scene: Scene, viewer_id: str, asset_id: str, **limits: Any) -> payments.EntitlementGranted:
    """`payments` announces an entitlement."""
    event = payments.EntitlementGranted(
        entitlement_id=new_id("ent"),
        organisation_id=scene.organisation_id,
        viewer_id=viewer_id,
        asset_id=asset_id,
        change_time=timestamp(scene.clock.now()),
        **limits,
    )
    await scene.bus.publish(event)
    return event


async def becomes(scene: Scene, asset_id: str, viewer_id: str, reason: str) -> None:
    """Waits until whether the viewer may watch comes out so; the test's own limit ends it."""
    request = decisions_service_pb2.GetAccessRequest(asset_id=asset_id, viewer_id=viewer_id)
    while (await scene.decisions.GetAccess(request)).decision.reason != reason:
        await scene.bus.client.flush()


async def film_for(scene: Scene, viewer_id: str, **limits: Any) -> tuple[str, payments.EntitlementGranted]:
    """A film that needs an entitlement, and one for the viewer."""
    film = await scene.publish()
    await scene.terms(film.asset_id, entitlement_required=True)
    granted = await grant(scene, viewer_id, film.asset_id, **limits)
    await becomes(scene, film.asset_id, viewer_id, "")
    return film.asset_id, granted


def hours(number: float) -> Duration:
    span = Duration()
    span.FromTimedelta(number * HOUR)
    return span


async def test_of_a_hundred_starts_at_once_three_plays_are_three(scene: Scene) -> None:
    asset_id, granted = await film_for(scene, "ada", max_plays=3)

    async def start() -> str:
        try:
            return (await scene.play(asset_id, viewer_id="ada")).session.entitlement_id
        except grpc.aio.AioRpcError as error:
            return Refusal.from_rpc_error(error).reason

    answers = await asyncio.gather(*(start() for _ in range(RACERS)))
    assert sorted(set(answers)) == ["ENTITLEMENT_USED_UP", granted.entitlement_id]
    assert answers.count(granted.entitlement_id) == 3
    await scene.bus.hears(events_pb2.EntitlementUsed, count=3)
    used = scene.bus.heard(events_pb2.EntitlementUsed)
    assert [one.plays for one in used] == [1, 2, 3]
    assert len({one.session_id for one in used}) == 3


async def test_coming_back_to_a_session_is_no_other_play_and_what_is_open_goes_on(scene: Scene) -> None:
    asset_id, granted = await film_for(scene, "ada", max_plays=1)
    first = await scene.play(asset_id, viewer_id="ada", request_id="the-one-play")
    again = await scene.play(asset_id, viewer_id="ada", request_id="the-one-play")
    assert again.session == first.session
    refusal = await refused(scene.play(asset_id, viewer_id="ada"))
    assert refusal.reason == "ENTITLEMENT_USED_UP"
    assert refusal.metadata == {"entitlement_id": granted.entitlement_id, "max_plays": "1"} | {
        name: value for name, value in refusal.metadata.items() if name == "correlation_id"
    }
    await eventually(scene.edge, again.playback.dash_url, "")
    asked = decisions_service_pb2.GetAccessRequest(asset_id=asset_id, viewer_id="ada")
    decision = (await scene.decisions.GetAccess(asked)).decision
    assert decision.reason == "ENTITLEMENT_USED_UP"
    assert "buy or rent it again" in decision.lifted_by
    saw = next(result.facts for result in decision.rules if result.reason)
    assert saw[f"plays of {granted.entitlement_id}"] == "1 of 1"


async def test_what_is_announced_again_has_no_more_plays_than_before(scene: Scene) -> None:
    asset_id, granted = await film_for(scene, "ada", max_plays=1)
    await scene.play(asset_id, viewer_id="ada")
    granted.change_time.FromDatetime(scene.clock.now() + timedelta(seconds=1))
    await scene.bus.publish(granted)
    await grant(scene, "bob", asset_id)
    await becomes(scene, asset_id, "bob", "")
    assert (await refused(scene.play(asset_id, viewer_id="ada"))).reason == "ENTITLEMENT_USED_UP"


async def test_the_hours_of_a_rental_begin_with_the_first_play(scene: Scene) -> None:
    in_30_days = timestamp(scene.clock.now() + timedelta(days=30))
    asset_id, granted = await film_for(scene, "ada", begin_by_time=in_30_days, watch_duration=hours(4))
    scene.clock.advance(timedelta(days=29))
    begun = scene.clock.now()
    first = (await scene.play(asset_id, viewer_id="ada")).session
    assert first.expire_time.ToDatetime(tzinfo=begun.tzinfo) == (begun + 4 * HOUR).replace(microsecond=0)
    used = await scene.bus.hears(events_pb2.EntitlementUsed)
    assert (used.entitlement_id, used.plays, used.begin_time) == (granted.entitlement_id, 1, timestamp(begun))
    scene.clock.advance(3 * HOUR)
    again = await scene.play(asset_id, viewer_id="ada")
    assert again.session.expire_time == first.expire_time, "another play begins no other window"
    scene.clock.advance(HOUR)
    refusal = await refused(scene.play(asset_id, viewer_id="ada"))
    assert (refusal.reason, refusal.metadata["entitlement_id"]) == ("RENTAL_OVER", granted.entitlement_id)
    await eventually(scene.edge, again.playback.dash_url, "TICKET_EXPIRED")


async def test_a_rental_that_nobody_began_is_over(scene: Scene) -> None:
    end = scene.clock.now() + HOUR
    asset_id, _ = await film_for(scene, "ada", begin_by_time=timestamp(end), watch_duration=hours(4))
    scene.clock.advance(HOUR)
    refusal = await refused(scene.play(asset_id, viewer_id="ada"))
    assert (refusal.reason, refusal.metadata["end_time"][:16]) == ("RENTAL_OVER", end.isoformat()[:16])
