"""Who may not watch is told why, by the edge and by the player."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest
from playwright.async_api import Browser, expect
from reelmesh.policy.v1.policy_pb2 import Playback

from tests.support.chromium import opened_page, played_until
from tests.support.counted_films import film
from tests.support.mesh import Mesh


async def playback_of(mesh: Mesh, asset_id: str, lifetime_seconds: int | None = None) -> Playback:
    async with mesh.client() as client:
        return (await client.create_playback(asset_id, lifetime_seconds=lifetime_seconds)).playback


async def asked(url: str, **options: object) -> tuple[int, str, str]:
    """Status, reason in the header and reason in the body of an answer."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.request(str(options.pop("method", "GET")), url, **options)  # type: ignore[arg-type]
    body = answer.json() if answer.headers.get("content-type", "").partition(";")[0].endswith("json") else {}
    details = body.get("details", [{}])
    return answer.status_code, answer.headers.get("x-reelmesh-reason", ""), details[0].get("reason", "")


def parts(url: str) -> tuple[str, str, str]:
    """Everything before the ticket, the ticket, and what follows."""
    before, _, rest = url.partition("/p/")
    ticket, _, after = rest.partition("/")
    return f"{before}/p/", ticket, after


async def test_without_a_ticket_nothing_is_served(whole_mesh: Mesh, asset_id: str) -> None:
    playback = await playback_of(whole_mesh, asset_id)
    before, _, after = parts(playback.dash_url)
    assert (await asked(f"{before}{after}"))[0] == 403
    for path in (
        f"/published/{after}",
        f"/p/{after}",
        f"/masters/{after}",
        f"//published/{after}",
        f"/p/x/../../published/{after}",
    ):
        status, _, _ = await asked(whole_mesh.url + path)
        assert status in (400, 403, 404), path


async def test_an_expired_ticket_is_refused(whole_mesh: Mesh, asset_id: str) -> None:
    playback = await playback_of(whole_mesh, asset_id, lifetime_seconds=1)
    await asyncio.sleep(1.5)
    assert await asked(playback.dash_url) == (403, "TICKET_EXPIRED", "TICKET_EXPIRED")


async def test_a_ticket_opens_no_other_package(whole_mesh: Mesh, asset_id: str) -> None:
    playback = await playback_of(whole_mesh, asset_id)
    before, ticket, after = parts(playback.dash_url)
    other = after.replace(playback.package_id, playback.package_id[:-4] + "0000")
    assert await asked(f"{before}{ticket}/{other}") == (403, "TICKET_OTHER_PACKAGE", "TICKET_OTHER_PACKAGE")


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_ticket_that_was_tampered_with_is_refused(whole_mesh: Mesh, asset_id: str, part: int) -> None:
    playback = await playback_of(whole_mesh, asset_id)
    before, ticket, after = parts(playback.dash_url)
    pieces = ticket.split(".")
    middle = len(pieces[part]) // 2
    pieces[part] = pieces[part][:middle] + ("A" if pieces[part][middle] != "A" else "B") + pieces[part][middle + 1 :]
    assert await asked(f"{before}{'.'.join(pieces)}/{after}") == (403, "TICKET_INVALID", "TICKET_INVALID")


async def test_a_licence_for_keys_of_something_else_is_refused(whole_mesh: Mesh, asset_id: str) -> None:
    playback = await playback_of(whole_mesh, asset_id)
    kid = base64.urlsafe_b64encode(b"k" * 16).decode().rstrip("=")
    status, _, reason = await asked(playback.licence_url, method="POST", json={"kids": [kid], "type": "temporary"})
    assert (status, reason) == (403, "KEY_NOT_ENTITLED")
    _, _, rest = parts(playback.licence_url)
    status, header, _ = await asked(f"{whole_mesh.url}/p/not-a-ticket/{rest}", method="POST", json={"kids": [kid]})
    assert (status, header) == (403, "TICKET_INVALID")


async def test_a_session_that_is_revoked_in_mid_play_stops_and_the_player_says_why(
    whole_mesh: Mesh, browser: Browser, long_asset_id: str
) -> None:
    async with whole_mesh.client() as client:
        created = await client.create_playback(long_asset_id)
        async with opened_page(browser, 1280, 800) as page:
            await page.goto(created.watch_url)
            await played_until(page, 1.0)
            await client.revoke(created.playback.session_id, "a test")
            # By a heartbeat it may have heard of it before.
            await page.evaluate("() => document.querySelectorAll('video').forEach(one => { one.currentTime = 50; })")
            refusal = page.get_by_test_id("refusal")
            await expect(refusal).to_have_attribute("data-reason", "SESSION_REVOKED", timeout=30_000)
            await expect(page.get_by_test_id("player")).to_have_attribute("data-state", "refused")
            await expect(refusal.get_by_test_id("correlation-id")).not_to_be_empty()
    assert await asked(created.playback.dash_url) == (403, "SESSION_REVOKED", "SESSION_REVOKED")


async def test_a_deleted_asset_cannot_be_played_any_more(whole_mesh: Mesh) -> None:
    async with whole_mesh.client() as client:
        upload = await client.upload_file(film(seconds=2, height=144), title="Short-lived")
        await client.wait_for_asset(upload.asset_id)
        playback = (await client.create_playback(upload.asset_id)).playback
    assert (await asked(playback.dash_url))[0] == 200
    async with whole_mesh.http() as http:
        assert (await http.delete(f"/v1/assets/{upload.asset_id}")).status_code == 200
        async with asyncio.timeout(60):
            while (await asked(playback.dash_url))[0] != 403:
                await asyncio.sleep(0.1)
        again = await http.post("/v1/playback", json={"request_id": "after-delete", "asset_id": upload.asset_id})
    assert again.status_code == 400, again.text
    assert json.loads(again.text)["details"][0]["reason"] == "ASSET_WITHDRAWN"
