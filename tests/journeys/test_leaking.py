"""Two people watch, one films the screen and leaks it: the right one is named and stopped, the other goes on, and whoever else's film accuses nobody."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from playwright.async_api import Browser, Page, Response, expect
from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse
from reelmesh.protection.v1.leaks_service_pb2 import GetLeakEvidenceRequest
from reelmesh.upload.v1.upload_pb2 import WATERMARKING_STANDARD
from typer.testing import CliRunner

from services.kit.ids import new_id
from tests.protection.fingerprints.films import scenes
from tests.protection.leaks import attacked, ffmpeg
from tests.support.chromium import opened_page, played_until
from tests.support.mesh import Mesh
from tests.support.screen import recorded
from tools.reelmesh_cli.app import app

SECONDS = 56
"""28 segments of two seconds. 21 that are read without an error tell one of two sessions, with a chance of error of 10^-6; one error more needs 7."""
SIZE = "426x240"
RATE = 12
COPY_RATE = 20
"""Frames a second of the film, and of what the screen recorder writes."""
PATIENCE = 180.0


@dataclass(frozen=True)
class Leaked:
    """A watermarked title and those who play it."""

    mesh: Mesh
    master: Path
    asset_id: str
    eve: CreatePlaybackResponse
    ann: CreatePlaybackResponse

    def reported(self, file: Path, where: str) -> dict[str, Any]:
        """Somebody reports a film that they found, by the command."""
        case: dict[str, Any] = self.mesh.command("leaks", "report", str(file), "--where", where)["case"]
        return case

    async def judged(self, case_id: str) -> dict[str, Any]:
        """The case once the search for its session, which begins by itself, has ended."""
        give_up = time.monotonic() + PATIENCE
        async with self.mesh.http() as http:
            while True:
                case: dict[str, Any] = (await http.get(f"/v1/leak-cases/{case_id}")).json()["case"]
                if case["state"] not in {"LEAK_CASE_STATE_REPORTED", "LEAK_CASE_STATE_DETECTING"}:
                    return case
                assert time.monotonic() < give_up, case
                await asyncio.sleep(0.3)

    async def finding(self, evidence: dict[str, Any]) -> dict[str, Any]:
        """What the search in a film came to."""
        async with self.mesh.http() as http:
            answer = await http.get(f"/v1/detections/{evidence['detection_id']}")
        found: dict[str, Any] = answer.json()["detection"]["finding"]
        return found

    async def kept_only(self) -> None:
        """What was reported is kept, and no title."""
        async with self.mesh.http() as http:
            kept, titles = [
                (await http.get("/v1/assets", params={"page_size": "200"} | more)).json()["assets"]
                for more in ({"state": "ASSET_STATE_KEPT"}, {})
            ]
        assert "Suspicious: copy.mp4" in {one["title"] for one in kept}
        assert not [one for one in titles if one["title"].startswith("Suspicious: ")]

    async def approved(self, action: dict[str, Any]) -> None:
        """Approves as the rule demands: one person may where the evidence is strong enough, and else a second one has to."""
        verdict = ("leaks", "act", action["action_id"], "approve", "--comment", "I looked at the picture.")
        state = (await asyncio.to_thread(self.mesh.command, *verdict))["action"]["state"]
        weak = action["false_positive"] > action["alone_up_to"]
        assert state == ("LEAK_ACTION_STATE_SECOND_NEEDED" if weak else "LEAK_ACTION_STATE_APPROVED")
        if weak:
            async with self.mesh.http() as http:
                key = {"request_id": new_id("req"), "display_name": "Second officer", "permissions": ["leaks.decide"]}
                secret = (await http.post("/v1/organisation/apiKeys", json=key)).json()["secret"]
            async with self.mesh.http(authorization=f"Bearer {secret}") as http:
                told = {"request_id": new_id("req"), "verdict": "LEAK_VERDICT_APPROVE", "comment": "So did I."}
                answer = await http.post(f"/v1/leak-actions/{action['action_id']}:decide", json=told)
            assert answer.json()["action"]["state"] == "LEAK_ACTION_STATE_APPROVED", answer.text


@pytest.fixture(scope="module")
async def leaked(whole_mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Leaked:
    """A film that is long enough to tell its viewers apart, and a playback for each of two people."""
    master = tmp_path_factory.mktemp("leak") / "premiere.mp4"
    await asyncio.to_thread(scenes, master, SECONDS, 7, size=SIZE, rate=RATE)
    async with whole_mesh.client() as client:
        upload = await client.upload_file(master, title="Premiere", watermarking=WATERMARKING_STANDARD)
        await client.wait_for_asset(upload.asset_id)
        eve, ann = [await client.create_playback(upload.asset_id, viewer) for viewer in ("eve", "ann")]
    return Leaked(whole_mesh, master, upload.asset_id, eve, ann)


@asynccontextmanager
async def overlaid(mesh: Mesh, other_asset_id: str) -> AsyncIterator[None]:
    """While this is open, who begins to watch has their name over the picture."""
    look = {"text": "{viewer_hash} {session}", "opacity": 0.35, "size": 0.03, "interval": "20s", "contrast_aware": True}
    on = look | {"enabled": True, "motion": "OVERLAY_MOTION_DRIFT"}
    async with mesh.http() as http, mesh.client() as client:
        (await http.put("/v1/overlay", json={"template": on})).raise_for_status()
        try:
            async with asyncio.timeout(60):
                while not (await client.create_playback(other_asset_id)).playback.overlay.text:
                    await asyncio.sleep(0.1)
            yield
        finally:
            (await http.put("/v1/overlay", json={"template": on | {"enabled": False}})).raise_for_status()


@asynccontextmanager
async def watching(
    browser: Browser, created: CreatePlaybackResponse, size: tuple[int, int]
) -> AsyncIterator[tuple[Page, list[Response]]]:
    """Somebody watches over and over again. What answers were there to their player's questions for pictures is told as well."""
    async with opened_page(browser, *size) as page:
        answers: list[Response] = []
        page.on("response", lambda one: answers.append(one) if "/video/" in one.url else None)
        await page.goto(created.watch_url)
        await played_until(page, 0.1)
        await pauses(page)
        await page.eval_on_selector("video", "video => { video.loop = true; }")
        yield page, answers


