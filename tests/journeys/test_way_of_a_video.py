"""A film goes in at one end and comes out, protected, at the other: by the browser, by the client library, by REST, by the command."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, expect
from reelmesh.assets.v1 import assets_pb2
from reelmesh.policy.v1 import policy_pb2, policy_service_pb2

from tests.support.chromium import opened_page, paused_picture, played_until
from tests.support.counted_films import FRAME_RATE, film
from tests.support.counter import read_counter
from tests.support.mesh import Mesh


async def assert_playing(page: Page) -> None:
    """The picture on the screen is the frame that the player says it shows."""
    position = await played_until(page, 1.0)
    number = read_counter(await paused_picture(page))
    shown = await page.eval_on_selector("video", "video => video.currentTime")
    assert position <= shown + 0.001
    assert abs(number - shown * FRAME_RATE) <= 2


async def assert_alive(mesh: Mesh, opened: policy_pb2.PlaybackSession) -> None:
    """The page says that its playback is alive, though the picture stands still."""
    request = policy_service_pb2.GetPlaybackSessionRequest(session_id=opened.session_id)
    async with mesh.client() as client, asyncio.timeout(60):
        while True:
            session = (await client.policy.GetPlaybackSession(request, metadata=client.metadata)).session
            if session.beat_time.ToDatetime() > opened.beat_time.ToDatetime():
                break
            await asyncio.sleep(0.2)
        assert await client.heartbeat((await client.create_playback(opened.asset_id)).playback) == 10


async def test_a_person_uploads_a_film_through_the_page_watches_the_stages_and_plays_it(
    whole_mesh: Mesh, browser: Browser
) -> None:
    async with opened_page(browser, 1280, 800) as page:
        await page.goto(f"{whole_mesh.url}/upload")
        await page.get_by_test_id("use-api-key").click()
        await page.get_by_test_id("api-key").fill(whole_mesh.key)
        await page.get_by_test_id("sign-in-submit").click()
        await page.get_by_test_id("file-input").set_input_files(film())
        await page.get_by_test_id("start-upload").click()
        for stage in ("UPLOAD", "SCREEN", "PROBE", "TRANSCODE", "PACKAGE"):
            await expect(page.locator(f'[data-stage="{stage}"]')).to_have_attribute(
                "data-state", "DONE", timeout=120_000
            )
        await page.get_by_test_id("watch").click()
        await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "playing", timeout=30_000)
        assert "code" not in page.url
        assert whole_mesh.key not in page.url
        await assert_playing(page)


@pytest.mark.parametrize("manifest", ["dash", "hls"])
async def test_the_watch_page_plays_what_a_one_time_code_opens(
    whole_mesh: Mesh, browser: Browser, asset_id: str, manifest: str
) -> None:
    async with whole_mesh.client() as client:
        created = await client.create_playback(asset_id)
    before, _, code = created.watch_url.partition("#")
    async with opened_page(browser, 1280, 800) as page:
        await page.goto(f"{before}?format={manifest}#{code}")
        await assert_playing(page)
        await expect(page).not_to_have_url(created.watch_url)
        await assert_alive(whole_mesh, created.session)
    async with opened_page(browser) as page:
        await page.goto(created.watch_url)
        await expect(page.get_by_test_id("refusal")).to_have_attribute("data-reason", "CODE_INVALID")


async def test_captions_and_both_languages_reach_the_player(whole_mesh: Mesh, asset_id: str) -> None:
    async with whole_mesh.client() as client:
        playback = (await client.create_playback(asset_id)).playback
    async with httpx.AsyncClient(trust_env=False) as http:
        master = (await http.get(playback.hls_url)).text
        assert master.count("TYPE=AUDIO") == 2
        assert 'LANGUAGE="de"' in master
        assert "TYPE=SUBTITLES" in master
        thumbnails = await http.get(playback.thumbnails_url)
        assert "#xywh=" in thumbnails.text
        poster = await http.get(playback.poster_url)
        assert poster.headers["content-type"] == "image/jpeg"


async def test_the_same_film_goes_in_by_rest_and_its_stages_come_as_server_sent_events(whole_mesh: Mesh) -> None:
    data = film().read_bytes()
    async with whole_mesh.http() as http:
        created = await http.post(
            "/v1/uploads",
            json={
                "request_id": "rest-journey-1",
                "filename": "film.mp4",
                "size_bytes": str(len(data)),
                "title": "By REST",
            },
        )
        assert created.status_code == 200, created.text
        upload = created.json()["upload"]
        half = len(data) // 2
        path = f"/v1/uploads/{upload['upload_id']}"
        for start, part in ((0, data[:half]), (half, data[half:])):
            written = await http.put(f"{path}/content", params={"offset": start}, content=part)
            assert written.status_code == 200, written.text
        wrong = await http.post(f"{path}:complete", json={"sha256": "0" * 64})
        assert wrong.json()["details"][0]["reason"] == "FILE_CORRUPT"
        complete = await http.post(f"{path}:complete", json={"sha256": hashlib.sha256(data).hexdigest()})
        assert complete.json()["upload"]["state"] == "UPLOAD_STATE_COMMITTED"
        last: dict[str, object] = {}
        async with http.stream(
            "GET", f"/v1/assets/{upload['asset_id']}:watch", params={"wait_for_commit": "true"}, timeout=150
        ) as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            async for line in events.aiter_lines():
                if line.startswith("data:"):
                    last = json.loads(line.removeprefix("data:"))["asset"]
        assert (last["state"], last["title"]) == ("ASSET_STATE_READY", "By REST")
        playback = await http.post(
            "/v1/playback", json={"request_id": "rest-journey-2", "asset_id": upload["asset_id"]}
        )
    async with httpx.AsyncClient(trust_env=False) as player:
        manifest = await player.get(playback.json()["playback"]["dash_url"])
    assert manifest.text.lstrip().startswith("<?xml")


async def test_a_range_of_a_segment_can_be_asked_for(whole_mesh: Mesh, asset_id: str) -> None:
    async with whole_mesh.client() as client:
        playback = (await client.create_playback(asset_id)).playback
    package = playback.dash_url.rpartition("/")[0]
    segment = next((whole_mesh.data / "objects/published" / playback.package_id / "video").rglob("1.m4s"))
    path = segment.relative_to(whole_mesh.data / "objects/published" / playback.package_id)
    async with httpx.AsyncClient(trust_env=False) as http:
        part = await http.get(f"{package}/{path}", headers={"range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == segment.read_bytes()[10:20]


async def test_the_command_uploads_waits_and_plays(whole_mesh: Mesh, tmp_path: Path) -> None:
    copy = tmp_path / "by-command.mp4"
    copy.write_bytes(film().read_bytes())
    uploaded = whole_mesh.command("upload", str(copy), "--title", "By command", "--wait")
    assert uploaded["asset_id"].startswith("ast_")
    played = whole_mesh.command("play", uploaded["asset_id"], "--no-open")
    assert set(played) >= {"asset_id", "package_id", "session_id", "hls_url", "dash_url", "licence_url", "watch_url"}
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(played["hls_url"])).status_code == 200
        whole_mesh.command("revoke", played["session_id"])
        assert (await http.get(played["hls_url"])).headers["x-reelmesh-reason"] == "SESSION_REVOKED"


async def test_nothing_secret_reaches_a_log(whole_mesh: Mesh, asset_id: str) -> None:
    async with whole_mesh.client() as client:
        created = await client.create_playback(asset_id)
        asset = await client.get_asset(asset_id)
    ticket = created.playback.dash_url.split("/p/")[1].split("/")[0]
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.get(created.playback.dash_url)
        kids = list(_key_ids(whole_mesh, asset.package_id))
        licence = await http.post(created.playback.licence_url, json={"kids": kids, "type": "temporary"})
        keys = [key["k"] for key in licence.json()["keys"]]
    assert keys
    logs = whole_mesh.logs()
    assert "correlation_id" in logs
    for secret in (
        whole_mesh.key,
        ticket,
        created.code,
        *keys,
        (whole_mesh.data / "secrets/nats_token").read_text().strip(),
    ):
        assert secret not in logs


def _key_ids(mesh: Mesh, package_id: str) -> list[str]:
    """Key ids of a package as base64url, from its manifest."""
    import base64
    import re

    manifest = (mesh.data / "objects/published" / package_id / "manifest.mpd").read_text()
    found = set(re.findall(r'default_KID="([0-9a-fA-F-]{36})"', manifest))
    return [base64.urlsafe_b64encode(bytes.fromhex(kid.replace("-", ""))).decode().rstrip("=") for kid in found]


async def test_the_state_of_an_asset_is_what_people_were_told(whole_mesh: Mesh, asset_id: str) -> None:
    async with whole_mesh.client() as client:
        asset = await client.get_asset(asset_id)
    assert asset.state == assets_pb2.ASSET_STATE_READY
    assert [stage.state for stage in asset.stages] == [assets_pb2.STAGE_STATE_DONE] * 5
    assert (asset.media.width, asset.media.height) == (640, 360)
    assert [track.language for track in asset.media.audio_tracks] == ["en", "de"]
