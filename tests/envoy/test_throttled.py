"""Viewers who look like abuse are slowed down at the edge, in both lanes, each by themselves; by Envoy's own count of what it held back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from reelmesh.policy.v1 import decisions_pb2 as told
from reelmesh.policy.v1 import policy_service_pb2 as playing
from reelmesh.policy.v1 import signals_service_pb2 as api

from services.kit.settings import ProcessSettings
from tests.envoy.edge import Edge
from tests.envoy.lanes import Lanes, nobody_asks, some_lanes

LARGE = b"x" * 512 * 1024


@pytest.fixture
async def lanes(mesh: ProcessSettings) -> AsyncIterator[Lanes]:
    async with some_lanes(mesh, policy_throttled_kib_per_second=256) as found:
        throttling = told.Rule(
            kind=told.RULE_KIND_RISK, signal_weights={"TOKEN_SHARING": 80}, step_up_from=101, refused_from=101
        )
        await found.scene.rules(throttling)
        yield found


async def held_back(edge: Edge) -> int:
    """How many times Envoy held part of an answer back."""
    return await edge.counted("http_bandwidth_limit.response_enforced")


async def large_film(lanes: Lanes, viewer_id: str) -> tuple[playing.CreatePlaybackResponse, str]:
    """A film with a segment that is larger than what a slow viewer gets in a second."""
    answer, base = await lanes.film(viewer_id=viewer_id)
    (lanes.objects / "published" / answer.playback.package_id / "video/1.m4s").write_bytes(LARGE)
    return answer, f"{base}/video/1.m4s"


async def served(lanes: Lanes, edge: Edge, segment: str) -> bool:
    """Fetches a segment whole. Returns whether part of it was held back."""
    before = await held_back(edge)
    answer = await lanes.at(edge, segment)
    assert answer.startswith("HTTP/1.1 200")
    assert answer.endswith("x" * 1000)
    return await held_back(edge) > before


async def until(lanes: Lanes, edge: Edge, segment: str, *, slow: bool) -> None:
    async with asyncio.timeout(60):
        while await served(lanes, edge, segment) != slow:
            await asyncio.sleep(0.05)


async def test_a_viewer_who_looks_odd_is_slowed_down_in_both_lanes_and_nobody_else(lanes: Lanes) -> None:
    odd, odd_segment = await large_film(lanes, "ada")
    _, other_segment = await large_film(lanes, "bob")
    for edge in (lanes.warm, lanes.strict):
        assert not await served(lanes, edge, odd_segment)
    for number in range(3):
        await lanes.scene.edge.check(odd.playback.dash_url, address=f"198.51.{number}.7")
    for edge in (lanes.warm, lanes.strict):
        await until(lanes, edge, odd_segment, slow=True)
        assert not await served(lanes, edge, other_segment)
    with nobody_asks():  # in the warm lane, still
        assert await served(lanes, lanes.warm, odd_segment)
    # What the client says of itself makes no difference.
    before = await held_back(lanes.warm)
    claimed = {"x_reelmesh_session": odd.session.session_id}
    assert (await lanes.at(lanes.warm, other_segment, **claimed)).startswith("HTTP/1.1 200")
    assert await held_back(lanes.warm) == before
    # So it stays for new playbacks, until somebody sets it back.
    _, again = await large_film(lanes, "ada")
    await until(lanes, lanes.warm, again, slow=True)
    await lanes.scene.signals.ClearViewerRisk(api.ClearViewerRiskRequest(viewer_id="ada"))
    for edge in (lanes.warm, lanes.strict):
        await until(lanes, edge, odd_segment, slow=False)
