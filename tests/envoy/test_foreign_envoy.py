"""The configuration that `docs/edge-authoriser.md` shows, run as it stands: another's Envoy in front, ours behind it, the real policy service."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.kit.settings import ProcessSettings
from tests.envoy.lanes import Lanes, some_lanes
from tests.policy.test_doors import bare, token_for
from tests.support.keys import with_api_key
from tests.support.ports import free_port
from tools.envoy_config import command

EXAMPLE = Path(__file__).parents[2] / "docs/examples/foreign_envoy.yaml"


@contextlib.asynccontextmanager
async def foreign_envoy(lanes: Lanes, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """An Envoy by the example, that shows this key to our edge."""
    folder, port = Path(tempfile.mkdtemp(prefix="foreign-")), free_port()
    host, _, edge_port = lanes.warm.address.partition(":")
    text = EXAMPLE.read_text(encoding="utf-8")
    for name, value in {
        "LISTEN_PORT": port,
        "REELMESH_HOST": host,
        "REELMESH_PORT": edge_port,
        "API_KEY": key,
    }.items():
        text = text.replace(f"${{{name}}}", str(value))
    (folder / "envoy.yaml").write_text(text)
    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *command(folder / "envoy.yaml", lanes.warm.settings), stdout=log, stderr=log
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        await http.get("/")
                        break
                    await asyncio.sleep(0.05)
            yield http
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()
        shutil.rmtree(folder)


@pytest.fixture
async def lanes(mesh: ProcessSettings) -> AsyncIterator[Lanes]:
    async with some_lanes(mesh) as found:
        yield found


async def test_another_envoy_serves_what_we_allow_and_refuses_what_we_refuse(lanes: Lanes) -> None:
    scene = lanes.scene
    answer = await scene.play()
    token = (await token_for(scene, answer.session.session_id, networks=["127.0.0.0/8"])).token
    elsewhere = (await token_for(scene, answer.session.session_id, networks=["203.0.113.0/24"])).token
    url = answer.playback.dash_url
    by_ticket = f"/video{url[url.index('/p/') :]}"
    plain = f"/video{bare(answer).removeprefix('https://media.example.org')}"
    with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=["edge.check"]) as key:
        async with foreign_envoy(lanes, key) as http:
            header = {"cta-common-access-token": token}
            for path, headers in (
                (by_ticket, {}),
                (plain, header),
                (f"{plain}?CAT={token}", {}),
                (plain, {"cookie": f"CTA-Common-Access-Token={token}"}),
            ):
                got = await http.get(path, headers=headers)
                assert got.status_code == 200, got.text
                assert got.headers["x-asked-for"] == f"/published/{answer.session.package_id}/manifest.mpd"
            for path, headers, reason in (
                (plain, {}, "TICKET_MISSING"),
                (by_ticket.replace("manifest.mpd", "man~ifest.mpd"), {}, "PATH_INVALID"),
                (plain, {"cta-common-access-token": elsewhere}, "ACCESS_TOKEN_CLAIM_UNMET"),
                (
                    plain,
                    {"x-forwarded-for": "203.0.113.7", "cta-common-access-token": elsewhere},
                    "ACCESS_TOKEN_CLAIM_UNMET",
                ),
            ):
                got = await http.get(path, headers=headers)
                assert (got.status_code, got.headers["x-reelmesh-reason"]) == (403, reason), path
            await scene.revoke(answer.session.session_id)
            got = await http.get(by_ticket)
            assert (got.status_code, got.headers["x-reelmesh-reason"]) == (403, "SESSION_REVOKED")


async def test_an_envoy_without_a_good_key_lets_nobody_in(lanes: Lanes) -> None:
    url = (await lanes.scene.play()).playback.dash_url
    async with foreign_envoy(lanes, "rmk_nonsense") as http:
        got = await http.get(f"/video{url[url.index('/p/') :]}")
        assert got.status_code in {403, 503}
