"""Access tokens, cookies, previews and foreign edges, through a real Envoy on the real policy service."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from reelmesh.policy.v1 import policy_service_pb2, tokens_pb2
from reelmesh.policy.v1 import tokens_service_pb2 as api

from services.kit.settings import ProcessSettings
from tests.envoy.edge import Edge
from tests.envoy.lanes import SEGMENT, Lanes, nobody_asks, some_lanes
from tests.policy.scene import HD
from tests.policy.test_doors import call, token_for
from tests.support.keys import with_api_key
from tests.support.stores import Emptying

NAME = "CTA-Common-Access-Token"


@pytest.fixture(scope="module")
async def lanes(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Lanes]:
    """For all tests of this module: each has films of its own."""
    async with some_lanes(session_stores) as found:
        yield found
    await emptied()


async def film(lanes: Lanes, **fields: Any) -> tuple[policy_service_pb2.CreatePlaybackResponse, str]:
    """A film that is played, and the path of its package without a ticket."""
    answer, _ = await lanes.film(**fields)
    return answer, f"/p/{answer.session.package_id}"


async def test_an_access_token_lets_in_whichever_way_it_comes(lanes: Lanes) -> None:
    answer, base = await film(lanes)
    token = (await token_for(lanes.scene, answer.session.session_id)).token
    for edge in (lanes.warm, lanes.strict):
        for file in ("manifest.mpd", "video/1.m4s"):
            for path, headers in (
                (f"{base}/{file}", {NAME: token}),
                (f"{base}/{file}", {"cookie": f"a=b; {NAME}={token}"}),
                (f"{base}/{file}?CAT={token}", {}),
                (f"{base.replace('/p/', f'/p/{token}/')}/{file}", {}),
            ):
                got = await edge.http.get(path, headers=headers)
                assert (got.status_code, got.content) == (200, SEGMENT), (path, got.text)
            refused = await edge.http.get(f"{base}/{file}")
            assert (refused.status_code, refused.headers["x-reelmesh-reason"]) == (403, "TICKET_MISSING")


async def test_a_revoked_session_ends_its_tokens_and_cookies(lanes: Lanes) -> None:
    answer, base = await film(lanes)
    token = (await token_for(lanes.scene, answer.session.session_id)).token
    await lanes.scene.revoke(answer.session.session_id)
    got = await lanes.warm.http.get(f"{base}/video/1.m4s", headers={NAME: token})
    assert (got.status_code, got.headers["x-reelmesh-reason"]) == (403, "SESSION_REVOKED")


async def test_the_warm_lane_is_as_warm_as_before(lanes: Lanes) -> None:
    answer, _ = await film(lanes)
    url = answer.playback.dash_url
    path = url[url.index("/p/") :].replace("manifest.mpd", "video/1.m4s")
    with nobody_asks():
        got = await lanes.warm.http.get(path, headers={"cookie": "a=b", NAME: "whatever"})
    assert (got.status_code, got.content) == (200, SEGMENT)


async def test_a_renewed_token_reaches_the_player(lanes: Lanes) -> None:
    answer, base = await film(lanes)
    renewal = tokens_pb2.TokenRenewal(lifetime=Duration(seconds=300), lead_duration=Duration(seconds=60))
    made = await token_for(lanes.scene, answer.session.session_id, lifetime=Duration(seconds=60), renewal=renewal)
    lanes.scene.clock.advance(timedelta(seconds=5))
    origin = {"origin": "https://player.example"}
    got = await lanes.warm.http.get(f"{base}/manifest.mpd", headers={NAME: made.token, **origin})
    fresh = got.headers[NAME]
    assert fresh != made.token
    assert NAME.lower() in got.headers["access-control-expose-headers"]
    got = await lanes.warm.http.get(f"{base}/video/1.m4s", headers={"cookie": f"{NAME}={made.token}"})
    assert got.headers["set-cookie"].startswith(f"{NAME}=")
    assert (await lanes.warm.http.get(f"{base}/manifest.mpd", headers={NAME: fresh})).status_code == 200


async def test_licences_and_keys_are_had_by_a_token_and_by_a_cookie(lanes: Lanes) -> None:
    answer, base = await film(lanes)
    token = (await token_for(lanes.scene, answer.session.session_id)).token
    request = api.CreatePlaybackCookieRequest(session_id=answer.session.session_id)
    cookie = (await call(lanes.scene, "CreatePlaybackCookie", request)).cookie
    for headers in ({NAME: token}, {"cookie": f"{cookie.name}={cookie.value}"}):
        got = await lanes.warm.http.post(
            f"{base}/licence/clearkey", headers=headers, json={"kids": ["MDEyMw"], "type": "temporary"}
        )
        assert (got.status_code, got.json()["keys"][0]["k"]) == (200, answer.session.package_id), got.text
        got = await lanes.warm.http.get(f"{base}/key/{HD}", headers=headers)
        assert (got.status_code, got.content) == (200, bytes.fromhex(HD))
    assert (await lanes.warm.http.get(f"{base}/key/{HD}")).status_code == 403


async def preview(lanes: Lanes, package_id: str, **fields: Any) -> str:
    request = api.CreatePreviewUrlRequest(package_id=package_id, kind=tokens_pb2.PREVIEW_KIND_POSTER, **fields)
    url: str = (await call(lanes.scene, "CreatePreviewUrl", request)).url
    return url[url.index("/v/") :]


async def test_a_preview_is_served_without_a_session(lanes: Lanes) -> None:
    answer, _ = await film(lanes)
    path = await preview(lanes, answer.session.package_id)
    for edge in (lanes.warm, lanes.strict):
        got = await edge.http.get(path)
        assert (got.status_code, got.content, got.headers["content-type"]) == (200, SEGMENT, "image/jpeg")
        assert got.headers["cache-control"] == "private, max-age=3600, immutable"
        assert (await edge.http.get(path, headers={"range": "bytes=2-3"})).content == SEGMENT[2:4]
        assert (await edge.http.head(path)).status_code == 200
    await lanes.scene.delete(answer.session.asset_id)
    async with asyncio.timeout(30):
        while (got := await lanes.warm.http.get(path)).status_code != 403:
            await asyncio.sleep(0.02)
    assert got.headers["x-reelmesh-reason"] == "ASSET_WITHDRAWN"


async def test_a_bound_preview_is_served_to_its_network(lanes: Lanes) -> None:
    answer, _ = await film(lanes)
    for network, status in (("127.0.0.0/8", 200), ("203.0.113.0/24", 403)):
        got = await lanes.warm.http.get(await preview(lanes, answer.session.package_id, network=network))
        assert got.status_code == status


UNCLEAN = [
    "/../poster.jpg",
    "/%2e%2e/poster.jpg",
    "/a%2f..%2fposter.jpg",
    "/poster.jpg%00",
    "/..%5cposter.jpg",
    "/manifest.mpd",
    "/video/1.m4s",
    "/",
    "",
]


async def test_a_preview_leads_nowhere_else(lanes: Lanes) -> None:
    answer, _ = await film(lanes)
    path = (await preview(lanes, answer.session.package_id)).removesuffix("/poster.jpg")
    for tail, edge in itertools.product(UNCLEAN, (lanes.warm, lanes.strict)):
        got = await Lanes.at(edge, path + tail)
        assert got.split(" ")[1] in {"400", "403", "404"}, (tail, got)
        assert SEGMENT.decode() not in got, tail


async def test_no_credential_reaches_the_access_log(lanes: Lanes) -> None:
    answer, base = await film(lanes)
    token = (await token_for(lanes.scene, answer.session.session_id)).token
    shown = await preview(lanes, answer.session.package_id)
    for number, path in enumerate((f"{base}/manifest.mpd?CAT={token}", f"/p/{token}{base[2:]}/a.m4s", shown)):
        await lanes.warm.http.get(path, headers={"x-correlation-id": f"credential-{number}", NAME: token})
        await lanes.warm.log(f"credential-{number}")
    written = Path(lanes.warm.settings.access_log).read_text()
    assert token not in written
    assert shown.split("/")[2] not in written
    assert (await lanes.warm.log("credential-2"))["path"] == f"/v/-/{answer.session.package_id}/poster.jpg"


async def test_two_slashes_are_one_before_anybody_judges(lanes: Lanes) -> None:
    """Envoy merges them; what `policy` is asked about, and what is served, is the plain path."""
    answer, _ = await film(lanes)
    path = await preview(lanes, answer.session.package_id)
    got = await Lanes.at(lanes.warm, path.replace("/poster.jpg", "//poster.jpg"))
    assert got == await Lanes.at(lanes.warm, path)


@contextlib.asynccontextmanager
async def asking(edge: Edge, key: str) -> AsyncIterator[Any]:
    """Calls the authoriser through an edge as a foreign Envoy would."""
    async with edge.channel() as channel:
        stub = external_auth_pb2_grpc.AuthorizationStub(channel)

        async def check(path: str) -> Any:
            request = external_auth_pb2.CheckRequest()
            request.attributes.request.http.method = "GET"
            request.attributes.request.http.path = f"/video{path}"
            request.attributes.context_extensions["reelmesh.prefix"] = "/video"
            metadata = (("authorization", f"Bearer {key}"),) if key else ()
            return await stub.Check(request, metadata=metadata, timeout=30)

        yield check


async def test_a_foreign_envoy_asks_through_the_edge_with_its_own_key(lanes: Lanes) -> None:
    answer, _ = await film(lanes)
    url = answer.playback.dash_url
    scene = lanes.scene
    with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=["edge.check"]) as key:
        async with asking(lanes.warm, key) as check:
            assert (await check(url[url.index("/p/") :])).status.code == 0
            denied = await check("/p/x.y.z/" + answer.session.package_id + "/a.m4s")
            assert (denied.status.code, denied.denied_response.status.code) == (7, 403)
    async with asking(lanes.warm, "") as check:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(url[url.index("/p/") :])
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED, "the edge does not lend its own credential"


async def test_a_function_of_a_cdn_asks_by_rest(lanes: Lanes) -> None:
    answer, _ = await film(lanes)
    scene = lanes.scene
    with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=["edge.check"]) as key:
        asked = {"method": "GET", "url": answer.playback.dash_url, "client_address": "203.0.113.7"}
        got = await lanes.warm.http.post("/v1/edge:check", json=asked, headers={"authorization": f"Bearer {key}"})
    assert got.status_code == 200
    assert got.json()["allowed"] is True
    assert got.json()["path"] == f"/published/{answer.session.package_id}/manifest.mpd"
    keys = await lanes.warm.http.get("/v1/playback/token-keys")
    assert "BEGIN PUBLIC KEY" in keys.json()["keys"][0]["public_key"]
