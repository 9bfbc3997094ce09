"""Who gets anything from a server, by the certificate of the connection; and that certificates change without anybody noticing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2, assets_service_pb2_grpc
from reelmesh.drm.v1 import drm_service_pb2, drm_service_pb2_grpc

from services.kit import client
from services.kit.access import ApiKeys, Authenticator, Principal, api_key_entry, declared_rules, new_api_key
from services.kit.callers import Callers
from services.kit.clock import SystemClock
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.server import Server, current_call
from services.kit.tls import Certificates, UnusableCertificate, channel_credentials, read_identity
from tests.support.certificates import certificates_of, folder_of, made_in
from tests.support.trust import NOBODY
from tools.reelmesh_cli.supervisor.certificates import LIFETIME, OVERLAP, replace_authority

ASSETS = assets_service_pb2.DESCRIPTOR.services_by_name["AssetsService"]
DRM = drm_service_pb2.DESCRIPTOR.services_by_name["DrmService"]
CALLERS = Callers(frozenset({"envoy", "packaging"}), frozenset({"supervisor"}))


@dataclass
class Far(assets_service_pb2_grpc.AssetsServiceServicer, drm_service_pb2_grpc.DrmServiceServicer):
    """Remembers the certificates and the principals that reached a handler."""

    shown: list[bytes] = field(default_factory=list)
    principals: list[Principal | None] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def ListAssets(self, request: Any, context: Any) -> Any:
        self._remember(context)
        return assets_service_pb2.ListAssetsResponse()

    async def WatchAsset(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._remember(context)
        yield assets_service_pb2.WatchAssetResponse(asset=assets_pb2.Asset(title="first"))
        await self.go_on.wait()
        yield assets_service_pb2.WatchAssetResponse(asset=assets_pb2.Asset(title="last"))

    async def CreateContentKeys(self, request: Any, context: Any) -> Any:
        self._remember(context)
        return drm_service_pb2.CreateContentKeysResponse()

    def _remember(self, context: Any) -> None:
        self.shown += context.auth_context()["x509_pem_cert"]
        self.principals.append(current_call().principal)


@dataclass(frozen=True)
class Install:
    """A server called `far`, and those who call it, with certificates that the test may change."""

    secrets: Path
    far: Far
    address: str
    key: str

    @contextlib.asynccontextmanager
    async def calling(
        self, caller: str, *, shown: Certificates | None = None, meant: str = "far", key: str = ""
    ) -> AsyncIterator[grpc.aio.Channel]:
        certificates = shown or certificates_of(caller, self.secrets)
        credential = (lambda: key) if key else None
        async with client.connected(self.address, [ASSETS], certificates, meant, credential) as channel:
            yield channel

    def renew(self, later: timedelta = timedelta()) -> None:
        made_in(self.secrets, now=datetime.now(UTC) + later)


@pytest.fixture
async def install(tmp_path: Path) -> AsyncIterator[Install]:
    # Nearly over, so that there is something to renew.
    made_in(tmp_path, now=datetime.now(UTC) - LIFETIME + timedelta(minutes=10))
    key = new_api_key()
    entries = [api_key_entry(key, key_id="k", name="service/packaging", organisation_id="o", permissions=["*"])]
    (tmp_path / "api_keys.json").write_text(json.dumps(entries))
    server = Server(
        Authenticator(ApiKeys(tmp_path / "api_keys.json"), NOBODY, Proofs(SystemClock(), "http://edge")),
        declared_rules([ASSETS, DRM]),
        service_names=[ASSETS.full_name],
        certificates=certificates_of("far", tmp_path),
        callers=CALLERS,
    )
    far, address = Far(), f"unix:{tmp_path}/far.sock"
    assets_service_pb2_grpc.add_AssetsServiceServicer_to_server(far, server.grpc)
    drm_service_pb2_grpc.add_DrmServiceServicer_to_server(far, server.grpc)
    await server.start(address)
    yield Install(tmp_path, far, address, key)
    await server.drain(0)


async def listed(channel: grpc.aio.Channel, **options: Any) -> None:
    stub: Any = assets_service_pb2_grpc.AssetsServiceStub(channel)
    await stub.ListAssets(assets_service_pb2.ListAssetsRequest(), **{"timeout": 30, **options})


async def made_keys(channel: grpc.aio.Channel, **options: Any) -> None:
    stub: Any = drm_service_pb2_grpc.DrmServiceStub(channel)
    request = drm_service_pb2.CreateContentKeysRequest(
        organisation_id=new_id("org"), package_id=new_id("pkg"), labels=["SD"]
    )
    await stub.CreateContentKeys(request, timeout=30, **options)


async def health(channel: grpc.aio.Channel, timeout: float = 30) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
    return int(answer.status)


async def other_calls(channel: grpc.aio.Channel) -> list[grpc.StatusCode]:
    """How calls end that need no message that anybody understands."""
    codes = []
    for method in (
        "/reelmesh.assets.v1.AssetsService/ListAssets",
        "/reelmesh.assets.v1.AssetsService/WatchAsset",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/List",
        "/there.is.no.such/Method",
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_stream(method, None, None)(b"", timeout=30).read()
        codes.append(caught.value.code())
    return codes


async def unreachable(channel: grpc.aio.Channel) -> None:
    """No call gets further than the handshake."""
    for attempt in (listed(channel, timeout=1), health(channel, timeout=5)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await attempt
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_a_service_that_is_not_listed_gets_nothing(install: Install) -> None:
    async with install.calling("stranger", key=install.key) as channel:
        assert set(await other_calls(channel)) == {grpc.StatusCode.PERMISSION_DENIED}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel)
        refusal = Refusal.from_rpc_error(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING")
    assert install.far.shown == []


async def test_one_that_is_listed_for_health_gets_no_more_than_that(install: Install) -> None:
    async with install.calling("supervisor", key=install.key) as channel:
        assert await health(channel) == health_pb2.HealthCheckResponse.SERVING
        *refused, listing, unknown = await other_calls(channel)
        assert {*refused, unknown} == {grpc.StatusCode.PERMISSION_DENIED}
        assert listing != grpc.StatusCode.PERMISSION_DENIED
    assert install.far.shown == []


async def test_a_certificate_of_another_install_is_refused(install: Install, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made_in(elsewhere)
    async with install.calling("", shown=certificates_of("envoy", elsewhere), key=install.key) as channel:
        await unreachable(channel)


async def test_nor_does_believing_another_installs_authority_make_its_services_known(
    install: Install, tmp_path: Path
) -> None:
    """Names are good in their own trust domain only, should two installs ever believe each other's authorities."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made_in(elsewhere)
    foreign, own = folder_of("envoy", elsewhere), folder_of("far", install.secrets)
    both = (own / "ca.crt").read_bytes() + (foreign / "ca.crt").read_bytes()
    (own / "ca.crt").write_bytes(both)
    theirs = read_identity(foreign)
    credentials = grpc.ssl_channel_credentials(both, theirs.key, theirs.certificate)
    options = [("grpc.ssl_target_name_override", f"far.{read_identity(own).trust_domain}")]
    async with grpc.aio.secure_channel(install.address, credentials, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel)
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_certificate_or_without_tls_nothing_comes(install: Install) -> None:
    identity = read_identity(folder_of("envoy", install.secrets))
    options = [("grpc.ssl_target_name_override", f"far.{identity.trust_domain}")]
    anonymous = grpc.ssl_channel_credentials(identity.trust)
    async with grpc.aio.secure_channel(install.address, anonymous, options=options) as channel:
        await unreachable(channel)
    async with grpc.aio.insecure_channel(install.address) as channel:
        await unreachable(channel)


