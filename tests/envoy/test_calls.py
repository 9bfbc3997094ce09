"""gRPC, grpc-web, REST and server-sent events through the real edge."""

from __future__ import annotations

import asyncio
import base64
import json

import grpc
import pytest
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2, assets_service_pb2_grpc
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc
from reelmesh.upload.v1 import upload_service_pb2, upload_service_pb2_grpc

from services.kit.errors import Refusal
from tests.envoy.edge import FRIENDLY_ORIGIN, Edge
from tests.envoy.parts import ASSET, LOST_ASSET, MISSING_ASSET, SLOW_ASSET, UPLOAD

GET_ASSET = "/reelmesh.assets.v1.AssetsService/GetAsset"
FAILED = "^cluster.assets.upstream_cx_connect_fail$"
"""Envoy's counter of connections to the assets service that did not come about."""


async def test_a_unary_call_by_grpc_arrives_and_is_answered(edge: Edge) -> None:
    async with edge.channel() as channel:
        call = assets_service_pb2_grpc.AssetsServiceStub(channel).GetAsset(
            assets_service_pb2.GetAssetRequest(asset_id=ASSET)
        )
        assert (await call).asset.title == "Ночь"


async def test_a_stream_of_answers_by_grpc_arrives_as_it_is_made(edge: Edge) -> None:
    edge.parts.assets.go_on.clear()
    async with edge.channel() as channel:
        call = assets_service_pb2_grpc.AssetsServiceStub(channel).WatchAsset(
            assets_service_pb2.WatchAssetRequest(asset_id=ASSET)
        )
        answers = aiter(call)
        assert (await anext(answers)).asset.state == assets_pb2.ASSET_STATE_PROCESSING
        edge.parts.assets.go_on.set()
        assert [answer.asset.state async for answer in answers] == [assets_pb2.ASSET_STATE_READY]


async def test_a_stream_of_requests_by_grpc_arrives_whole(edge: Edge) -> None:
    requests = [upload_service_pb2.WriteUploadRequest(upload_id=UPLOAD, chunk={"data": bytes(1000)}) for _ in range(5)]
    async with edge.channel() as channel:
        answer = await upload_service_pb2_grpc.UploadServiceStub(channel).WriteUpload(iter(requests))
    assert answer.upload.received_bytes == 5000


async def test_a_refusal_reaches_a_grpc_caller_with_its_reason(edge: Edge) -> None:
    async with edge.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await assets_service_pb2_grpc.AssetsServiceStub(channel).GetAsset(
                assets_service_pb2.GetAssetRequest(asset_id=MISSING_ASSET)
            )
    refusal = Refusal.from_rpc_error(refused.value)
    assert (refusal.code, refusal.reason, refusal.domain) == (
        grpc.StatusCode.NOT_FOUND,
        "ASSET_NOT_FOUND",
        "assets.reelmesh",
    )


async def test_methods_between_services_do_not_exist_at_the_edge(edge: Edge) -> None:
    """Envoy would show its own certificate for whoever asks, so it hands on nothing that is meant for services."""
    async with edge.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await drm_service_pb2_grpc.DrmServiceStub(channel).CreateContentKeys(
                drm_service_pb2.CreateContentKeysRequest()
            )
    refusal = Refusal.from_rpc_error(refused.value)
    assert (refusal.code, refusal.reason, refusal.domain) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "ROUTE_UNKNOWN",
        "rpc.reelmesh",
    )


