"""Limits through the real edge, with the real service behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from reelmesh.assets.v1 import assets_service_pb2, assets_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.kit.clock import SystemClock
from services.kit.errors import Refusal
from services.kit.settings import ProcessSettings
from tests.envoy.edge import FRIENDLY_ORIGIN, Edge, running_edge
from tests.envoy.parts import ASSET, PACKAGE, TICKET
from tests.limits.scene import Scene, a_scene, of_address, refusal_in
from tools.reelmesh_sdk import Client

GET_ASSET = "/reelmesh.assets.v1.AssetsService/GetAsset"
REST = f"/v1/assets/{ASSET}"
GRPC_WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}


@contextlib.asynccontextmanager
async def limited(mesh: ProcessSettings, changes: object, **changed: Any) -> AsyncIterator[tuple[Scene, Edge]]:
    """An edge that asks a service with these limits; `changed` are settings of the edge."""
    async with a_scene(mesh, changes) as scene:
        secrets, limits = scene.settings.secrets_dir, scene.settings.peer("limits")
        async with running_edge(secrets, limits=limits, **changed) as edge:
            yield scene, edge


@contextlib.asynccontextmanager
async def nets(tmp_path: Path, changes: object) -> AsyncIterator[Edge]:
    """An edge with nets of its own and nobody to ask."""
    file = tmp_path / "limits.yaml"
    file.write_text(yaml.safe_dump(changes), encoding="utf-8")
    async with running_edge(limits_file=file) as edge:
        yield edge


async def get_asset(channel: grpc.aio.Channel) -> Any:
    call = assets_service_pb2_grpc.AssetsServiceStub(channel).GetAsset(
        assets_service_pb2.GetAssetRequest(asset_id=ASSET)
    )
    await call
    return call


async def redeem(channel: grpc.aio.Channel) -> Any:
    request = policy_service_pb2.RedeemPlaybackCodeRequest(code="otc_" + "a" * 32)
    return await policy_service_pb2_grpc.PolicyServiceStub(channel).RedeemPlaybackCode(request)


def web_call(edge: Edge, **headers: str) -> Any:
    message = assets_service_pb2.GetAssetRequest(asset_id=ASSET).SerializeToString()
    content = b"\0" + len(message).to_bytes(4, "big") + message
    return edge.http.post(GET_ASSET, content=content, headers=GRPC_WEB | headers)


def in_json(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
    """ErrorInfo and RetryInfo of a refusal by REST."""
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (429, "application/json", 8)
    info, retry = answer.json()["details"]
    assert (info["reason"], info["domain"]) == ("RATE_LIMITED", "rpc.reelmesh")
    assert info["metadata"]["correlation_id"] == answer.headers["x-correlation-id"]
    return info, retry


class TestByRest:
    async def test_an_answer_says_what_is_left(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 2)) as (_, edge):
            answer = await edge.http.get(REST)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"per-address";q=2;w=120'
        assert answer.headers["ratelimit"] == '"per-address";r=1;t=60'
        assert "retry-after" not in answer.headers

    async def test_a_call_too_many_is_refused_until_the_time_it_is_told(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 2)) as (scene, edge):
            for _ in range(2):
                assert (await edge.http.get(REST)).status_code == 200
            scene.pass_time(15)
            refused = await edge.http.get(REST)
            info, retry = in_json(refused)
            assert info["metadata"] | {"correlation_id": ""} == {
                "limit": "per-address",
                "per": "address",
                "correlation_id": "",
            }
            assert (retry["retry_delay"], refused.headers["retry-after"]) == ("45s", "45")
            assert refused.headers["ratelimit"] == '"per-address";r=0;t=105'
            assert refused.headers["x-reelmesh-reason"] == "RATE_LIMITED"
            scene.pass_time(44)
            assert (await edge.http.get(REST)).status_code == 429
            scene.pass_time(1)
            assert (await edge.http.get(REST)).status_code == 200
        assert len(edge.parts.assets.seen) == 3

    async def test_uploads_by_tus_are_refused_in_the_same_way(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1)) as (_, edge):
            assert (await edge.http.post("/files/")).status_code == 204
            in_json(await edge.http.post("/files/"))

    async def test_pages_of_a_friendly_origin_may_read_the_headers(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1)) as (_, edge):
            for _ in range(2):
                answer = await edge.http.get(REST, headers={"origin": FRIENDLY_ORIGIN})
                exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
                assert {"retry-after", "ratelimit", "ratelimit-policy"} <= exposed
            assert answer.status_code == 429


class TestByGrpc:
    async def test_an_answer_says_what_is_left(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 2)) as (_, edge), edge.channel() as channel:
            answered = await get_asset(channel)
            headers = {str(name): value for name, value in await answered.initial_metadata()}
        assert headers["ratelimit"] == '"per-address";r=1;t=60'

    async def test_a_call_too_many_is_a_refusal_with_its_details(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1)) as (_, edge), edge.channel() as channel:
            await get_asset(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await get_asset(channel)
        refusal = Refusal.from_rpc_error(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refusal.retry_after == timedelta(seconds=60)
        assert refusal.metadata["limit"] == "per-address"
        assert refusal.message == "more than 1 call per 60 seconds for this address; try again in 60 s"
        both: list[Any] = [*(caught.value.initial_metadata() or ()), *(caught.value.trailing_metadata() or ())]
        headers = dict(both)
        assert (headers["retry-after"], headers["ratelimit"]) == ("60", '"per-address";r=0;t=60')
        assert refusal.metadata["correlation_id"] == headers["x-correlation-id"]


class TestByGrpcWeb:
    async def test_a_call_too_many_is_a_refusal_with_its_details(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1)) as (_, edge):
            assert (await web_call(edge)).headers["ratelimit"] == '"per-address";r=0;t=60'
            refused = await web_call(edge)
        assert (refused.status_code, refused.headers["content-type"]) == (200, "application/grpc-web+proto")
        assert (refused.headers["grpc-status"], refused.headers["retry-after"]) == ("8", "60")
        refusal = refusal_in(refused.headers["grpc-status-details-bin"])
        assert (refusal.reason, refusal.retry_after) == ("RATE_LIMITED", timedelta(seconds=60))

    async def test_what_the_edge_answers_by_itself_has_its_details_too(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, None) as (_, edge):
            answer = await edge.http.post("/reelmesh.assets.v1.AssetsService/Nothing", content=b"", headers=GRPC_WEB)
        assert (answer.status_code, answer.headers["grpc-status"]) == (200, "12")
        assert refusal_in(answer.headers["grpc-status-details-bin"]).reason == "ROUTE_UNKNOWN"


class TestTheClientLibrary:
    async def test_waits_as_long_as_it_is_told(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh, of_address("10 per second", 1), clock=SystemClock()) as scene:
            secrets, limits = scene.settings.secrets_dir, scene.settings.peer("limits")
            async with (
                running_edge(secrets, limits=limits) as edge,
                Client(f"http://{edge.address}", "rmk_x") as client,
            ):
                seen = await asyncio.gather(*(client.get_asset(ASSET) for _ in range(4)))
        assert len(seen) == 4

    async def test_does_not_wait_beyond_its_deadline(self, mesh: ProcessSettings) -> None:
        async with (
            limited(mesh, of_address("1 per hour", 1)) as (_, edge),
            Client(f"http://{edge.address}", "rmk_x") as client,
        ):
            await client.get_asset(ASSET)
            with pytest.raises(Refusal, match="RATE_LIMITED"):
                await client.get_asset(ASSET)


class TestWhoIsCounted:
    async def test_rest_grpc_and_grpc_web_count_together(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 2)) as (_, edge), edge.channel() as channel:
            await edge.http.get(REST)
            await get_asset(channel)
            assert (await web_call(edge)).headers["grpc-status"] == "8"

    async def test_a_client_cannot_say_where_it_is(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1)) as (_, edge):
            said = [{"x-forwarded-for": f"198.51.100.{number}"} for number in range(3)]
            assert [(await edge.http.get(REST, headers=one)).status_code for one in said] == [200, 429, 429]

    async def test_a_trusted_proxy_can(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1), trusted_hops=1) as (_, edge):
            said = [{"x-forwarded-for": f"10.9.9.9, 198.51.100.{number}"} for number in (1, 2, 1)]
            assert [(await edge.http.get(REST, headers=one)).status_code for one in said] == [200, 200, 429]

    async def test_two_edges_share_one_limit(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 3)) as (scene, edge):
            secrets, limits = scene.settings.secrets_dir, scene.settings.peer("limits")
            async with running_edge(secrets, limits=limits) as other:
                seen = [(await one.http.get(REST)).status_code for one in (edge, other, edge, other, edge)]
        assert seen == [200, 200, 200, 429, 429]

    async def test_segments_are_not_counted(self, mesh: ProcessSettings) -> None:
        async with limited(mesh, of_address("1 per minute", 1)) as (_, edge):
            segment = edge.parts.folder / f"objects/published/{PACKAGE}/video/1.m4s"
            segment.parent.mkdir(parents=True)
            segment.write_bytes(b"segment")
            seen = [(await edge.http.get(f"/p/{TICKET}/{PACKAGE}/video/1.m4s")) for _ in range(5)]
        assert {answer.status_code for answer in seen} == {200}
        assert not any("ratelimit" in answer.headers for answer in seen)


class TestWithoutTheService:
    async def test_calls_go_on(self) -> None:
        async with running_edge() as edge:
            assert (await edge.http.get(REST)).status_code == 200
            assert (await web_call(edge)).status_code == 200

    async def test_calls_go_on_when_the_edge_is_not_recognised(self, mesh: ProcessSettings) -> None:
        async with (
            a_scene(mesh, of_address("1 per minute", 1)) as scene,
            running_edge(limits=scene.settings.peer("limits")) as edge,
        ):
            assert [(await edge.http.get(REST)).status_code for _ in range(3)] == [200, 200, 200]

    async def test_floods_meet_the_edges_own_net(self, tmp_path: Path) -> None:
        async with nets(tmp_path, {"edge": {"every_call": {"rate": "1 per hour", "burst": 2}}}) as edge:
            for _ in range(2):
                assert (await edge.http.get(REST)).status_code == 200
            refused = await edge.http.get(REST)
            info, retry = in_json(refused)
            assert (info["metadata"]["limit"], info["metadata"]["per"]) == ("edge", "address")
            assert (retry["retry_delay"], refused.headers["retry-after"]) == ("3600s", "3600")
            async with edge.channel() as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await get_asset(channel)
            refusal = Refusal.from_rpc_error(caught.value)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
            by_web = await web_call(edge)
            assert (by_web.status_code, by_web.headers["grpc-status"]) == (200, "8")
            in_json(await edge.http.post("/files/"))

    async def test_segments_do_not_meet_it(self, tmp_path: Path) -> None:
        async with nets(tmp_path, {"edge": {"every_call": {"rate": "1 per hour", "burst": 1}}}) as edge:
            segment = edge.parts.folder / f"objects/published/{PACKAGE}/video/1.m4s"
            segment.parent.mkdir(parents=True)
            segment.write_bytes(b"segment")
            path = f"/p/{TICKET}/{PACKAGE}/video/1.m4s"
            assert [(await edge.http.get(path)).status_code for _ in range(5)] == [200] * 5

    async def test_guesses_are_limited_all_the_same(self, tmp_path: Path) -> None:
        """By whatever protocol; other methods are not."""
        guessing = {
            "methods": {"guessing": ["reelmesh.policy.v1.PolicyService/Redeem*"]},
            "edge": {"guessing": {"rate": "1 per hour", "burst": 2}},
        }
        async with (
            nets(tmp_path, guessing) as edge,
            edge.channel() as channel,
        ):
            await redeem(channel)
            guess = {"code": "otc_" + "a" * 32}
            assert (await edge.http.post("/v1/playback:redeem", json=guess)).status_code == 200
            in_json(await edge.http.post("/v1/playback:redeem", json=guess))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await redeem(channel)
            assert Refusal.from_rpc_error(caught.value).reason == "RATE_LIMITED"
            assert (await edge.http.get(REST)).status_code == 200
