"""A real Envoy in front of the parts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import grpc
import httpx
import psutil
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from reelmesh.assets.v1 import assets_service_pb2_grpc
from reelmesh.drm.v1 import drm_service_pb2_grpc, fairplay_service_pb2_grpc, licences_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2_grpc
from reelmesh.upload.v1 import upload_service_pb2_grpc

from services.drm.licences.players import LARGEST
from services.kit.plain_http import Handler, PlainHttpServer
from services.kit.tls import server_context, server_credentials
from tests.envoy import parts
from tests.support import certificates, streams
from tests.support.ports import free_port
from tools.envoy_config import EdgeSettings, command, render, write_certificate_sources

SERVICES = (
    "identity",
    "upload",
    "assets",
    "transcode",
    "packaging",
    "drm",
    "payments",
    "policy",
    "compliance",
    "protection",
)
FRIENDLY_ORIGIN = "https://studio.example"
# Buffers and windows of one stream in both directions, and what the allocator keeps around, in bytes.
MEMORY_OF_ONE_STREAM = 24 * 1024 * 1024


@dataclass
class Parts:
    """What stands behind the edge, on unix sockets in one folder, with certificates of the install whose secrets these are."""

    folder: Path
    secrets: Path
    assets: parts.Assets = field(default_factory=parts.Assets)
    uploads: parts.Uploads = field(default_factory=parts.Uploads)
    authoriser: parts.Authoriser = field(default_factory=parts.Authoriser)
    tus: parts.Tus = field(default_factory=parts.Tus)
    oauth: parts.Tus = field(default_factory=parts.Tus)
    speke: parts.Tus = field(default_factory=parts.Tus)
    webhooks: parts.Tus = field(default_factory=parts.Tus)
    servers: dict[str, grpc.aio.Server] = field(default_factory=dict)
    licences: parts.Licences = field(default_factory=parts.Licences)
    plain: dict[str, PlainHttpServer] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        """Starts one gRPC service."""
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        health_servicer = health.aio.HealthServicer()  # type: ignore[attr-defined] # missing from its stubs
        await health_servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        if name == "assets":
            assets_service_pb2_grpc.add_AssetsServiceServicer_to_server(self.assets, server)
        elif name == "upload":
            upload_service_pb2_grpc.add_UploadServiceServicer_to_server(self.uploads, server)
        elif name == "drm":
            drm_service_pb2_grpc.add_DrmServiceServicer_to_server(parts.Drm(), server)
            fairplay_service_pb2_grpc.add_FairPlayServiceServicer_to_server(parts.FairPlay(), server)
            licences_service_pb2_grpc.add_LicencesServiceServicer_to_server(parts.LicencesByGrpc(), server)
            await self._plainly("drm", "drm.licences", self.licences.answer, body_bytes=LARGEST)
        elif name == "policy":
            policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(parts.Policy(), server)
            await self._plainly("policy", "policy.authorizer", self.authoriser.answer)
        shown = server_credentials(certificates.certificates_of(name, self.secrets))
        server.add_secure_port(f"unix:{self.folder}/{name}.sock", shown)
        await server.start()
        self.servers[name] = server

    async def stop(self, name: str) -> None:
        """Stops one gRPC service at once."""
        await self.servers.pop(name).stop(None)
        if name in self.plain:
            await self.plain.pop(name).drain(0)

    async def _plainly(self, name: str, server: str, handler: Handler, *, body_bytes: int = 0) -> None:
        shown = certificates.certificates_of(name, self.secrets)
        self.plain[name] = PlainHttpServer(handler, shown, self.authoriser, body_bytes=body_bytes)
        await self.plain[name].start(f"unix:{self.folder}/{server}.sock")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of them, for the length of the block."""
        gateways = []
        for name, app in (
            ("upload.tus", self.tus),
            ("oauth", self.oauth),
            ("speke", self.speke),
            ("webhooks", self.webhooks),
        ):
            config = uvicorn.Config(app, uds=f"{self.folder}/{name}.sock", log_config=None, lifespan="off", ws="none")
            config.load()
            config.ssl = server_context(certificates.certificates_of(name.partition(".")[0], self.secrets))
            gateways.append(uvicorn.Server(config))
        # `serve` would take the signal handlers of the test process over.
        serving = [asyncio.create_task(gateway._serve()) for gateway in gateways]
        for name in SERVICES:
            await self.start(name)
        try:
            yield
        finally:
            for name in list(self.servers):
                await self.stop(name)
            for gateway in gateways:
                gateway.should_exit = True
            await asyncio.gather(*serving)


