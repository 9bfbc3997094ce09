"""The identity service, for code that runs in threads because Authlib does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from reelmesh.identity.v1 import oauth_service_pb2, oauth_service_pb2_grpc, sso_service_pb2, sso_service_pb2_grpc

from services.kit import dpop
from services.kit.errors import Refusal

CONTRACT: Final = oauth_service_pb2.DESCRIPTOR.services_by_name["OAuthService"]
SSO_CONTRACT: Final = sso_service_pb2.DESCRIPTOR.services_by_name["SsoService"]

Answer = TypeVar("Answer")


class Identity:
    """The service's stubs.

    Args:
        channel: leads there, and shows who the gateway is.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.oauth: oauth_service_pb2_grpc.OAuthServiceAsyncStub = oauth_service_pb2_grpc.OAuthServiceStub(channel)
        self.sso: sso_service_pb2_grpc.SsoServiceAsyncStub = sso_service_pb2_grpc.SsoServiceStub(channel)


async def answered(call: Awaitable[Answer]) -> Answer:
    """What a call answers.

    Raises:
        Refusal: whatever it was refused with.
    """
    try:
        return await call
    except grpc.RpcError as error:
        raise Refusal.from_rpc_error(error) from None


@dataclass(frozen=True, slots=True)
class Bridge:
    """How a thread asks the identity service on behalf of one HTTP request.

    Attributes:
        identity: the service.
        loop: the loop on which its stubs work.
        metadata: where the request came from, as the edge told.
        request_id: of the changes that the request makes: a call that is sent again does nothing twice.
    """

    identity: Identity
    loop: asyncio.AbstractEventLoop
    metadata: tuple[tuple[str, str], ...]
    request_id: str

    def ask(self, call: Any) -> Any:
        """What a call of a stub answers; blocks the thread. Takes the stub's method and the request, so that the call begins on the loop.

        Raises:
            Refusal: whatever it was refused with.
        """
        method, request = call

        async def asked() -> Any:
            return await answered(method(request, metadata=self.metadata))

        return asyncio.run_coroutine_threadsafe(asked(), self.loop).result()


def origin(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Where a request came from, for the identity service: the address that the edge added, the program's name, and its proof of a key."""
    forwarded = {"x-forwarded-for": headers.get("x-forwarded-for", ""), "x-user-agent": headers.get("user-agent", "")}
    if proof := headers.get(dpop.HEADER, ""):
        # Refresh tokens alone may be bound to a key (RFC 9449 section 5), and there is one address to exchange them at.
        forwarded |= {dpop.HEADER: proof, dpop.REST_HEADER: "POST /oauth/token"}
    return tuple(
        (name, value) for name, value in forwarded.items() if value and value.isascii() and value.isprintable()
    )
