"""A film that went all the way, played and previewed by other credentials than its ticket."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx
from reelmesh.policy.v1.policy_pb2 import Playback

from tests.support.mesh import Mesh


async def playback_of(mesh: Mesh, asset_id: str) -> Playback:
    async with mesh.client() as client:
        return (await client.create_playback(asset_id)).playback


def uris(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


async def test_an_access_token_in_the_path_plays_from_the_manifest_to_a_segment_and_its_key(
    whole_mesh: Mesh, asset_id: str
) -> None:
    playback = await playback_of(whole_mesh, asset_id)
    async with whole_mesh.http() as http:
        made = await http.post(
            f"/v1/playback/sessions/{playback.session_id}/access-tokens", json={"algorithm": "TOKEN_ALGORITHM_HS256"}
        )
        assert made.status_code == 200, made.text
    async with httpx.AsyncClient(trust_env=False) as player:
        main = made.json()["hls_url"]
        media = urljoin(main, uris((await player.get(main)).text)[0])
        playlist = (await player.get(media)).text
        segment = await player.get(urljoin(media, uris(playlist)[0]))
        assert segment.status_code == 200
        key = re.search(r'URI="([^"]*key/[0-9a-f]{32})"', playlist)
        assert key, playlist
        assert len((await player.get(urljoin(media, key[1]))).content) == 16
    async with whole_mesh.client() as client:
        await client.revoke(playback.session_id)
    async with httpx.AsyncClient(trust_env=False) as player:
        refused = await player.get(main)
        assert (refused.status_code, refused.headers["x-reelmesh-reason"]) == (403, "SESSION_REVOKED")


async def test_thumbnails_are_previewed_with_every_sheet_that_they_name(whole_mesh: Mesh, asset_id: str) -> None:
    playback = await playback_of(whole_mesh, asset_id)
    async with whole_mesh.http() as http:
        made = await http.post(
            f"/v1/packages/{playback.package_id}/preview-urls",
            json={"kind": "PREVIEW_KIND_THUMBNAILS", "lifetime": "60s", "network": "127.0.0.0/8"},
        )
        assert made.status_code == 200, made.text
    index = made.json()["url"]
    async with httpx.AsyncClient(trust_env=False) as page:
        vtt = await page.get(index)
        assert (vtt.status_code, vtt.text[:6]) == (200, "WEBVTT")
        sheets = set(re.findall(r"^(\S+\.jpg)#xywh", vtt.text, re.MULTILINE))
        assert sheets
        for sheet in sheets:
            picture = await page.get(urljoin(index, sheet))
            assert (picture.status_code, picture.content[:2]) == (200, b"\xff\xd8")
        playlist = await page.get(urljoin(index, "main.m3u8"))
        assert (playlist.status_code, playlist.headers["x-reelmesh-reason"]) == (403, "PREVIEW_URL_INVALID")
