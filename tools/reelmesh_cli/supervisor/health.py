"""Whether a process is ready to be used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from pathlib import Path

PROBE_SECONDS = 3.0
"""How long one question may take."""


async def serving(socket: Path, service: str, certificate: Path) -> bool:
    """Whether a gRPC server on this unix socket answers SERVING to grpc.health.v1.Health/Check.

    Args:
        socket: where it listens.
        service: whose certificate it has to show.
        certificate: folder of the certificate that is shown to it.
    """
    if not socket.exists():
        return False
    # Imported here, and not before the stores have been started: this costs a quarter of a second.
    import grpc.aio
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from services.kit.tls import UnusableCertificate, channel_credentials, host_name, read_identity

    try:
        identity = read_identity(certificate)
    except UnusableCertificate:
        return False
    options = [
        # Without a channel of its own for each question, gRPC would hold back after a refused connection.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.ssl_target_name_override", host_name(identity.trust_domain, service)),
    ]
    credentials = channel_credentials(identity)
    async with grpc.aio.secure_channel(f"unix:{socket}", credentials, options=options) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def shaking_hands(socket: Path, service: str, certificate: Path) -> bool:
    """Whether a server on this unix socket, which need not speak gRPC, shows the certificate of a service. Args as for `serving`."""
    if not socket.exists():
        return False
    from services.kit.tls import UnusableCertificate, client_context, host_name, read_identity

    with contextlib.suppress(OSError, TimeoutError, UnusableCertificate):
        identity = read_identity(certificate)
        async with asyncio.timeout(PROBE_SECONDS):
            name = host_name(identity.trust_domain, service)
            context = client_context(identity)
            _, writer = await asyncio.open_unix_connection(str(socket), ssl=context, server_hostname=name)
            writer.close()
            return True
    return False


async def accepting(socket: Path) -> bool:
    """Whether someone accepts connections on this unix socket."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_unix_connection(str(socket))
            writer.close()
            return True
    return False


async def nats_listening(host: str, port: int) -> bool:
    """Whether NATS greets with JetStream on."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            greeting = await reader.readline()
            writer.close()
            return greeting.startswith(b"INFO") and b'"jetstream":true' in greeting
    return False


async def envoy_ready(admin: Path) -> bool:
    """Whether Envoy's admin interface, on a unix socket, answers LIVE: every listener is set up."""
    return await http_over_unix(admin, "GET", "/ready") == 200


async def edge_ready(port: int) -> bool:
    """Whether the edge answers `/readyz` with 200: Envoy sees every service healthy."""
    return await _exchange(asyncio.open_connection("127.0.0.1", port), "GET", "/readyz") == 200


async def http_over_unix(socket: Path, method: str, path: str) -> int:
    """One HTTP/1.1 exchange over a unix socket; returns the status, 0 if nobody answers."""
    return await _exchange(asyncio.open_unix_connection(str(socket)), method, path)


async def _exchange(
    connection: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]], method: str, path: str
) -> int:
    request = f"{method} {path} HTTP/1.1\r\nHost: reelmesh\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with contextlib.suppress(OSError, TimeoutError, ValueError, IndexError):
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await connection
            writer.write(request.encode())
            # Not until the end of the connection: Envoy waits for us to close it.
            status = int((await reader.readline()).split()[1])
            writer.close()
            return status
    return 0
