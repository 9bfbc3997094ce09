"""Players of other people play what we package, with keys from our licence service, and say why when they may not."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from typing import Final
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Browser

from tests.support.chromium import played_until, video_position
from tests.support.counted_films import film
from tests.support.mesh import Mesh, running_mesh
from tests.support.players import PLAYERS, Addresses, ThreePlayers, three_players

REFUSED: Final = {"shaka": 6007, "hls": "keySystemLicenseRequestFailed", "dash": 114}
"""What each player calls it when a licence is refused: LICENSE_REQUEST_FAILED, its namesake, and MEDIA_KEY_MESSAGE_LICENSER_ERROR."""


@pytest.fixture
async def players(whole_mesh: Mesh, browser: Browser) -> AsyncIterator[ThreePlayers]:
    async with three_players(browser, whole_mesh.url) as page:
        yield page


async def addresses_of(mesh: Mesh, asset_id: str) -> tuple[Addresses, str]:
    """A new playback's addresses, and its session."""
    async with mesh.client() as client:
        created = await client.create_playback(asset_id)
    playback = created.playback
    return Addresses(playback.hls_url, playback.dash_url, playback.licence_url), created.session.session_id


async def with_licence_policy(
    mesh: Mesh, told: Addresses, change: dict[str, object], goes_by: Callable[[httpx.Response], bool]
) -> None:
    """Changes the licence policy, and waits until licences go by it."""
    async with mesh.http() as http:
        answer = await http.patch("/v1/licencePolicy", json={"policy": change, "update_mask": ",".join(change)})
    assert answer.status_code == 200, answer.text
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
        found = re.findall(r'default_KID="([0-9a-f-]{36})"', (await http.get(told.dash_url)).text)
        kids = [base64.urlsafe_b64encode(UUID(key_id).bytes).decode().rstrip("=") for key_id in set(found)]
        while not goes_by(await http.post(told.licence_url, json={"kids": kids})):
            await asyncio.sleep(0.1)


async def on_record(mesh: Mesh, session_id: str, licence_ids: set[str]) -> dict[str, str]:
    """Licence → which one it renews, of a session's licences, as soon as those that are asked for are on record."""
    found: dict[str, str] = {}
    async with mesh.http() as http, asyncio.timeout(60):
        while not licence_ids <= found.keys():
            answer = await http.get("/v1/licences", params={"session_id": session_id})
            found = {licence["licence_id"]: licence["renewal_of"] for licence in answer.json()["licences"]}
            await asyncio.sleep(0.2)
    return found


async def test_cbcs_plays_in_each_player_and_goes_on_with_renewed_licences(
    whole_mesh: Mesh, asset_id: str, players: ThreePlayers
) -> None:
    """Shaka Player and dash.js with DASH, hls.js with HLS; then Shaka Player with HLS, where it fetches keys by itself."""
    told, session_id = await addresses_of(whole_mesh, asset_id)
    await with_licence_policy(whole_mesh, told, {"renew_after": "30s"}, lambda answer: "licence_id" in answer.json())
    for player in PLAYERS:
        await players.start(player, told)
    renewed = []
    for player in PLAYERS:
        await played_until(players.page, 1.0, selector=f"#{player}")
        renewed += await players.renew(player)
        position = await video_position(players.page, f"#{player}")
        await played_until(players.page, min(position + 1.0, 5.5), selector=f"#{player}")
        assert not [error for error in await players.errors(player) if error["fatal"]]
    assert all(renewed)
    recorded = await on_record(whole_mesh, session_id, set(renewed))
    assert {recorded[licence_id] for licence_id in renewed} <= recorded.keys() - set(renewed)
    await with_licence_policy(whole_mesh, told, {"renew_after": None}, lambda answer: "licence_id" not in answer.json())
    await players.stop("shaka")
    await players.start("shaka", told, told.hls_url)
    await played_until(players.page, 2.5, selector="#shaka")
    assert await players.errors("shaka") == []


async def test_a_refused_licence_is_told_in_each_player_s_own_words(
    whole_mesh: Mesh, asset_id: str, players: ThreePlayers
) -> None:
    """By the edge, which knows of revoked sessions and other films, and by the licence service, which knows its policy."""
    told, _ = await addresses_of(whole_mesh, asset_id)
    revoked, session_id = await addresses_of(whole_mesh, asset_id)
    async with whole_mesh.client() as client:
        await client.revoke(session_id)
    ticket, package_id = told.licence_url.split("/")[-4:-2]
    other_film = told.licence_url.replace(package_id, package_id[:-4] + "0000")
    await refused(players, told, revoked.licence_url, "SESSION_REVOKED")
    await refused(players, told, other_film, "TICKET_OTHER_PACKAGE")
    await refused(players, told, told.licence_url.replace(ticket, f"{ticket}x"), "TICKET_INVALID")
    hardware = [{"kind": kind, "least_security": "SECURITY_LEVEL_HARDWARE"} for kind in _KINDS]
    await with_licence_policy(whole_mesh, told, {"tracks": hardware}, lambda answer: answer.status_code == 403)
    try:
        await refused(players, told, told.licence_url, "SECURITY_LEVEL_TOO_LOW")
    finally:
        software = [{"kind": kind, "analogue_allowed": True} for kind in _KINDS]
        await with_licence_policy(whole_mesh, told, {"tracks": software}, lambda answer: answer.status_code == 200)


_KINDS: Final = ("TRACK_KIND_AUDIO", "TRACK_KIND_SD", "TRACK_KIND_HD")


async def refused(players: ThreePlayers, told: Addresses, licence_url: str, reason: str) -> None:
    """Each player is told of the refusal, and nothing is shown."""
    for player in PLAYERS:
        await players.start(player, Addresses(told.hls_url, told.dash_url, licence_url))
    for player in PLAYERS:
        error = await players.first_error(player)
        assert (error["code"], error["status"]) == (REFUSED[player], 403)
        problem = error["body"]
        assert problem["type"].endswith(f":{reason}")
        assert (problem["status"], problem["details"][0]["reason"]) == (403, reason)
        assert problem["detail"]
        assert await players.frames(player) == 0
        await players.stop(player)


async def test_cenc_plays_in_each_player_through_its_key_periods(browser: Browser) -> None:
    """A film that turns to new keys after two seconds and after four: each player fetches those too."""
    with running_mesh(REELMESH_PACKAGING_SCHEME="cenc", REELMESH_PACKAGING_KEY_PERIOD_SECONDS="2") as mesh:
        async with mesh.client() as client:
            asset_id = (await client.upload_file(film(), title="Three periods")).asset_id
            await client.wait_for_asset(asset_id)
        told, _ = await addresses_of(mesh, asset_id)
        async with httpx.AsyncClient(trust_env=False) as http:
            manifest = (await http.get(told.dash_url)).text
        assert manifest.count("<Period ") == 3
        async with three_players(browser, mesh.url) as players:
            for player in PLAYERS:
                await players.start(player, told)
            for player in PLAYERS:
                await played_until(players.page, 5.0, selector=f"#{player}")
                assert not [error for error in await players.errors(player) if error["fatal"]]
                key_ids = {kid for licence in await players.licences(player) for kid in licence["kids"]}
                assert len(key_ids) == 6  # of pictures and of sound, in each period
