"""The authoriser as Envoy asks it, on the real stores: every refusal, what goes on, and how soon a revocation is known where."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from reelmesh.policy.v1 import events_pb2

from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.__main__ import PolicySettings, wire
from services.policy.domain import Package, Session, Wanted
from services.policy.follower import Follower
from services.policy.judge import Known
from services.policy.tickets import TICKET_KEY_FILE, Tickets
from tests.policy.scene import HD, Edge, Scene, a_scene, an_edge, eventually, refused
from tests.support.running import running
from tests.support.stores import operator_key


class TestWhatGoesOn:
    async def test_media_is_served_from_where_it_lies(self, scene: Scene) -> None:
        answer = await scene.play()
        below = answer.playback.dash_url.removesuffix("manifest.mpd")
        for file in ("manifest.mpd", "master.m3u8", "video/hd/seg-1.m4s", "poster.jpg"):
            for method in ("GET", "HEAD", "OPTIONS"):
                verdict = await scene.edge.check(below + file, method)
                assert verdict.headers == {
                    "x-reelmesh-session": answer.session.session_id,
                    ":path": f"/published/{answer.playback.package_id}/{file}",
                }

    async def test_licences_and_keys_keep_their_path(self, scene: Scene) -> None:
        """They go on to the key service, which judges the ticket in it once more."""
        answer = await scene.play()
        for url, method in (
            (answer.playback.licence_url, "POST"),
            (answer.playback.licence_url, "OPTIONS"),
            (answer.playback.licence_url.replace("licence/clearkey", f"key/{HD}"), "GET"),
        ):
            verdict = await scene.edge.check(url, method)
            assert verdict.allowed
            assert verdict.headers == {"x-reelmesh-session": answer.session.session_id}

    async def test_what_a_client_says_of_itself_goes_no_further(self, scene: Scene) -> None:
        verdict = await scene.edge.check((await scene.play()).playback.dash_url, headers={"x-reelmesh-session": "mine"})
        assert verdict.headers["x-reelmesh-session"].startswith("pbs_")
        assert {"authorization", "cookie"} <= set(verdict.answer.ok_response.headers_to_remove)
        overwrite = 2  # OVERWRITE_IF_EXISTS_OR_ADD
        assert {option.append_action for option in verdict.answer.ok_response.headers} == {overwrite}

    async def test_a_players_own_query_is_left_out(self, scene: Scene) -> None:
        answer = await scene.play()
        verdict = await scene.edge.check(answer.playback.hls_url + "?CMCD=sid%3D1&x=../..")
        assert verdict.headers[":path"] == f"/published/{answer.playback.package_id}/master.m3u8"


class TestWhatIsRefused:
    async def test_a_refusal_is_json_that_a_player_can_show(self, scene: Scene) -> None:
        verdict = await scene.edge.check("/p/x/y", headers={"x-correlation-id": "my-own-id-0001"})
        denied = verdict.answer.denied_response
        assert denied.status.code == 403
        assert verdict.headers == {
            "content-type": "application/json",
            "cache-control": "no-store",
            "x-reelmesh-reason": "TICKET_INVALID",
            "x-correlation-id": "my-own-id-0001",
        }
        assert verdict.body == {
            "code": 7,
            "message": "the playback ticket is not valid; start the playback anew",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "TICKET_INVALID",
                    "domain": "policy.reelmesh",
                    "metadata": {"correlation_id": "my-own-id-0001"},
                }
            ],
        }

    async def test_a_licence_is_refused_in_the_form_of_the_licence_service(self, scene: Scene) -> None:
        """RFC 9457, with what every other refusal consists of beside."""
        package_id = (await scene.play()).playback.package_id
        verdict = await scene.edge.check(f"/p/x.y.z/{package_id}/licence/clearkey", method="POST")
        assert verdict.headers["content-type"] == "application/problem+json"
        assert (verdict.body["status"], verdict.body["title"]) == (403, "Ticket invalid")
        assert verdict.body["type"] == "urn:reelmesh:refusal:policy.reelmesh:TICKET_INVALID"
        assert verdict.body["detail"] == verdict.body["message"]
        assert verdict.body["details"][0]["reason"] == "TICKET_INVALID"

    async def test_no_ticket(self, scene: Scene) -> None:
        film = await scene.publish()
        for path in (f"/p/{film.package_id}/manifest.mpd", f"/published/{film.package_id}/manifest.mpd", "/p/", "/"):
            assert (await scene.edge.check(path)).reason == "TICKET_MISSING"

    async def test_a_ticket_whose_time_is_over(self, scene: Scene) -> None:
        film = await scene.publish()
        answer = await scene.play(film.asset_id, lifetime=timedelta(seconds=60))
        scene.clock.advance(timedelta(seconds=59))
        assert (await scene.edge.check(answer.playback.dash_url)).allowed
        scene.clock.advance(timedelta(seconds=2))
        verdict = await scene.edge.check(answer.playback.dash_url)
        assert verdict.reason == "TICKET_EXPIRED"
        moment = answer.session.expire_time.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ")
        assert verdict.metadata["expire_time"] == moment

    async def test_a_ticket_for_another_package(self, scene: Scene) -> None:
        answer, other = await scene.play(), await scene.play()
        url = answer.playback.dash_url.replace(answer.playback.package_id, other.playback.package_id)
        verdict = await scene.edge.check(url)
        assert (verdict.reason, verdict.metadata["package_id"]) == ("TICKET_OTHER_PACKAGE", other.playback.package_id)

    async def test_a_ticket_that_was_tampered_with(self, scene: Scene) -> None:
        answer, other = await scene.play(), await scene.play()
        ticket = answer.playback.dash_url.split("/")[4]
        head, claims, signature = ticket.split(".")
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        said["pkg"] = other.playback.package_id
        changed = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
        for forged in (
            f"{head}.{changed}.{signature}",
            f"{head}.{claims}.{signature[::-1]}",
            f"{head}.{claims}.{head}",
        ):
            for package_id in (answer.playback.package_id, other.playback.package_id):
                assert (await scene.edge.check(f"/p/{forged}/{package_id}/manifest.mpd")).reason == "TICKET_INVALID"

    async def test_a_revoked_session_at_once(self, scene: Scene) -> None:
        answer = await scene.play()
        assert (await scene.edge.check(answer.playback.dash_url)).allowed
        await scene.revoke(answer.session.session_id)
        for url, method in ((answer.playback.dash_url, "GET"), (answer.playback.licence_url, "POST")):
            verdict = await scene.edge.check(url, method)
            assert (verdict.reason, verdict.metadata["session_id"]) == ("SESSION_REVOKED", answer.session.session_id)

    async def test_a_film_that_was_deleted(self, scene: Scene) -> None:
        answer = await scene.play()
        assert (await scene.edge.check(answer.playback.dash_url)).allowed
        await scene.delete(answer.session.asset_id)
        await eventually(scene.edge, answer.playback.dash_url, "ASSET_WITHDRAWN")
        verdict = await scene.edge.check(answer.playback.dash_url)
        assert (verdict.metadata["asset_id"], verdict.body["code"]) == (answer.session.asset_id, 7)

    async def test_methods_that_make_no_sense(self, scene: Scene) -> None:
        playback = (await scene.play()).playback
        key_url = playback.licence_url.replace("licence/clearkey", f"key/{HD}")
        for url, methods in (
            (playback.dash_url, ("POST", "PUT", "DELETE", "PATCH", "CONNECT", "")),
            (playback.licence_url, ("HEAD", "PUT", "DELETE")),
            (key_url, ("POST", "HEAD", "DELETE")),
        ):
            for method in methods:
                assert (await scene.edge.check(url, method)).reason == "PATH_INVALID"

    @pytest.mark.parametrize(
        "tail", ["../x", "%2e%2e/x", "a//b", "a/", ".x", "a%2fb", "a\\b", "licence/x", "key/0", ""]
    )
    async def test_paths_that_are_not_plain(self, scene: Scene, tail: str) -> None:
        """Before the ticket is even looked at; `test_paths` has the whole list."""
        below = (await scene.play()).playback.dash_url.removesuffix("manifest.mpd")
        assert (await scene.edge.check(below + tail)).reason == "PATH_INVALID"

    async def test_a_good_ticket_for_what_is_not_published_here(self, scene: Scene) -> None:
        """As after a restored backup."""
        now = scene.clock.now()
        package = Package(new_id("pkg"), new_id("ast"), scene.organisation_id, "d", "h", "", "", (), now)
        session = Session.opened(package, Wanted(lifetime=timedelta(hours=1)), now)
        ticket = Tickets((scene.settings.secrets_dir / TICKET_KEY_FILE).read_bytes(), 1).mint(session, now)
        assert (await scene.edge.check(f"/p/{ticket}/{package.package_id}/manifest.mpd")).reason == "PATH_INVALID"

    async def test_an_empty_request(self, scene: Scene) -> None:
        assert (await scene.edge.check("")).reason == "TICKET_MISSING"


class TestWhoMayAsk:
    async def test_only_envoy_and_edges_with_a_key_for_it(self, scene: Scene) -> None:
        """Of the latter `test_foreign_edges` tells more."""
        url = (await scene.play()).playback.dash_url
        for caller in ("drm", "packaging", "supervisor"):
            for key in ("", "nonsense", operator_key(scene.settings)):
                async with an_edge(scene.settings, caller=caller, key=key) as edge:
                    assert (await refused(edge.check(url))).reason == "PERMISSION_MISSING"

    async def test_by_its_certificate_alone(self, scene: Scene) -> None:
        url = (await scene.play()).playback.dash_url
        async with an_edge(scene.settings, key="nonsense") as edge:
            assert (await edge.check(url)).allowed


class TestWhatIsRemembered:
    async def test_a_restart_forgets_no_revocation_and_no_deletion(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh) as scene:
            kept, revoked, gone = [await scene.play() for _ in range(3)]
            await scene.revoke(revoked.session.session_id)
            await scene.delete(gone.session.asset_id)
            await scene.bus.hears(events_pb2.SessionRevoked, count=2)
        async with a_scene(mesh) as scene:
            assert (await scene.edge.check(kept.playback.dash_url)).allowed
            assert (await scene.edge.check(revoked.playback.dash_url)).reason == "SESSION_REVOKED"
            assert (await scene.edge.check(gone.playback.dash_url)).reason == "ASSET_WITHDRAWN"

    async def test_another_replicas_revocation_is_heard_by_who_does_not_look_for_it(self, scene: Scene) -> None:
        """How soon, the bench tells (`edge_revocations`)."""
        async with a_replica(scene) as edge:
            answer = await scene.play()
            assert (await edge.check(answer.playback.dash_url)).allowed
            await scene.revoke(answer.session.session_id)
            await eventually(edge, answer.playback.dash_url, "SESSION_REVOKED")

    async def test_another_replicas_package_is_known_at_the_first_request(self, scene: Scene) -> None:
        async with a_replica(scene) as edge:
            for _ in range(5):
                assert (await edge.check((await scene.play()).playback.dash_url)).allowed

    async def test_what_was_not_heard_is_found(self, scene: Scene) -> None:
        """An event bus that is away delays a revocation by no more than the time between two looks into the database."""
        database, known = Database.of("policy", scene.settings), Known()
        deaf = Follower(database, known, scene.clock)
        await deaf.catch_up()
        looking = asyncio.create_task(deaf.run(0.1))
        try:
            revoked, gone = await scene.play(), await scene.play()
            await scene.revoke(revoked.session.session_id)
            await scene.delete(gone.session.asset_id)
            async with asyncio.timeout(30):
                while not (
                    known.is_revoked(revoked.session.session_id)
                    and known.is_withdrawn(gone.session.asset_id)
                    and known.package(gone.session.package_id)
                ):
                    await asyncio.sleep(0.02)
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            await database.close()


@contextlib.asynccontextmanager
async def a_replica(scene: Scene) -> AsyncIterator[Edge]:
    """A second process of the service beside the first, which does not look into the database by itself, and an edge that asks it."""
    address = f"unix:{scene.settings.run_dir}/policy-2.sock"
    changed = {"listen": address, "peers": {"policy": address}, "policy_follow_seconds": 3600}
    settings = PolicySettings(**{**scene.settings.model_dump(), **changed})
    async with running("policy", settings, wire, clock=scene.clock), an_edge(settings) as edge:
        yield edge
