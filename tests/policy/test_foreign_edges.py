"""Edges that are not ours: by gRPC as a foreign Envoy asks, and by `CheckEdge` as a function of a CDN does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from reelmesh.policy.v1 import tokens_pb2
from reelmesh.policy.v1 import tokens_service_pb2 as api

from services.kit.ids import new_id
from tests.policy.scene import HD, Edge, Scene, an_edge, refused
from tests.policy.test_doors import NAME, bare, call, minted, token_for
from tests.support.keys import with_api_key


@pytest.fixture
async def key(scene: Scene) -> AsyncIterator[str]:
    with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=["edge.check"]) as key:
        yield key


@pytest.fixture
async def foreign(scene: Scene, key: str) -> AsyncIterator[Edge]:
    async with an_edge(scene.settings, key=key, outside=True) as edge:
        yield edge


class TestAForeignEnvoy:
    async def test_is_told_whether_and_keeps_its_path(self, scene: Scene, foreign: Edge) -> None:
        answer = await scene.play()
        verdict = await foreign.check(answer.playback.dash_url)
        assert verdict.allowed
        assert verdict.headers == {"x-reelmesh-session": answer.session.session_id}
        await scene.revoke(answer.session.session_id)
        verdict = await foreign.check(answer.playback.dash_url)
        assert (verdict.reason, verdict.answer.denied_response.status.code) == ("SESSION_REVOKED", 403)

    @pytest.mark.parametrize("said", ["extensions", "metadata"])
    async def test_may_have_a_prefix_and_want_our_path(self, scene: Scene, foreign: Edge, said: str) -> None:
        answer = await scene.play()
        path = answer.playback.dash_url[answer.playback.dash_url.index("/p/") :]
        about: dict[str, Any] = {"extensions": {"reelmesh.rewrite": "published"}}
        if said == "extensions":
            about["extensions"]["reelmesh.prefix"] = "/video/eu"
        else:
            about["metadata"] = {"reelmesh-prefix": "/video/eu"}
        verdict = await foreign.check(f"/video/eu{path}", **about)
        assert verdict.headers[":path"] == f"/published/{answer.session.package_id}/manifest.mpd"
        for other in (path, f"/video{path}", f"/video/eu2{path}", f"/video/eu/..{path}", f"/video//eu{path}"):
            assert (await foreign.check(other, **about)).reason in {"PATH_INVALID", "TICKET_MISSING"}

    @pytest.mark.parametrize(
        "prefix", ["video", "/video/", "/..", "/a/../b", "/%2e", "/a b", "/a?b", "/", "/1/2/3/4/5"]
    )
    async def test_has_a_plain_prefix(self, scene: Scene, foreign: Edge, prefix: str) -> None:
        url = (await scene.play()).playback.dash_url
        path = url[url.index("/p/") :]
        verdict = await foreign.check(f"{prefix}{path}", extensions={"reelmesh.prefix": prefix})
        assert verdict.reason == "PATH_INVALID"

    async def test_cannot_have_a_prefix_by_its_clients_word(self, scene: Scene, foreign: Edge) -> None:
        url = (await scene.play()).playback.dash_url
        path = url[url.index("/p/") :]
        headers = {"reelmesh-prefix": "/video", "x-reelmesh-prefix": "/video", "reelmesh.prefix": "/video"}
        assert not (await foreign.check(f"/video{path}", headers=headers)).allowed

    async def test_sees_packages_of_its_organisation_only(self, scene: Scene) -> None:
        url = (await scene.play()).playback.dash_url
        with with_api_key(scene.settings, organisation_id=new_id("org"), permissions=["edge.check"]) as key:
            async with an_edge(scene.settings, key=key, outside=True) as edge:
                assert (await edge.check(url)).reason == "PATH_INVALID"

    async def test_takes_every_credential_that_our_own_takes(self, scene: Scene, foreign: Edge) -> None:
        answer = await scene.play()
        made = await token_for(scene, answer.session.session_id)
        url = bare(answer)
        about = {"extensions": {"reelmesh.prefix": "/video"}}
        moved = url.replace("/p/", "/video/p/")
        assert (await foreign.check(moved, headers={NAME: made.token}, **about)).allowed  # type: ignore[arg-type]
        assert (await foreign.check(f"{moved}?CAT={made.token}", **about)).allowed  # type: ignore[arg-type]
        preview = await call(
            scene,
            "CreatePreviewUrl",
            api.CreatePreviewUrlRequest(package_id=answer.session.package_id, kind=tokens_pb2.PREVIEW_KIND_POSTER),
        )
        assert (await foreign.check(preview.url)).allowed

    async def test_may_not_call_anything_else(self, scene: Scene, key: str) -> None:
        session_id = (await scene.play()).session.session_id
        request = api.CreateAccessTokenRequest(session_id=session_id)
        assert (await refused(call(scene, "CreateAccessToken", request, key))).reason == "PERMISSION_MISSING"


class TestAFunctionOfACdn:
    async def ask(self, scene: Scene, key: str, url: str, **fields: Any) -> api.CheckEdgeResponse:
        fields = {"method": "GET", "client_address": "203.0.113.7"} | fields
        answer: api.CheckEdgeResponse = await call(scene, "CheckEdge", api.CheckEdgeRequest(url=url, **fields), key)
        return answer

    async def test_is_told_what_to_serve(self, scene: Scene, key: str) -> None:
        playing = await scene.play()
        answer = await self.ask(scene, key, playing.playback.dash_url)
        assert answer == api.CheckEdgeResponse(
            allowed=True,
            session_id=playing.session.session_id,
            path=f"/published/{playing.session.package_id}/manifest.mpd",
        )

    async def test_is_told_why_not(self, scene: Scene, key: str) -> None:
        playing = await scene.play()
        await scene.revoke(playing.session.session_id)
        answer = await self.ask(scene, key, playing.playback.dash_url)
        assert (answer.allowed, answer.status, answer.reason, answer.path) == (False, 403, "SESSION_REVOKED", "")
        assert answer.message

    async def test_hands_on_what_may_carry_a_token(self, scene: Scene, key: str) -> None:
        playing = await scene.play()
        now = int(scene.clock.now().timestamp())
        token = minted(scene)({2: playing.session.session_id, 4: now + 30, 323: {0: 0, 1: 120}})
        url = bare(playing).replace("/p/", "/video/p/")
        headers = [
            tokens_pb2.HttpHeader(name="Cookie", value="a=b"),
            tokens_pb2.HttpHeader(name="cookie", value=f"{NAME}={token}"),
        ]
        answer = await self.ask(scene, key, url, prefix="/video", headers=headers)
        assert answer.allowed
        (renewed,) = answer.response_headers
        assert renewed.name == "Set-Cookie"

    async def test_is_told_where_to_send_a_client_whose_token_is_over(self, scene: Scene, key: str) -> None:
        playing = await scene.play()
        token = minted(scene)(
            {2: playing.session.session_id, 4: 5, 322: {4: [302, {"Location": "https://example.org/renew"}]}}
        )
        answer = await self.ask(scene, key, f"{bare(playing)}?CAT={token}")
        assert (answer.status, answer.reason) == (302, "ACCESS_TOKEN_EXPIRED")
        assert [(header.name, header.value) for header in answer.response_headers] == [
            ("location", "https://example.org/renew")
        ]

    async def test_gets_no_path_for_licences_and_keys(self, scene: Scene, key: str) -> None:
        """Those are asked of our own edge by the client itself."""
        playing = await scene.play()
        url = playing.playback.licence_url.replace("licence/clearkey", f"key/{HD}")
        answer = await self.ask(scene, key, url)
        assert (answer.allowed, answer.path) == (True, "")

    @pytest.mark.parametrize("url", ["/p/x", "ftp://a/p/x", "https:///p/x", "https://[::1/p/x", "nonsense"])
    async def test_sends_an_absolute_url(self, scene: Scene, key: str, url: str) -> None:
        answer = await self.ask(scene, key, url)
        assert (answer.allowed, answer.reason) == (False, "PATH_INVALID")

    async def test_sends_the_path_as_it_came(self, scene: Scene, key: str) -> None:
        playing = await scene.play()
        for odd in ("../manifest.mpd", "%6danifest.mpd", "manifest.mpd\n", "a\tb"):
            answer = await self.ask(scene, key, playing.playback.dash_url.replace("manifest.mpd", odd))
            assert (answer.allowed, answer.reason) == (False, "PATH_INVALID"), odd

    async def test_needs_the_permission_and_sees_its_own_packages(self, scene: Scene) -> None:
        url = (await scene.play()).playback.dash_url
        with with_api_key(
            scene.settings, organisation_id=scene.organisation_id, permissions=["playback.create"]
        ) as key:
            assert (await refused(self.ask(scene, key, url))).reason == "PERMISSION_MISSING"
        with with_api_key(scene.settings, organisation_id=new_id("org"), permissions=["edge.check"]) as key:
            assert (await self.ask(scene, key, url)).reason == "PATH_INVALID"


async def test_a_call_from_outside_is_not_taken_for_our_own_edges(scene: Scene) -> None:
    """It comes by Envoy and shows Envoy's certificate; the mark that the edge puts on it makes it need a credential."""
    url = (await scene.play()).playback.dash_url
    for key, reason in (("", "CREDENTIAL_INVALID"), ("nonsense", "CREDENTIAL_INVALID")):
        async with an_edge(scene.settings, key=key, outside=True) as edge:
            assert (await refused(edge.check(url))).reason == reason
    with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=["playback.create"]) as weak:
        async with an_edge(scene.settings, key=weak, outside=True) as edge:
            assert (await refused(edge.check(url))).reason == "PERMISSION_MISSING"
