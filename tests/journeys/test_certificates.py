"""The services of a whole mesh towards each other: who shows no certificate, or a wrong one, gets nothing; renewals go unnoticed."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kit import client
from services.kit.callers import everyone, listed
from services.kit.tls import Certificates, read_identity
from tests.support.certificates import certificates_of
from tests.support.mesh import Mesh
from tools.reelmesh_cli.supervisor.certificates import certificate_folder, renew
from tools.reelmesh_cli.supervisor.mesh import RENEW_EVERY_SECONDS

GRPC_SERVERS = sorted(set(listed()) - {"oauth", "speke", "webhooks", "policy.authorizer", "drm.licences", "upload.tus"})


def socket_of(mesh: Mesh, service: str) -> Path:
    return mesh.installation.layout.socket_of(service)


def shown_by(mesh: Mesh, service: str) -> Certificates:
    return Certificates(certificate_folder(mesh.installation.layout.secrets, service))


async def asked_for_health(mesh: Mesh, server: str, certificates: Certificates) -> grpc.StatusCode:
    """How the question whether a server serves ends."""
    async with client.connected(f"unix:{socket_of(mesh, server)}", [], certificates, server) as channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        except grpc.aio.AioRpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("server", sorted(listed()))
def test_plain_text_gets_nothing_from_any_service(whole_mesh: Mesh, server: str) -> None:
    for spoken in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(socket_of(whole_mesh, server)))
            heard = b""
            try:
                connection.sendall(spoken)
                while part := connection.recv(4096):
                    heard += part
            except ConnectionError:
                pass
        # At most an alert of TLS (RFC 8446 §6): type 21.
        assert heard == b"" or heard[0] == 21, heard


@pytest.mark.parametrize("server", GRPC_SERVERS)
async def test_each_service_answers_those_on_its_list_and_nobody_else(whole_mesh: Mesh, server: str) -> None:
    callers = listed()[server]
    for caller in everyone():
        allowed = caller in callers.calls | callers.health
        expected = grpc.StatusCode.OK if allowed else grpc.StatusCode.PERMISSION_DENIED
        assert await asked_for_health(whole_mesh, server, shown_by(whole_mesh, caller)) == expected, caller
    assert await asked_for_health(whole_mesh, server, certificates_of("envoy")) == grpc.StatusCode.UNAVAILABLE


async def test_the_supervisor_renews_certificates_while_people_go_on(whole_mesh: Mesh) -> None:
    """They are made older than they are; nobody's call fails, and nothing is started anew."""
    secrets = whole_mesh.installation.layout.secrets
    restarts = {name: whole_mesh.installation.process(name).restarts for name in everyone() if name != "supervisor"}
    renew(secrets, everyone(), datetime.now(UTC) - timedelta(hours=13))
    old = {service: read_identity(certificate_folder(secrets, service)) for service in everyone()}
    async with whole_mesh.http() as http, asyncio.timeout(RENEW_EVERY_SECONDS + 120):
        while any(read_identity(certificate_folder(secrets, name)) == before for name, before in old.items()):
            await people_go_on(http)
        for _ in range(50):
            await people_go_on(http)
    assert restarts == {name: whole_mesh.installation.process(name).restarts for name in restarts}


async def people_go_on(http: httpx.AsyncClient) -> None:
    """A call to a service, one to the gateway, and one that the authoriser judges; no more often than one person may."""
    await asyncio.sleep(0.05)
    assert (await http.get("/v1/assets")).status_code == 200
    assert (await http.options("/files/")).status_code == 204
    assert (await http.get("/p/x/pkg_01jd0000000000000000000000/manifest.mpd")).status_code == 403
