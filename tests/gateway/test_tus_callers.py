"""Who may connect to a server behind uvicorn, for one that of tus: Envoy, by its certificate, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.kit.callers import callers_of
from services.kit.http_server import HttpServer
from services.kit.tls import client_context, host_name, read_identity
from tests.support.certificates import certificates_of, folder_of, made_in
from tools.reelmesh_cli.supervisor.certificates import LIFETIME, OVERLAP, replace_authority

NEARLY_OVER = -LIFETIME + timedelta(minutes=10)


@dataclass
class Gateway:
    """A server with the gateway's own certificate and list; it counts what reaches its application."""

    secrets: Path
    socket: Path
    requests: int = 0

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.requests += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def asked(self, caller: Path | None, *, meant: str = "upload") -> bytes:
        """First line of the answer to somebody with the certificate of a folder, or without TLS; empty when there is none."""
        context, name = None, None
        if caller is not None:
            domain = read_identity(folder_of("upload", self.secrets)).trust_domain
            context, name = client_context(read_identity(caller)), host_name(domain, meant)
        reader, writer = await asyncio.open_unix_connection(str(self.socket), ssl=context, server_hostname=name)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: tus\r\nconnection: close\r\n\r\n")
            return (await asyncio.wait_for(reader.readline(), 30)).strip()
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made_in(tmp_path, now=datetime.now(UTC) + NEARLY_OVER)
    running = Gateway(tmp_path, tmp_path / "tus.sock")
    server = HttpServer(running, certificates_of("upload", tmp_path), callers_of("upload.tus"))
    await server.start(f"unix:{running.socket}")
    yield running
    await server.drain(1)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    made_in(folder)
    return folder


async def test_envoy_is_answered(gateway: Gateway) -> None:
    assert await gateway.asked(folder_of("envoy", gateway.secrets)) == b"HTTP/1.1 204 No Content"


async def test_no_other_service_is(gateway: Gateway) -> None:
    for caller in ("stranger", "assets", "supervisor"):
        assert await gateway.asked(folder_of(caller, gateway.secrets)) == b""
    assert gateway.requests == 0


async def test_without_tls_nothing_comes(gateway: Gateway) -> None:
    assert await gateway.asked(None) == b""
    assert gateway.requests == 0


async def test_a_certificate_of_another_install_is_refused(gateway: Gateway, elsewhere: Path) -> None:
    mixed = elsewhere / "mixed"
    shutil.copytree(folder_of("envoy", elsewhere), mixed)
    # Whoever comes from there believes us, so that it is we who refuse.
    (mixed / "ca.crt").write_bytes((folder_of("envoy", gateway.secrets) / "ca.crt").read_bytes())
    assert await gateway.asked(mixed) == b""
    assert gateway.requests == 0


async def test_a_client_refuses_a_gateway_that_is_another_service(gateway: Gateway) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await gateway.asked(folder_of("envoy", gateway.secrets), meant="assets")


async def test_an_expired_certificate_is_refused(gateway: Gateway) -> None:
    expired = gateway.secrets / "expired"
    expired.mkdir()
    shutil.copytree(gateway.secrets / "authority", expired / "authority")
    made_in(expired, now=datetime.now(UTC) - LIFETIME - timedelta(minutes=1))
    assert await gateway.asked(folder_of("envoy", expired)) == b""
    assert gateway.requests == 0


async def test_renewed_certificates_are_taken_up(gateway: Gateway) -> None:
    envoy = folder_of("envoy", gateway.secrets)
    made_in(gateway.secrets)
    assert await gateway.asked(envoy) == b"HTTP/1.1 204 No Content"
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    shown.check_hostname, shown.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_unix_connection(str(gateway.socket), ssl=shown, server_hostname="upload")
    found = ssl.DER_cert_to_PEM_cert(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    writer.transport.abort()
    assert found.encode() == read_identity(folder_of("upload", gateway.secrets)).certificate


async def test_an_authority_that_is_replaced_is_believed_no_more(gateway: Gateway) -> None:
    envoy = folder_of("envoy", gateway.secrets)
    leaked = gateway.secrets / "leaked"
    now = datetime.now(UTC)
    replace_authority(gateway.secrets, now)
    made_in(gateway.secrets, now=now)
    shutil.copytree(envoy, leaked)
    assert await gateway.asked(leaked) == b"HTTP/1.1 204 No Content"
    for step in range(1, 4):
        made_in(gateway.secrets, now=now + OVERLAP * step)
        assert await gateway.asked(envoy) == b"HTTP/1.1 204 No Content"
    # It has the new authority in its bundle, and a certificate of the old one.
    assert await gateway.asked(leaked) == b""