@dataclass
class Edge:
    """A running Envoy.

    Attributes:
        address: `host:port` for people.
        process: Envoy itself.
        access_log: its file.
        parts: what stands behind it.
        http: a client with its address as base.
    """

    address: str
    process: psutil.Process
    settings: EdgeSettings
    parts: Parts
    http: httpx.AsyncClient

    def channel(self) -> grpc.aio.Channel:
        """A gRPC channel to it."""
        return grpc.aio.insecure_channel(self.address)

    async def log(self, correlation_id: str) -> dict[str, Any]:
        """The line of the access log about one request. Envoy writes it within a second or so."""
        return (await self.lines("correlation_id", correlation_id))[-1]

    async def lines(self, name: str, value: str) -> list[dict[str, Any]]:
        """The lines of the access log with a field of this value, once there are any."""
        async with asyncio.timeout(30):
            while True:
                written = Path(self.settings.access_log).read_text(encoding="utf-8")
                # The last line may not be written to its end yet.
                entries: list[dict[str, Any]] = [json.loads(line) for line in written.split("\n")[:-1]]
                if found := [entry for entry in entries if entry.get(name) == value]:
                    return found
                await asyncio.sleep(0.05)

    async def counted(self, name: str) -> int:
        """Sum of Envoy's own counters whose names match a regular expression."""
        transport = httpx.AsyncHTTPTransport(uds=self.settings.admin.removeprefix("unix:"))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin", timeout=30) as admin:
            stats = (await admin.get("/stats", params={"filter": name})).text
        return sum(int(line.rpartition(" ")[2]) for line in stats.splitlines())

    async def raw(self, request: bytes) -> bytes:
        """Sends bytes as they are, and returns all that comes until the connection closes, or nothing comes for some seconds after the first of it."""
        reader, writer = await streams.tcp(self.address)
        writer.write(request)
        answer = b""
        with contextlib.suppress(asyncio.TimeoutError):
            # All of it may take its time on a busy machine.
            while part := await asyncio.wait_for(reader.read(65536), 5.0 if answer else 30.0):
                answer += part
                if b"content-length: " in answer and len(answer.partition(b"\r\n\r\n")[2]) >= int(
                    answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                ):
                    break
        writer.close()
        return answer


class Growth:
    """The most memory that Envoy took during a block beyond what it had at its start."""

    def __init__(self, edge: Edge) -> None:
        self._process = edge.process
        self.bytes = 0

    async def __aenter__(self) -> Self:
        self._before = self._process.memory_info().rss
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)
            await asyncio.sleep(0.01)


def settings_in(folder: Path, port: int, secrets: Path | None = None) -> EdgeSettings:
    """Settings of an edge whose everything lies in one folder, but for the install's secrets, which may lie elsewhere."""
    return EdgeSettings(
        identity=f"unix:{folder}/identity.sock",
        upload=f"unix:{folder}/upload.sock",
        assets=f"unix:{folder}/assets.sock",
        transcode=f"unix:{folder}/transcode.sock",
        packaging=f"unix:{folder}/packaging.sock",
        drm=f"unix:{folder}/drm.sock",
        payments=f"unix:{folder}/payments.sock",
        policy=f"unix:{folder}/policy.sock",
        authorizer=f"unix:{folder}/policy.authorizer.sock",
        licences=f"unix:{folder}/drm.licences.sock",
        compliance=f"unix:{folder}/compliance.sock",
        protection=f"unix:{folder}/protection.sock",
        limits=f"unix:{folder}/limits.sock",
        # A busy machine must not make requests be judged by other rules.
        limits_patience=20,
        authorizer_patience=20,
        connect_patience=20,
        tus=f"unix:{folder}/upload.tus.sock",
        oauth=f"unix:{folder}/oauth.sock",
        speke=f"unix:{folder}/speke.sock",
        webhooks=f"unix:{folder}/webhooks.sock",
        objects=folder / "objects",
        web=folder / "web",
        tls=certificates.folder_of("envoy", secrets or folder),
        trust_domain=certificates.domain(secrets or folder),
        certificate_sources=folder / "envoy-certificate",
        admin=f"unix:{folder}/admin.sock",
        listen=f"127.0.0.1:{port}",
        access_log=str(folder / "access.log"),
        allowed_origins=(FRIENDLY_ORIGIN,),
        workers=1,
    )


@contextlib.asynccontextmanager
async def running_edge(secrets: Path | None = None, **changes: Any) -> AsyncIterator[Edge]:
    """An edge with all its parts, in a folder of its own; `changes` are settings. It belongs to the install whose secrets are given, or
    to one of its own.

    It has no warm lane unless told otherwise: the parts have no control plane, and it would wait for one.
    """
    folder = Path(tempfile.mkdtemp(prefix="edge-"))
    if secrets is None:
        certificates.made_in(folder)
    if "policy" in changes:  # asked where it is, unless it is said otherwise
        changes = {"authorizer": changes["policy"].replace("/policy.sock", "/policy.authorizer.sock")} | changes
    if "drm" in changes:
        changes = {"licences": changes["drm"].replace("/drm.sock", "/drm.licences.sock")} | changes
    settings = replace(settings_in(folder, free_port(), secrets), **({"strict": True} | changes))
    write_certificate_sources(settings)
    config = folder / "envoy.yaml"
    config.write_text(render(settings))
    backend = Parts(folder, secrets or folder)
    try:
        async with (
            backend.running(),
            _envoy(config, settings) as process,
            httpx.AsyncClient(base_url=f"http://{settings.listen}", timeout=30) as http,
        ):
            edge = Edge(settings.listen, process, settings, backend, http)
            await until_ready(edge)
            yield edge
    finally:
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def _envoy(config: Path, settings: EdgeSettings) -> AsyncIterator[psutil.Process]:
    with (config.parent / "envoy.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(*command(config, settings), stdout=log, stderr=log)
    try:
        yield psutil.Process(child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def until_ready(edge: Edge) -> None:
    """Waits until all health checks passed."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with contextlib.suppress(httpx.TransportError):
            if (await edge.http.get("/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.05)
    raise AssertionError((edge.parts.folder / "envoy.log").read_text())
