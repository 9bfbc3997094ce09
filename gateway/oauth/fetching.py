"""Requests to outside providers. Their addresses are somebody's settings, so nothing is asked that must not be reachable from here."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Iterable
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpcore
import httpx

Networks = Literal["public", "private", "loopback"]

SECONDS: Final = 5.0
"""How long one request may take."""
MOST_BYTES: Final = 1024 * 1024


class Unreachable(Exception):
    """The provider cannot be asked, must not be, or answers in a way that is of no use."""


def permitted(address: str, networks: Networks) -> bool:
    """Whether an IP address may be connected to."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    plain = getattr(ip, "ipv4_mapped", None) or ip
    if plain.is_loopback:
        return networks == "loopback"
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified or plain.is_reserved:
        return False
    return bool(plain.is_global) or networks != "public"


def check_url(url: str, networks: Networks) -> str:
    """The URL, if it may be asked: `https`, or `http` on this machine where that is allowed.

    Raises:
        Unreachable: it may not.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Unreachable("an address of the provider is no URL") from None
    here = networks == "loopback" and parts.scheme == "http" and host in {"127.0.0.1", "::1", "localhost"}
    if not host or "@" in parts.netloc or (parts.scheme != "https" and not here):
        raise Unreachable("an address of the provider is not https")
    return url


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to permitted addresses only. Names are resolved here and the connection goes to the address that was looked at, so that a name
    cannot mean one thing when it is checked and another when it is used."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the host's addresses."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        for *_, (address, *_) in found:
            if permitted(str(address), self._networks):
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
        raise httpcore.ConnectError(f"{host} is not at an address that may be asked")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002  # never comes to that
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002  # never comes to that
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise httpcore.ConnectError(f"{path} may not be asked")

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._inner.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport with a guard before every connection, and an end to every answer."""

    def __init__(self, networks: Networks) -> None:
        super().__init__(trust_env=False)
        self._networks = networks
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=20,
            keepalive_expiry=30,
            network_backend=GuardedBackend(networks),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Asks, and reads the answer up to its limit.

        Raises:
            httpx.HTTPError: it may not be asked, or the answer is too long.
        """
        try:
            check_url(str(request.url), self._networks)
        except Unreachable as error:
            raise httpx.ConnectError(str(error)) from None
        response = await super().handle_async_request(request)
        body = b""
        try:
            async for part in response.stream:  # type: ignore[union-attr]  # an asynchronous transport has an asynchronous stream
                body += part
                if len(body) > MOST_BYTES:
                    raise httpx.ReadError("the answer is too long")
        finally:
            await response.aclose()
        fields = [(n, v) for n, v in response.headers.raw if n.lower() != b"transfer-encoding"]
        return httpx.Response(response.status_code, headers=fields, content=body, request=request)
