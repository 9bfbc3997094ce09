"""The DRM service with the gateway for packagers in front of it, both real; the test is the packager and the admin."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import httpx
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from reelmesh.drm.v1 import key_server_service_pb2 as api
from reelmesh.drm.v1 import key_server_service_pb2_grpc, keys_service_pb2_grpc

from gateway.speke.__main__ import SpekeSettings
from gateway.speke.__main__ import wire as wire_gateway
from services.drm.__main__ import KEY_SERVER, KEYS, DrmSettings, wire
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.tls import client_context, host_name, read_identity
from tests.support.bus import Bus, on_the_bus
from tests.support.running import connected, running
from tests.support.stores import operator_key

if TYPE_CHECKING:
    KeysStub = keys_service_pb2_grpc.KeysServiceAsyncStub
    Stub = key_server_service_pb2_grpc.KeyServerServiceAsyncStub

XML = "application/xml"
SPEKE = "/speke/v2.0/copyProtection"


@dataclass(frozen=True)
class Signer:
    """A packager that CreatePackager made."""

    name: str
    key: bytes
    iv: bytes

    def message(self, request: bytes | Mapping[str, Any], *, padding: bytes = bytes([12]) * 12) -> dict[str, str]:
        """A request as Shaka Packager posts it."""
        said = request if isinstance(request, bytes) else json.dumps(request).encode()
        cipher = Cipher(algorithms.AES(self.key), modes.CBC(self.iv)).encryptor()
        signature = cipher.update(hashlib.sha1(said).digest() + padding)
        encoded = {"request": base64.b64encode(said).decode(), "signature": base64.b64encode(signature).decode()}
        return encoded | {"signer": self.name}


@dataclass(frozen=True)
class KeyServer:
    """Both running.

    Attributes:
        admin: calls with the operator's key.
        keys: as the admin, to rotate keys.
        http: a client of the gateway, which comes from Envoy.
    """

    settings: DrmSettings
    admin: Stub
    keys: KeysStub
    bus: Bus
    http: httpx.AsyncClient

    async def speke(self, document: bytes, *, key: str | None = None, **headers: str) -> httpx.Response:
        """An encryptor asks; header names with `_` for `-`."""
        sent = {
            "authorization": f"Bearer {operator_key(self.settings) if key is None else key}",
            "content-type": XML,
            "x-speke-version": "2.0",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(SPEKE, content=document, headers={n: v for n, v in sent.items() if v})

    async def packager(self, name: str = "a packager", certificate: bytes = b"") -> Signer:
        """Makes a packager."""
        made = await self.admin.CreatePackager(
            api.CreatePackagerRequest(request_id=new_id("req"), display_name=name, signing_certificate=certificate)
        )
        return Signer(made.packager.packager_id, made.signing_key, made.signing_iv)

    async def asks(self, message: Any) -> dict[str, Any]:
        """A packager posts something. Returns what it finds in the answer."""
        answer = await self.http.post("/cenc/getcontentkey", json=message)
        assert answer.status_code == 200
        found: dict[str, Any] = json.loads(base64.b64decode(answer.json()["response"]))
        return found

    async def sql(self, statement: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(
            host=self.settings.database_host, user="drm", database=self.settings.database_name
        )
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def a_gateway(mesh: ProcessSettings, **changed: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Runs the gateway alone, and yields a client that comes from Envoy; `changed` are settings that are not the default."""
    seen = read_identity(mesh.tls_folder("envoy"))
    socket = mesh.run_dir.resolve() / "speke.sock"
    async with (
        running("speke", SpekeSettings(**{**mesh.model_dump(), **changed}), wire_gateway),
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), verify=client_context(seen)),
            base_url=f"https://{host_name(seen.trust_domain, 'speke')}",
            timeout=30,
        ) as http,
    ):
        yield http


@contextlib.asynccontextmanager
async def a_key_server(mesh: ProcessSettings, **changed: Any) -> AsyncIterator[KeyServer]:
    """Runs both; `changed` are settings that are not the default."""
    settings = DrmSettings(**{**mesh.model_dump(), **changed})
    async with (
        running("drm", settings, wire),
        a_gateway(mesh) as http,
        connected(settings, "drm", KEY_SERVER, KEYS) as channel,
        on_the_bus(settings) as bus,
    ):
        keys: KeysStub = keys_service_pb2_grpc.KeysServiceStub(channel)
        yield KeyServer(settings, stub_of(channel), keys, bus, http)


def stub_of(channel: grpc.aio.Channel) -> Stub:
    """A stub of the service."""
    return key_server_service_pb2_grpc.KeyServerServiceStub(channel)
