"""A watermarked film on its whole way: uploaded, played in a browser, and each session with segments of its own."""

from __future__ import annotations

import httpx
from playwright.async_api import Browser
from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse
from reelmesh.upload.v1.upload_pb2 import WATERMARKING_STANDARD

from services.kit.codewords import KEY_FILE, Code, bit_of
from tests.support.chromium import opened_page, played_until
from tests.support.counted_films import film
from tests.support.mesh import Mesh

SEGMENTS = 3


async def segments_of(mesh: Mesh, created: CreatePlaybackResponse) -> str:
    """Which variant of each segment a session gets, by comparing bytes with what lies in the store."""
    base = created.playback.dash_url.rpartition("/")[0]
    folder = mesh.data / "objects/published" / created.playback.package_id
    found = ""
    async with httpx.AsyncClient(trust_env=False) as http:
        for number in range(1, SEGMENTS + 1):
            answer = await http.get(f"{base}/video/144p/{number}.m4s")
            assert answer.status_code == 200
            (variant,) = [
                name for name in "ab" if (folder / f".{name}/video/144p/{number}.m4s").read_bytes() == answer.content
            ]
            found += variant
        for named in (".a", ".b", "%2ea", "a"):
            assert (await http.get(f"{base}/{named}/video/144p/1.m4s")).status_code in {400, 403, 404}
    return found


async def test_each_session_of_a_watermarked_film_gets_segments_of_its_own(whole_mesh: Mesh, browser: Browser) -> None:
    async with whole_mesh.client() as client:
        upload = await client.upload_file(
            film(seconds=2 * SEGMENTS, height=144), title="Marked", watermarking=WATERMARKING_STANDARD
        )
        await client.wait_for_asset(upload.asset_id)
        sessions = [await client.create_playback(upload.asset_id) for _ in range(3)]
    code = Code.of((whole_mesh.data / "secrets" / KEY_FILE).read_bytes(), upload.asset_id)
    for created in sessions:
        codeword = code.codeword(created.session.session_id, SEGMENTS)
        wanted = "".join("ab"[bit_of(codeword, number)] for number in range(1, SEGMENTS + 1))
        assert await segments_of(whole_mesh, created) == wanted
    async with opened_page(browser) as page:
        await page.goto(sessions[0].watch_url)
        await page.wait_for_selector("video")
        await page.eval_on_selector("video", "video => { video.muted = true; video.play(); }")
        await played_until(page, 2 * SEGMENTS - 1.0)
    found = whole_mesh.command("detect", str(film(seconds=2 * SEGMENTS, height=144)))
    assert found["outcome"] == "NOT_ENOUGH_EVIDENCE"
    assert found["asset_id"] == upload.asset_id
    assert found["sessions"] == 3