async def test_the_callers_deadline_is_kept(edge: Edge) -> None:
    async with edge.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await assets_service_pb2_grpc.AssetsServiceStub(channel).GetAsset(
                assets_service_pb2.GetAssetRequest(asset_id=SLOW_ASSET), timeout=0.3
            )
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def framed(message: bytes) -> bytes:
    """One gRPC frame."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def unframed(body: bytes) -> list[tuple[int, bytes]]:
    """Flags and payloads of the frames of a grpc-web body; flag 0x80 marks trailers."""
    frames = []
    while body:
        length = int.from_bytes(body[1:5], "big")
        frames.append((body[0], body[5 : 5 + length]))
        body = body[5 + length :]
    return frames


async def test_a_unary_call_by_grpc_web_ends_with_its_trailers(edge: Edge) -> None:
    request = assets_service_pb2.GetAssetRequest(asset_id=ASSET).SerializeToString()
    answer = await edge.http.post(
        GET_ASSET, content=framed(request), headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/grpc-web+proto")
    (_, message), (flag, trailers) = unframed(answer.content)
    assert assets_service_pb2.GetAssetResponse.FromString(message).asset.asset_id == ASSET
    assert flag == 0x80
    assert b"grpc-status:0" in trailers


async def test_a_stream_by_grpc_web_arrives_as_it_is_made(edge: Edge) -> None:
    edge.parts.assets.go_on.clear()
    request = framed(assets_service_pb2.WatchAssetRequest(asset_id=ASSET).SerializeToString())
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    body = b""
    async with edge.http.stream(
        "POST", "/reelmesh.assets.v1.AssetsService/WatchAsset", content=request, headers=headers
    ) as answer:
        async for part in answer.aiter_raw():
            body += part
            edge.parts.assets.go_on.set()
    assert [flag for flag, _ in unframed(body)] == [0, 0, 0x80]


async def test_a_refusal_reaches_a_grpc_web_caller_with_its_reason(edge: Edge) -> None:
    request = framed(assets_service_pb2.GetAssetRequest(asset_id=MISSING_ASSET).SerializeToString())
    answer = await edge.http.post(GET_ASSET, content=request, headers={"content-type": "application/grpc-web+proto"})
    trailers = dict(line.split(b":", 1) for line in unframed(answer.content)[-1][1].split(b"\r\n") if line)
    details = trailers[b"grpc-status-details-bin"].decode()
    assert trailers[b"grpc-status"] == b"5"
    assert b"ASSET_NOT_FOUND" in base64.b64decode(details + "=" * (-len(details) % 4))


async def test_a_call_by_rest_is_answered_in_the_words_of_the_contract(edge: Edge) -> None:
    """Field names as in the contract, 64-bit numbers as strings (proto3 JSON), fields without a value printed."""
    answer = await edge.http.get(f"/v1/assets/{ASSET}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    asset = answer.json()["asset"]
    assert (asset["asset_id"], asset["title"], asset["master"]["size_bytes"]) == (ASSET, "Ночь", str(2**53))
    assert (asset["package_id"], asset["state"], asset["stages"]) == ("", "ASSET_STATE_UNSPECIFIED", [])


async def test_a_body_by_rest_and_the_path_make_one_request(edge: Edge) -> None:
    body = {"request_id": "12345678", "asset": {"title": "New"}, "update_mask": "title"}
    answer = await edge.http.patch(f"/v1/assets/{ASSET}", json=body)
    assert (answer.status_code, answer.json()["asset"]["asset_id"], answer.json()["asset"]["title"]) == (
        200,
        ASSET,
        "New",
    )


async def test_a_body_that_contradicts_its_path_is_refused(edge: Edge) -> None:
    body = {"request_id": "12345678", "asset": {"asset_id": MISSING_ASSET, "title": "New"}, "update_mask": "title"}
    answer = await edge.http.patch(f"/v1/assets/{ASSET}", json=body)
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (400, "REQUEST_INVALID")


async def test_a_refusal_reaches_a_rest_caller_as_a_status(edge: Edge) -> None:
    answer = await edge.http.get(f"/v1/assets/{MISSING_ASSET}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json() == {
        "code": 5,
        "message": "no such asset",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ASSET_NOT_FOUND",
                "domain": "assets.reelmesh",
                "metadata": {"asset_id": MISSING_ASSET, "correlation_id": "0123456789abcdef"},
            }
        ],
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", f"/v1/assets/{ASSET}?colour=red", 400, "REQUEST_INVALID"),
        ("GET", "/v1/assets?page_size=many", 400, "REQUEST_INVALID"),
        ("GET", "/v1/nothing", 404, "ROUTE_UNKNOWN"),
        ("GET", f"/v1/assets/{ASSET}:burn", 404, "ROUTE_UNKNOWN"),
        ("POST", f"/v1/assets/{ASSET}", 404, "ROUTE_UNKNOWN"),
        ("GET", "/nothing", 404, "ROUTE_UNKNOWN"),
        ("POST", "/", 405, "ROUTE_UNKNOWN"),
    ],
)
async def test_what_the_contracts_do_not_know_is_refused_with_a_reason(
    edge: Edge, method: str, path: str, status: int, reason: str
) -> None:
    answer = await edge.http.request(method, path)
    info = answer.json()["details"][0]
    assert (answer.status_code, info["reason"], info["domain"]) == (status, reason, "rpc.reelmesh")
    assert info["metadata"]["correlation_id"] == answer.headers["x-correlation-id"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x`odd", b"1"),
        (b"x+odd", b"1"),
        (b"user-agent", "Öffner".encode()),
        (b"x-odd-bin", b"no base64"),
        (b"grpc-encoding", b"nonsense"),
        (b"grpc-accept-encoding", b"nonsense"),
    ],
)
async def test_a_header_that_grpc_cannot_take_hurts_nobody(edge: Edge, name: bytes, value: bytes) -> None:
    answer = await edge.http.get(f"/v1/assets/{ASSET}", headers=[(name, value)])
    assert answer.status_code == 200, answer.text


async def test_a_body_that_is_no_json_is_refused(edge: Edge) -> None:
    answer = await edge.http.post("/v1/uploads", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (400, "REQUEST_INVALID")


async def test_a_json_body_without_end_is_refused(edge: Edge) -> None:
    answer = await edge.http.post("/v1/uploads", json={"filename": "x" * 3_000_000})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (413, "REQUEST_TOO_LARGE")


async def test_a_stream_by_rest_is_server_sent_events_as_they_happen(edge: Edge) -> None:
    edge.parts.assets.go_on.clear()
    states = []
    async with edge.http.stream("GET", f"/v1/assets/{ASSET}:watch") as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        async for line in answer.aiter_lines():
            if line:
                assert line.startswith("data: ")
                states.append(json.loads(line.removeprefix("data: "))["asset"]["state"])
                edge.parts.assets.go_on.set()
    assert states == ["ASSET_STATE_PROCESSING", "ASSET_STATE_READY"]


async def test_a_stream_that_is_refused_at_once_is_a_refusal_like_any_other(edge: Edge) -> None:
    answer = await edge.http.get(f"/v1/assets/{MISSING_ASSET}:watch")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json()["details"][0]["reason"] == "ASSET_NOT_FOUND"


async def test_a_stream_that_is_refused_on_its_way_ends_with_an_event_that_says_why(edge: Edge) -> None:
    answer = await edge.http.get(f"/v1/assets/{LOST_ASSET}:watch")
    event, data, *rest = answer.text.split("\n")
    assert (answer.status_code, event, rest) == (200, "event: refusal", ["", ""])
    assert json.loads(data.removeprefix("data: "))["details"][0]["reason"] == "ASSET_NOT_FOUND"


async def test_a_service_that_is_away_is_named(edge: Edge) -> None:
    await edge.parts.stop("transcode")
    try:
        by_rest = await edge.http.get("/v1/transcode/jobs")
        assert (by_rest.status_code, by_rest.json()["code"]) == (503, 14)
        info, retry = by_rest.json()["details"]
        assert (info["reason"], info["metadata"]["dependency"]) == ("DEPENDENCY_UNAVAILABLE", "transcode")
        assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"}
    finally:
        await edge.parts.start("transcode")


async def test_a_call_waits_out_a_restart(edge: Edge) -> None:
    await edge.parts.stop("assets")
    tried = await edge.counted(FAILED)
    waiting = asyncio.create_task(edge.http.get(f"/v1/assets/{ASSET}"))
    # It is tried for about a second, so the restart must not take longer.
    while await edge.counted(FAILED) == tried:
        await asyncio.sleep(0)
    await edge.parts.start("assets")
    assert (await waiting).status_code == 200


async def test_a_service_that_goes_away_under_a_call_is_asked_again_if_the_call_may_be_repeated(edge: Edge) -> None:
    asked = len(edge.parts.assets.seen)
    waiting = asyncio.create_task(edge.http.get(f"/v1/assets/{SLOW_ASSET}", timeout=60))
    async with asyncio.timeout(60):
        while len(edge.parts.assets.seen) == asked:
            await asyncio.sleep(0.02)
        await edge.parts.stop("assets")
        await edge.parts.start("assets")
        while len(edge.parts.assets.seen) == asked + 1:
            await asyncio.sleep(0.02)
    waiting.cancel()


async def test_pages_of_a_friendly_origin_may_call(edge: Edge) -> None:
    asked = {
        "origin": FRIENDLY_ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-grpc-web",
    }
    preflight = await edge.http.options(GET_ASSET, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == FRIENDLY_ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    answer = await edge.http.get(f"/v1/assets/{ASSET}", headers={"origin": FRIENDLY_ORIGIN})
    assert answer.headers["access-control-allow-origin"] == FRIENDLY_ORIGIN
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]


async def test_pages_of_other_origins_may_not_call(edge: Edge) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in (await edge.http.options(GET_ASSET, headers=asked)).headers
    assert "access-control-allow-origin" not in (await edge.http.options("/files/", headers=asked)).headers


async def test_many_calls_at_once_are_all_answered(edge: Edge) -> None:
    answers = await asyncio.gather(*(edge.http.get(f"/v1/assets/{ASSET}") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
