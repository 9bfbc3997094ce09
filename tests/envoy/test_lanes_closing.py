"""The warm lane closes when an edge can no longer know who is barred: then it asks about everything."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from services.kit.settings import ProcessSettings
from tests.envoy.edge import running_edge
from tests.envoy.lanes import Lanes, asked, eventually, let_through, nobody_asks, some_lanes, warmed_up
from tests.policy.scene import a_scene


async def test_with_more_barred_than_fit_the_warm_lane_closes(mesh: ProcessSettings) -> None:
    async with some_lanes(mesh, policy_most_barred=1) as lanes:
        _, base = await lanes.film()
        for count in (1, 2):
            with nobody_asks():
                assert " 200 " in await lanes.at(lanes.warm, f"{base}/video/1.m4s")
            answer, other = await lanes.film(lifetime=timedelta(hours=1))
            await lanes.scene.revoke(answer.session.session_id)
            await eventually(lanes, f"{other}/video/{count}.m4s", "SESSION_REVOKED")
        async with asyncio.timeout(30):
            while True:
                before = asked()
                assert " 200 " in await lanes.at(lanes.warm, f"{base}/video/1.m4s")
                if asked() > before:
                    break
                await asyncio.sleep(0.02)


async def test_an_edge_that_hears_nothing_any_more_asks_about_everything(mesh: ProcessSettings) -> None:
    """Without `policy` that means: nobody gets in, for somebody may have been barred meanwhile. Once it is back, all is as before."""
    objects = Path(tempfile.mkdtemp(prefix="lanes-"))
    try:
        async with contextlib.AsyncExitStack() as until_policy_ends, contextlib.AsyncExitStack() as until_the_end:
            scene = await until_policy_ends.enter_async_context(a_scene(mesh, policy_edge_lease_seconds=1))
            edge = running_edge(
                scene.settings.secrets_dir,
                policy=scene.settings.peer("policy"),
                objects=objects,
                strict=False,
            )
            warm = await until_the_end.enter_async_context(edge)
            lanes = Lanes(scene, warm, warm, objects)
            await warmed_up(lanes)
            _, base = await lanes.film()
            await until_policy_ends.aclose()
            await eventually(lanes, f"{base}/video/1.m4s", "HTTP/1.1 503")
            async with a_scene(mesh, policy_edge_lease_seconds=1) as again:
                await warmed_up(Lanes(again, warm, warm, objects))
                assert " 200 " in await lanes.at(warm, f"{base}/video/1.m4s")
                # And it stays so, beyond the first lease: without another it would ask about everything from here on.
                await asyncio.sleep(2.5)
                await let_through(lanes, f"{base}/video/1.m4s")
    finally:
        shutil.rmtree(objects)
