"""What players are to show over the picture comes with the playback; that it was taken away becomes a signal."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from reelmesh.policy.v1 import policy_pb2
from reelmesh.policy.v1 import policy_service_pb2 as api
from reelmesh.policy.v1 import signals_service_pb2 as signals
from reelmesh.protection.v1 import events_pb2, overlays_pb2

from services.kit.clock import SystemClock, duration, timestamp
from tests.policy.scene import Scene


async def overlay(scene: Scene, text: str, *, enabled: bool = True, ago: float = 0.0) -> None:
    """The organisation sets its overlay."""
    template = overlays_pb2.OverlayTemplate(
        enabled=enabled,
        text=text,
        opacity=0.5,
        size=0.04,
        motion=overlays_pb2.OVERLAY_MOTION_DRIFT,
        interval=duration(20),
        contrast_aware=True,
    )
    moment = timestamp(SystemClock().now() - timedelta(seconds=ago))
    event = events_pb2.OverlayChanged(
        organisation_id=scene.organisation_id, template=template, actor="operator", change_time=moment
    )
    await scene.bus.publish(event)


async def shown(scene: Scene, text: str) -> api.CreatePlaybackResponse:
    """A playback with this text, once it has it."""
    film = await scene.publish()
    async with asyncio.timeout(30):
        while True:
            opened = await scene.play(film.asset_id, viewer_id="ada@example.com", client_address="198.51.100.7")
            if opened.playback.overlay.text.partition("|")[0] == text:
                return opened
            await asyncio.sleep(0.05)


async def test_a_playback_carries_the_overlay_with_what_is_known_of_the_viewer(scene: Scene) -> None:
    assert not (await scene.play()).playback.HasField("overlay")
    await overlay(scene, "one|{viewer}|{address}|{session}|{time}")
    opened = await shown(scene, "one")
    short = opened.session.session_id[-8:]
    assert opened.playback.overlay == policy_pb2.Overlay(
        text=f"one|ada@example.com|198.51.100.7|{short}|{{time}}",
        opacity=0.5,
        size=0.04,
        drifts=True,
        interval=duration(20),
        contrast_aware=True,
    )
    redeemed = await scene.stub.RedeemPlaybackCode(api.RedeemPlaybackCodeRequest(code=opened.code))
    assert redeemed.playback.overlay.text.startswith("one|ada@example.com|")
    await overlay(scene, "two")
    await shown(scene, "two")
    await overlay(scene, "older", ago=60)  # heard of late
    await overlay(scene, "off", enabled=False)
    async with asyncio.timeout(30):
        while (await scene.play()).playback.HasField("overlay"):
            await asyncio.sleep(0.05)


async def test_a_page_that_says_that_its_overlay_was_hidden_becomes_a_signal_once(scene: Scene) -> None:
    opened = await scene.play(viewer_id="ada")
    ticket = opened.playback.dash_url.split("/p/", 1)[1].split("/", 1)[0]
    request = api.SendHeartbeatRequest(ticket=ticket, package_id=opened.session.package_id, overlay_tampered=True)
    for _ in range(3):
        await scene.stub.SendHeartbeat(request)
    async with asyncio.timeout(30):
        while not (found := (await scene.signals.ListSignals(signals.ListSignalsRequest())).signals):
            await asyncio.sleep(0.05)
    assert [(one.kind, one.viewer_id, one.session_id) for one in found] == [
        (signals.SIGNAL_KIND_OVERLAY_TAMPERED, "ada", opened.session.session_id)
    ]