async def test_an_expired_certificate_is_refused_on_either_side(tmp_path: Path, install: Install) -> None:
    expired = tmp_path / "expired"
    expired.mkdir()
    shutil.copytree(install.secrets / "authority", expired / "authority")
    made_in(expired, now=datetime.now(UTC) - LIFETIME - timedelta(minutes=1))
    async with install.calling("", shown=certificates_of("envoy", expired), key=install.key) as channel:
        await unreachable(channel)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health_pb2_grpc.HealthServicer(), server)
    identity = read_identity(folder_of("far", expired))
    server.add_secure_port(
        f"unix:{expired}/far.sock",
        grpc.ssl_server_credentials([(identity.key, identity.certificate)], identity.trust, True),
    )
    await server.start()
    async with client.connected(f"unix:{expired}/far.sock", [], certificates_of("envoy", install.secrets), "far") as to:
        await unreachable(to)
    await server.stop(None)


async def test_a_client_refuses_a_server_that_is_another_service(install: Install) -> None:
    async with install.calling("envoy", meant="near", key=install.key) as channel:
        await unreachable(channel)
    async with install.calling("envoy", key=install.key) as channel:
        await listed(channel)


async def test_methods_for_services_go_by_the_certificate_whatever_the_metadata_say(install: Install) -> None:
    """Nor by the name of an API key, which people choose."""
    claims = [("authorization", "Bearer x"), ("x-spiffe-id", "spiffe://x/service/packaging"), ("service", "packaging")]
    async with install.calling("envoy", key=install.key) as channel:
        for metadata in ([], claims):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await made_keys(channel, metadata=metadata)
            refusal = Refusal.from_rpc_error(caught.value)
            assert (refusal.reason, refusal.metadata["callers"]) == ("PERMISSION_MISSING", "packaging")
    async with install.calling("packaging") as channel:
        await made_keys(channel)
        await made_keys(channel, metadata=claims)
    assert install.far.principals == [Principal("service/packaging")] * 2


