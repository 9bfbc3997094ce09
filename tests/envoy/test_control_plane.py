"""Edges that do not know who is barred ask about everything: their warm lane is closed, and nobody notices but the policy service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.kit.settings import ProcessSettings
from services.policy.authorizer import SERVER
from tests.envoy.edge import Edge, running_edge
from tests.envoy.lanes import Lanes, asked, nobody_asks, some_lanes, warmed_up
from tests.envoy.relay import Relay, a_relay


@contextlib.asynccontextmanager
async def behind(lanes: Lanes, relay: Relay) -> AsyncIterator[Edge]:
    """Another edge, which meets the policy service through a relay."""
    secrets, objects = lanes.scene.settings.secrets_dir, lanes.objects
    authorizer = lanes.scene.settings.plain_address(SERVER)
    async with running_edge(
        secrets, policy=relay.address, authorizer=authorizer, objects=objects, strict=False
    ) as edge:
        yield edge


async def closed(lanes: Lanes, edge: Edge, path: str) -> None:
    """Waits until the edge asks before it serves, and sees that it goes on doing so for a while."""
    in_a_row = 0
    async with asyncio.timeout(60):
        while in_a_row < 20:
            before = asked()
            assert " 200 " in await lanes.at(edge, path)
            in_a_row = in_a_row + 1 if asked() > before else 0
            await asyncio.sleep(0.05)


async def test_an_edge_that_refuses_its_list_has_its_warm_lane_closed(mesh: ProcessSettings) -> None:
    async with some_lanes(mesh) as lanes:
        _, base = await lanes.film()
        path = f"{base}/video/1.m4s"
        policy, secrets = lanes.scene.settings.peer("policy"), lanes.scene.settings.secrets_dir
        async with a_relay(policy, secrets) as relay, behind(lanes, relay) as edge:
            await warmed_up(lanes, edge)
            assert relay.refused == []
            relay.spoil = True
            barred, other = await lanes.film()
            # A list with one more on it, of which this edge will never hear.
            await lanes.scene.revoke(barred.session.session_id)
            await closed(lanes, edge, path)
            assert len(relay.refused) == 1
            assert "SESSION_REVOKED" in await lanes.at(edge, f"{other}/video/1.m4s")
            # Nobody else's is.
            with nobody_asks():
                assert " 200 " in await lanes.at(lanes.warm, path)


async def test_an_edge_with_an_authoriser_but_no_control_plane_asks_about_everything(mesh: ProcessSettings) -> None:
    async with some_lanes(mesh) as lanes:
        answer, base = await lanes.film()
        path = f"{base}/video/1.m4s"
        policy, secrets = lanes.scene.settings.peer("policy"), lanes.scene.settings.secrets_dir
        async with a_relay(policy, secrets) as relay:
            relay.mute = True
            async with behind(lanes, relay) as edge:
                await closed(lanes, edge, path)
                await lanes.scene.revoke(answer.session.session_id)
                assert "SESSION_REVOKED" in await lanes.at(edge, path)
                # Once it is told who is barred, it lets segments through by itself.
                relay.mute = False
                await warmed_up(lanes, edge)
