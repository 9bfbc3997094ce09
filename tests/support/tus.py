"""The upload service's door for tus, and a client of it that can also misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from services.kit.clock import Clock
from services.kit.settings import ProcessSettings
from services.kit.tls import client_context, host_name, read_identity
from services.upload.__main__ import CONTRACT, TUS_SERVER, UploadSettings
from services.upload.__main__ import wire as wire_upload
from tests.support import streams
from tests.support.running import connected, running
from tests.support.stores import operator_key

MIB = 1024 * 1024
LIMIT_BYTES = 64 * MIB
BODY_TYPE = "application/offset+octet-stream"
Stub: TypeAlias = "upload_service_pb2_grpc.UploadServiceAsyncStub"


@dataclass(frozen=True)
class TusClient:
    """Speaks tus to the service's socket, as Envoy; `uploads` looks at the same uploads from the other side."""

    http: httpx.AsyncClient
    uploads: Stub
    settings: ProcessSettings
    socket: Path
    key: str

    def fields(self, **more: str) -> dict[str, str]:
        """Headers of a well-formed request; more by name, with `_` for `-`."""
        fields = {"tus-resumable": "1.0.0", "authorization": f"Bearer {self.key}"}
        return {**fields, **{name.replace("_", "-"): value for name, value in more.items()}}

    async def create(self, size: int, body: bytes | None = None, **more: str) -> httpx.Response:
        """POST."""
        fields = self.fields(upload_length=str(size), **more)
        if body is not None:
            fields["content-type"] = BODY_TYPE
        return await self.http.post("/files/", headers=fields, content=body)

    async def created(self, size: int, **more: str) -> str:
        """Path of a new upload."""
        answer = await self.create(size, None, **more)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    async def append(self, path: str, offset: int, body: bytes | AsyncIterator[bytes], **more: str) -> httpx.Response:
        """PATCH."""
        return await self.http.patch(
            path, headers=self.fields(upload_offset=str(offset), content_type=BODY_TYPE, **more), content=body
        )

    async def head(self, path: str) -> httpx.Response:
        """HEAD."""
        return await self.http.head(path, headers=self.fields())

    async def offset(self, path: str) -> int:
        """Where to go on, as HEAD tells it."""
        answer = await self.head(path)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["upload-offset"])

    async def upload(self, path: str) -> upload_pb2.Upload:
        """The upload as the service has it."""
        request = upload_service_pb2.GetUploadRequest(upload_id=path.rpartition("/")[2])
        return (await self.uploads.GetUpload(request)).upload

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of one's own."""
        identity = read_identity(self.settings.tls_folder("envoy"))
        return await streams.unix(self.socket, client_context(identity), host_name(identity.trust_domain, "upload"))

    async def begin(
        self, path: str, offset: int, length: int, body: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A PATCH that announces `length` bytes and has sent `body` so far."""
        reader, writer = await self.connected()
        fields = self.fields(host="edge", upload_offset=str(offset), content_type=BODY_TYPE, content_length=str(length))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        await writer.drain()
        return reader, writer

    @property
    def staged(self) -> list[str]:
        """Names of the files that lie in staging."""
        return [path.name for path in (self.settings.data_dir / "objects/staging").iterdir()]

    async def written(self, path: str, least: int) -> None:
        """Waits until so much of an upload lies on the disk, counted or not."""
        staged = self.settings.data_dir / "objects/staging" / path.rpartition("/")[2]
        async with asyncio.timeout(60):
            while not staged.exists() or staged.stat().st_size < least:
                await asyncio.sleep(0.02)

    def master(self, sha256: str) -> bytes:
        """Content of a master."""
        return (self.settings.data_dir / "objects/masters" / sha256).read_bytes()


def metadata(**pairs: str) -> str:
    """An Upload-Metadata header."""
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items())


def as_envoy(mesh: ProcessSettings, socket: Path, service: str = "upload") -> httpx.AsyncClient:
    """HTTP to a server that is not gRPC's, with Envoy's certificate."""
    identity = read_identity(mesh.tls_folder("envoy"))
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=client_context(identity))
    return httpx.AsyncClient(
        transport=transport, base_url=f"https://{host_name(identity.trust_domain, service)}", timeout=60
    )


@contextlib.asynccontextmanager
async def upload_service(
    mesh: ProcessSettings, clock: Clock | None = None, **more: object
) -> AsyncIterator[UploadSettings]:
    """The upload service with small limits, and more settings by name."""
    small = {"upload_limit_bytes": LIMIT_BYTES, "upload_checkpoint_bytes": MIB, "drain_timeout": 5}
    settings = UploadSettings(**{**mesh.model_dump(), **small, **more})
    async with running("upload", settings, wire_upload, clock=clock):
        yield settings


@contextlib.asynccontextmanager
async def tus_client(mesh: ProcessSettings) -> AsyncIterator[TusClient]:
    """A client of an upload service that runs."""
    socket = mesh.run_dir.resolve() / f"{TUS_SERVER}.sock"
    async with connected(mesh, "upload", CONTRACT) as channel, as_envoy(mesh, socket) as http:
        yield TusClient(http, upload_service_pb2_grpc.UploadServiceStub(channel), mesh, socket, operator_key(mesh))
