"""The one choke point through which every call goes, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
import sqlalchemy.exc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2, assets_service_pb2_grpc
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc

from services.kit import client, telemetry
from services.kit.access import ApiKeys, Authenticator, api_key_entry, declared_rules, new_api_key
from services.kit.callers import Callers
from services.kit.clock import SystemClock
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.server import Server, as_refusal, remaining_time
from services.kit.tls import channel_credentials, host_name, server_credentials
from services.kit.uncancelled import uncancelled
from tests.support.certificates import certificates_of, domain
from tests.support.trust import NOBODY

ASSETS = assets_service_pb2.DESCRIPTOR.services_by_name["AssetsService"]
DRM = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
Answer = Callable[[], Awaitable[str]]


class Assets(assets_service_pb2_grpc.AssetsServiceServicer):
    """Answers with a title that each test chooses."""

    def __init__(self) -> None:
        self.answer: Answer = self.correlation_id

    async def correlation_id(self) -> str:
        return telemetry.correlation_id()

    async def GetAsset(self, request: Any, context: Any) -> Any:
        return assets_service_pb2.GetAssetResponse(asset=assets_pb2.Asset(title=await self.answer()))

    async def WatchAsset(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield assets_service_pb2.WatchAssetResponse(asset=assets_pb2.Asset(title="first"))
        yield assets_service_pb2.WatchAssetResponse(asset=assets_pb2.Asset(title=await self.answer()))


class Hop(drm_service_pb2_grpc.DrmServiceServicer):
    """A service that calls the one behind it, and tells its caller what it heard by the label of a key."""

    def __init__(self, behind: grpc.aio.Channel) -> None:
        self._assets = assets_service_pb2_grpc.AssetsServiceStub(behind)

    async def CreateContentKeys(self, request: Any, context: Any) -> Any:
        answer = await self._assets.GetAsset(assets_service_pb2.GetAssetRequest(asset_id=new_id("ast")))
        return drm_service_pb2.CreateContentKeysResponse(keys=[{"label": answer.asset.title}])  # type: ignore[list-item]


@dataclass(frozen=True)
class Hops:
    """A service, one in front of it, and stubs of both."""

    servicer: Assets
    near: Any
    far: Any
    far_address: str
    packaging: Any
    credential: tuple[tuple[str, str], ...]

    async def get(self, **options: Any) -> Any:
        return await self.far.GetAsset(assets_service_pb2.GetAssetRequest(asset_id=new_id("ast")), **options)

    async def through(self, **options: Any) -> Any:
        request = drm_service_pb2.CreateContentKeysRequest(
            organisation_id=new_id("org"), package_id=new_id("pkg"), labels=["SD"]
        )
        return await self.packaging.CreateContentKeys(request, **options)


@pytest.fixture
async def hops(tmp_path: Path) -> AsyncIterator[Hops]:
    key = new_api_key()
    entries = [api_key_entry(key, key_id="k", name="operator", organisation_id="o", permissions=["*"])]
    # A service holds no permission by its certificate: the hop shows the operator's key in this test.
    (tmp_path / "api_keys.json").write_text(json.dumps(entries))
    authenticator = Authenticator(ApiKeys(tmp_path / "api_keys.json"), NOBODY, Proofs(SystemClock(), "http://edge"))
    async with contextlib.AsyncExitStack() as stack:

        async def served(contract: ServiceDescriptor, add: Callable[[grpc.aio.Server], None], name: str) -> str:
            server = Server(
                authenticator,
                declared_rules([contract]),
                service_names=[contract.full_name],
                certificates=certificates_of(name),
                callers=Callers(frozenset({"envoy", "near", "packaging"}), frozenset({"supervisor"})),
            )
            add(server.grpc)
            address = f"unix:{tmp_path}/{name}.sock"
            await server.start(address)
            stack.push_async_callback(server.drain, 0)
            return address

        async def connected(
            address: str, contract: ServiceDescriptor, name: str, caller: str, credential: client.Credential | None
        ) -> grpc.aio.Channel:
            channel = client.connected(address, [contract], certificates_of(caller), name, credential)
            stack.push_async_callback(channel.close, None)
            return channel

        servicer = Assets()
        far = await served(
            ASSETS, lambda s: assets_service_pb2_grpc.add_AssetsServiceServicer_to_server(servicer, s), "far"
        )
        behind = await connected(far, ASSETS, "far", "near", lambda: key)
        near = await served(
            DRM, lambda s: drm_service_pb2_grpc.add_DrmServiceServicer_to_server(Hop(behind), s), "near"
        )
        as_packaging = await connected(near, DRM, "near", "packaging", None)
        as_operator = await connected(near, DRM, "near", "envoy", lambda: key)
        yield Hops(
            servicer,
            drm_service_pb2_grpc.DrmServiceStub(as_operator),
            assets_service_pb2_grpc.AssetsServiceStub(behind),
            far,
            drm_service_pb2_grpc.DrmServiceStub(as_packaging),
            (("authorization", f"Bearer {key}"),),
        )


async def refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.from_rpc_error(caught.value)


async def test_a_refusal_keeps_its_type_across_two_services(hops: Hops) -> None:
    async def refuse() -> str:
        raise Refusal(
            grpc.StatusCode.NOT_FOUND,
            "ASSET_NOT_FOUND",
            "no such asset",
            domain="assets.reelmesh",
            metadata={"asset_id": "x"},
            retry_after=timedelta(seconds=2),
            fields=[("asset_id", "unknown")],
        )

    hops.servicer.answer = refuse
    refusal = await refused(hops.through(metadata=[("x-correlation-id", "from-the-edge")]))
    assert (refusal.code, refusal.reason, refusal.domain) == (
        grpc.StatusCode.NOT_FOUND,
        "ASSET_NOT_FOUND",
        "assets.reelmesh",
    )
    assert refusal.metadata == {"asset_id": "x", "correlation_id": "from-the-edge"}
    assert refusal.retry_after == timedelta(seconds=2)
    assert refusal.fields == (("asset_id", "unknown"),)


async def test_a_defect_tells_the_caller_nothing_but_a_correlation_id(hops: Hops) -> None:
    async def fail() -> str:
        raise RuntimeError("the secret is in here")

    hops.servicer.answer = fail
    refusal = await refused(hops.get())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refusal.message
    assert refusal.metadata["correlation_id"]


async def test_a_stream_that_fails_in_the_middle_ends_with_a_refusal(hops: Hops) -> None:
    async def fail() -> str:
        raise RuntimeError("boom")

    hops.servicer.answer = fail
    stream = hops.far.WatchAsset(assets_service_pb2.WatchAssetRequest(asset_id=new_id("ast")))
    assert (await stream.read()).asset.title == "first"
    assert (await refused(stream.read())).reason == "INTERNAL"


async def test_a_stream_whose_caller_goes_away_is_closed_without_complaint(
    hops: Hops, caplog: pytest.LogCaptureFixture
) -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    gc.collect()
    caplog.clear()  # of what others left behind
    hops.servicer.answer = never
    stream = hops.far.WatchAsset(assets_service_pb2.WatchAssetRequest(asset_id=new_id("ast")))
    assert (await stream.read()).asset.title == "first"
    stream.cancel()
    await asyncio.sleep(0.1)
    gc.collect()
    await asyncio.sleep(0.1)
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_one_correlation_id_goes_all_the_way_and_a_malformed_one_is_replaced(hops: Hops) -> None:
    answer = await hops.through(metadata=[("x-correlation-id", "from-the-edge")])
    assert answer.keys[0].label == "from-the-edge"
    replaced = (await hops.get(metadata=[("x-correlation-id", "x y/z")])).asset.title
    assert len(replaced) == 32


async def test_the_service_behind_is_given_less_time_than_the_one_in_front(hops: Hops) -> None:
    async def remaining() -> str:
        return str(remaining_time())

    hops.servicer.answer = remaining
    answer = await hops.through(timeout=60)
    assert 10 < float(answer.keys[0].label) < 59.95


async def test_a_call_that_is_too_slow_ends_at_its_deadline_with_a_reason(hops: Hops) -> None:
    async def slow() -> str:
        await asyncio.sleep(30)
        return ""

    hops.servicer.answer = slow
    refusal = await refused(hops.through(timeout=0.5))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_method_for_services_refuses_the_operator(hops: Hops) -> None:
    request = drm_service_pb2.CreateContentKeysRequest(
        organisation_id=new_id("org"), package_id=new_id("pkg"), labels=["SD"]
    )
    refusal = await refused(hops.near.CreateContentKeys(request))
    assert (refusal.code, refusal.metadata["callers"]) == (grpc.StatusCode.PERMISSION_DENIED, "packaging")


async def test_a_request_that_breaks_its_contract_never_reaches_the_handler(hops: Hops) -> None:
    async def never() -> str:
        raise AssertionError("the handler was called")

    hops.servicer.answer = never
    refusal = await refused(hops.far.GetAsset(assets_service_pb2.GetAssetRequest(asset_id="../../etc")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refusal.fields[0][0] == "asset_id"


async def test_a_refusal_that_says_too_much_still_arrives_whole(hops: Hops) -> None:
    """A status travels in headers, and peers refuse those beyond 8 KiB with words of their own."""

    async def refuse() -> str:
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_INVALID",
            "ж" * 100_000,
            domain="rpc.reelmesh",
            metadata={"field": "x" * 100_000, "other": "ж" * 1000},
            fields=[(f"names[{number}]" + "y" * 500, "ж" * 500) for number in range(5000)],
        )

    hops.servicer.answer = refuse
    refusal = await refused(hops.get())
    assert refusal.reason == "REQUEST_INVALID"
    assert refusal.message.startswith("жжж")
    assert refusal.message.endswith("…")
    assert refusal.metadata["correlation_id"]
    assert refusal.fields[0][0].startswith("names[0]")
    assert refusal.status().ByteSize() < 4096


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_bytes_that_are_no_request_are_refused_and_are_no_defect(hops: Hops, kind: str) -> None:
    method = "GetAsset" if kind == "unary_unary" else "WatchAsset"
    options = [("grpc.ssl_target_name_override", host_name(domain(), "far"))]
    credentials = channel_credentials(certificates_of("near").current())
    async with grpc.aio.secure_channel(hops.far_address, credentials, options=options) as channel:
        for unreadable in (b"\0", b"\x0a\x02\xed\xa0"):
            call: Any = getattr(channel, kind)(f"/{ASSETS.full_name}/{method}")(unreadable, metadata=hops.credential)
            refusal = await refused(call if kind == "unary_unary" else call.read())
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
            assert refusal.metadata["correlation_id"]


async def test_health_needs_no_credential_and_reflection_does(hops: Hops) -> None:
    options = [("grpc.ssl_target_name_override", host_name(domain(), "far"))]
    credentials = channel_credentials(certificates_of("envoy").current())
    async with grpc.aio.secure_channel(hops.far_address, credentials, options=options) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=ASSETS.full_name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", None, None)
        call = reflect(iter([b""]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_repeatable_call_waits_for_a_server_that_is_not_there_yet(hops: Hops, tmp_path: Path) -> None:
    servicer, address = Assets(), f"unix:{tmp_path}/late.sock"
    channel = client.connected(address, [ASSETS], certificates_of("near"), "far")
    stub: Any = assets_service_pb2_grpc.AssetsServiceStub(channel)
    asking = asyncio.ensure_future(stub.ListAssets(assets_service_pb2.ListAssetsRequest(), timeout=30))
    await asyncio.sleep(0.25)
    server = grpc.aio.server()
    assets_service_pb2_grpc.add_AssetsServiceServicer_to_server(servicer, server)
    server.add_secure_port(address, server_credentials(certificates_of("far")))
    await server.start()
    # It was reached in the end: the generated servicer says that it has no such method, which only a server can say.
    assert (await refused(asking)).code == grpc.StatusCode.UNIMPLEMENTED
    await channel.close(None)
    await server.stop(None)


@pytest.mark.parametrize(
    "line",
    [
        "authorization: Bearer rmk_abcdefghijklmnopqrstuvwxyz",
        "/p/eyJhbGciOiJFUzI1NiJ9.eyJzaWQiOiJ4In0.c2lnbmF0dXJl/pkg_1/video",
        "watch#code=otc_abcdefghijklmnop",
    ],
)
def test_whatever_looks_like_a_credential_is_masked(line: str) -> None:
    assert telemetry.masked(line).count("[masked]") == 1
    assert "abcdefghij" not in telemetry.masked(line)
    assert "eyJ" not in telemetry.masked(line)


@pytest.mark.parametrize(
    "driver",
    [asyncpg.CannotConnectNowError("starting up"), asyncpg.ConnectionDoesNotExistError("closed"), OSError("gone")],
)
def test_a_database_that_went_away_is_no_defect_however_it_is_wrapped(driver: Exception) -> None:
    try:
        try:
            raise driver
        except Exception as error:
            raise RuntimeError("the adapter's own") from error
    except RuntimeError as adapted:
        wrapped = sqlalchemy.exc.DBAPIError("SELECT 1", None, adapted)
        wrapped.__cause__ = adapted
    refusal = as_refusal(wrapped)
    assert refusal is not None
    assert (refusal.code, refusal.metadata) == (grpc.StatusCode.UNAVAILABLE, {"dependency": "the database"})


async def test_uncancelled_work_ends_before_the_cancellation_is_passed_on() -> None:
    ended = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.append(True)

    task = asyncio.create_task(uncancelled(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