async def pauses(page: Page) -> None:
    """Whoever watches does something else for a while."""
    await page.eval_on_selector("video", "video => video.pause()")


async def goes_on(page: Page) -> None:
    await page.eval_on_selector("video", "video => video.play()")


async def filmed(page: Page, target: Path) -> Path:
    """The whole film from the screen, full screen, as a screen recorder writes it and as somebody encodes it again."""
    await page.keyboard.press("f")
    await page.wait_for_function("() => document.fullscreenElement !== null")
    async with recorded(page, target.with_suffix(".mjpeg")) as recording:
        await page.keyboard.press("Home")
        await goes_on(page)
        await page.wait_for_function("() => document.querySelector('video').currentTime < 5")
        await played_until(page, SECONDS - 1.0, within=SECONDS + PATIENCE)
    await pauses(page)
    print(recording.told())
    screen = await asyncio.to_thread(recording.film, target.with_name("screen.mp4"), rate=COPY_RATE)
    return await asyncio.to_thread(attacked, screen, target, "-crf", "28")


async def asked(created: CreatePlaybackResponse, number: int) -> httpx.Response:
    """What the edge says when a session's player asks for a segment."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(urljoin(created.playback.dash_url, f"video/240p/{number}.m4s"))


async def proved(leaked: Leaked, evidence: dict[str, Any], copy: Path, folder: Path) -> None:
    """The bytes are kept, with their digest; the log says so, and can prove it to somebody else."""
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    assert evidence["sha256"] == digest
    kept = hashlib.sha256()
    async with leaked.mesh.client() as client:
        request = GetLeakEvidenceRequest(evidence_id=evidence["evidence_id"])
        async for answer in client.leaks.GetLeakEvidence(request, metadata=client.metadata):
            kept.update(answer.part)
    assert kept.hexdigest() == digest
    async with leaked.mesh.http() as http:
        kind = {"event_type": "reelmesh.protection.v1.LeakEvidencePreserved", "page_size": "1"}
        (leaf,) = (await http.get("/v1/audit/leaves", params=kind)).json()["leaves"]
        proof = (await http.get("/v1/audit/inclusionProof", params={"event_id": leaf["event_id"]})).json()
    file = folder / "proof.txt"
    file.write_text(proof["tlog_proof"])
    key = leaked.mesh.command("audit", "checkpoint")["verifier_key"]
    ran = CliRunner().invoke(app, ["audit", "verify", str(file), "--key", key])
    assert ran.exit_code == 0, ran.output
    assert digest in b64decode(leaf["disclosure"]["payload"]).decode("latin-1")


@pytest.mark.timeout(700)
async def test_whoever_films_the_screen_is_named_and_stopped_and_nobody_else(
    leaked: Leaked, browser: Browser, asset_id: str, tmp_path: Path
) -> None:
    eve, ann = leaked.eve, leaked.ann
    async with AsyncExitStack() as stack:
        async with overlaid(leaked.mesh, asset_id):
            guilty, _ = await stack.enter_async_context(watching(browser, eve, (480, 360)))
            innocent, answers = await stack.enter_async_context(watching(browser, ann, (320, 480)))
            await expect(guilty.get_by_test_id("overlay")).to_have_count(1)
        copy = await filmed(guilty, tmp_path / "copy.mp4")
        reported = await asyncio.to_thread(leaked.reported, copy, "https://pirate.example/premiere")
        case = await leaked.judged(reported["case_id"])
        (evidence,) = case["evidence"]
        print(case["explanation"], await leaked.finding(evidence))
        assert case["state"] == "LEAK_CASE_STATE_NAMED", case["explanation"]
        picture = tmp_path / "evidence.png"
        await asyncio.to_thread(leaked.mesh.command, "leaks", "show", case["case_id"], "--picture", str(picture))
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert case["title_asset_id"] == leaked.asset_id
        await leaked.kept_only()
        assert {one["session_id"] for one in case["actions"]} == {eve.session.session_id}
        assert {one["viewer_id"] for one in case["actions"]} == {"eve"}
        # Nothing is done before people say so.
        assert [(await asked(one, 1)).status_code for one in (eve, ann)] == [200, 200]
        (revoke,) = [one for one in case["actions"] if one["kind"] == "LEAK_ACTION_KIND_REVOKE_SESSION"]
        await goes_on(guilty)
        await leaked.approved(revoke)
        await expect(guilty.get_by_test_id("refusal")).to_have_attribute("data-reason", "SESSION_REVOKED")
        refused = await asked(eve, 2)
        assert (refused.status_code, refused.headers["x-reelmesh-reason"]) == (403, "SESSION_REVOKED")

        answers.clear()
        await goes_on(innocent)
        position = await innocent.eval_on_selector("video", "video => video.currentTime")
        await innocent.wait_for_function(
            "before => { const now = document.querySelector('video').currentTime; return now > before + 2 || now < before; }",
            arg=position,
        )
        while not answers:
            await innocent.wait_for_event("response", timeout=60_000)
        assert {one.status for one in answers} == {200}
        assert (await asked(ann, 2)).status_code == 200
    await proved(leaked, evidence, copy, tmp_path)
    async with asyncio.timeout(60):
        while "effect_time" not in (await leaked.judged(case["case_id"]))["actions"][0]:
            await asyncio.sleep(0.3)


@pytest.mark.timeout(500)
async def test_an_unmarked_copy_and_the_film_of_another_platform_accuse_nobody(leaked: Leaked, tmp_path: Path) -> None:
    unmarked = attacked(leaked.master, tmp_path / "unmarked.mp4", "-crf", "28")
    foreign = tmp_path / "foreign.mp4"
    source = "mandelbrot=s=320x180:r=10"
    ffmpeg("-f", "lavfi", "-i", source, "-t", "20", "-pix_fmt", "yuv420p", "-preset", "ultrafast", foreign)
    cases = [leaked.reported(file, f"https://other.example/{file.name}")["case_id"] for file in (unmarked, foreign)]
    outcomes = []
    for case_id in cases:
        case = await leaked.judged(case_id)
        assert (case["state"], case.get("actions", [])) == ("LEAK_CASE_STATE_UNNAMED", [])
        outcomes.append((await leaked.finding(case["evidence"][0]))["outcome"])
    assert outcomes[0] in {"OUTCOME_NOBODY_ACCUSED", "OUTCOME_NOT_ENOUGH_EVIDENCE"}
    assert outcomes[1] == "OUTCOME_TITLE_NOT_FOUND"