async def test_methods_for_people_go_by_the_credential_whoever_hands_it_on(install: Install) -> None:
    async with install.calling("packaging") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(channel)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    async with install.calling("packaging", key=install.key) as channel:
        await listed(channel)


@contextlib.asynccontextmanager
async def under_load(channel: grpc.aio.Channel) -> AsyncIterator[list[int]]:
    """Calls one after the other, on three lanes; none may fail. Yields how many there were so far, in one item."""
    count, stop = [0], asyncio.Event()

    async def lane() -> None:
        while not stop.is_set():
            await listed(channel)
            count[0] += 1

    lanes = [asyncio.create_task(lane()) for _ in range(3)]
    try:
        yield count
    finally:
        stop.set()
        await asyncio.gather(*lanes)


async def more_calls(count: list[int], many: int = 30) -> None:
    until = count[0] + many
    async with asyncio.timeout(60):
        while count[0] < until:
            await asyncio.sleep(0.01)


async def test_certificates_are_renewed_without_a_failed_call(install: Install) -> None:
    async with (
        install.calling("envoy", key=install.key) as channel,
        install.calling("envoy", key=install.key) as other,
        under_load(channel) as count,
    ):
        stub: Any = assets_service_pb2_grpc.AssetsServiceStub(other)
        watching = stub.WatchAsset(assets_service_pb2.WatchAssetRequest(asset_id=new_id("ast")))
        assert (await watching.read()).asset.title == "first"
        for later in (-LIFETIME / 2 + timedelta(minutes=10), timedelta(minutes=10)):
            await more_calls(count)
            install.renew(later)
            renewed = read_identity(folder_of("envoy", install.secrets)).certificate
            await more_calls(count)
            assert install.far.shown[-1] == renewed
            await listed(other)
        # What is under way goes on over the connection on which it began.
        install.far.go_on.set()
        assert (await watching.read()).asset.title == "last"
    assert len(set(install.far.shown)) == 3


async def test_an_authority_is_replaced_without_a_failed_call(install: Install) -> None:
    identity = read_identity(folder_of("envoy", install.secrets))
    leaked = install.secrets / "leaked"
    shutil.copytree(folder_of("envoy", install.secrets), leaked, symlinks=True)
    async with install.calling("envoy", key=install.key) as channel, under_load(channel) as count:
        await more_calls(count)
        replace_authority(install.secrets, datetime.now(UTC))
        for step in range(4):
            install.renew(OVERLAP * step)
            await more_calls(count)
    now = read_identity(folder_of("envoy", install.secrets))
    assert now.trust != identity.trust
    assert identity.trust not in now.trust
    assert install.far.shown[-1] == now.certificate
    async with install.calling("", shown=Certificates(leaked), key=install.key) as channel:
        await unreachable(channel)


async def test_a_key_beside_anothers_certificate_is_not_taken_up(install: Install) -> None:
    """Somebody copies three files one after the other: until the last one is there, what was good goes on."""
    plain = install.secrets / "plain"
    shutil.copytree(folder_of("envoy", install.secrets), plain)
    certificates = Certificates(plain, look_seconds=0)
    before = certificates.current()
    install.renew()
    fresh = read_identity(folder_of("envoy", install.secrets))
    (plain / "tls.crt").write_bytes(fresh.certificate)
    assert certificates.current() is before
    (plain / "tls.key").write_bytes(fresh.key)
    assert certificates.current().certificate == fresh.certificate


def test_a_service_does_not_start_without_a_certificate_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UnusableCertificate, match=r"tls\.crt"):
        Certificates(tmp_path)


def test_a_key_is_not_shown_by_accident() -> None:
    identity = certificates_of("envoy").current()
    assert identity.key.decode().splitlines()[1] not in repr(identity)
    assert channel_credentials(identity) is not None
