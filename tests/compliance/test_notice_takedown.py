"""From a notice to the edge, and to the people: a decision stops who is watching, and its letters arrive."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from services.kit.settings import ProcessSettings
from services.notifications.__main__ import wire as wire_notifications
from services.notifications.settings import NotificationsSettings
from tests.compliance.desk import NOTIFIER, a_desk
from tests.envoy.edge import running_edge
from tests.envoy.lanes import Lanes, eventually, warmed_up
from tests.identity.scene import a_scene as an_identity
from tests.policy.scene import a_scene
from tests.support.running import running


async def test_a_decision_stops_a_running_session_at_the_edge_and_a_withdrawal_lets_others_begin(
    mesh: ProcessSettings,
) -> None:
    objects = Path(tempfile.mkdtemp(prefix="notices-"))
    try:
        async with a_scene(mesh) as scene, a_desk(mesh) as desk:
            edge = running_edge(
                scene.settings.secrets_dir, policy=scene.settings.peer("policy"), objects=objects, strict=False
            )
            async with edge as warm:
                lanes = Lanes(scene, warm, warm, objects)
                await warmed_up(lanes)
                playing, base = await lanes.film()
                segment = f"{base}/video/1.m4s"
                assert " 200 " in await lanes.at(warm, segment)
                question = "SELECT count(*) = 1 FROM notice_packages WHERE package_id = :package_id"
                await desk.until(question, package_id=playing.session.package_id)
                # Whoever gives the notice has the address of a manifest, and no asset id.
                asset_id = playing.session.asset_id
                taken = await desk.copyright(asset_id, location=playing.playback.dash_url)
                await desk.decide(taken.notice_id, "TAKE_DOWN")
                await eventually(lanes, segment, "TITLE_TAKEN_DOWN")
                assert "HTTP/1.1 403" in await lanes.at(warm, segment)
                assert "TITLE_TAKEN_DOWN" in await lanes.at(warm, f"{base}/manifest.mpd")
                await desk.answer(taken.link_code, "WITHDRAWAL")
                await eventually(lanes, segment, "SESSION_REVOKED")
                _, again = await lanes.watching(asset_id)
                assert " 200 " in await lanes.at(warm, f"{again}/video/1.m4s")
    finally:
        shutil.rmtree(objects)


async def test_letters_reach_the_notifier_by_address_and_the_uploader_by_account(mesh: ProcessSettings) -> None:
    settings = NotificationsSettings(**mesh.model_dump())
    async with (
        running("notifications", settings, wire_notifications),
        an_identity(mesh) as people,
        a_desk(mesh) as desk,
    ):
        uploader = await people.register("ulla@example.com")
        taken = await desk.copyright(await desk.film(f"user/{uploader.account.account_id}"))
        await desk.decide(taken.notice_id, "TAKE_DOWN")
        found: dict[tuple[str, str], str] = {}
        wanted = {
            (NOTIFIER.email, "notice-received"),
            (NOTIFIER.email, "notice-decided"),
            (uploader.email, "statement-of-reasons"),
        }
        async with asyncio.timeout(60):
            while not wanted <= set(found):
                for file in (mesh.data_dir / "messages").glob("*.json"):
                    letter = json.loads(file.read_text(encoding="utf-8"))
                    found[letter["to"], letter["template"]] = letter["text"]
                desk.clock.advance(timedelta(seconds=1))  # a letter that was put off has its turn again
                await asyncio.sleep(0.05)
        statement = found[uploader.email, "statement-of-reasons"]
        for said in ("17 U.S.C. 501", "without a licence", "by people, without automated means", "go to court"):
            assert said in statement
        assert taken.link_code in found[NOTIFIER.email, "notice-received"]
        assert "/notice#code=" in statement
        await desk.until("SELECT count(*) = 0 FROM notice_letters")
