"""The HTTP side of checks of age: a provider's webhooks, a wallet that fetches its request and posts its response, and browsers on their way back."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import grpc
from reelmesh.compliance.v1 import age_service_pb2 as api

from gateway.webhooks.app import Receive, Scope, Send, Unfit, body_of, headers_of
from services.kit.errors import Refusal, unavailable

if TYPE_CHECKING:
    from reelmesh.compliance.v1 import age_service_pb2_grpc

    Stub = age_service_pb2_grpc.AgeServiceAsyncStub

MOST_BYTES: Final = 256 * 1024
_PATIENCE: Final = 18.0
_MOST_QUERY: Final = 16 * 1024
_PREFIX: Final = "/age/"
_PATH: Final = re.compile(r"/age/([a-z0-9-]{1,40})/([a-z0-9_]{1,60}(?:/[a-z]{1,20})?)")
_METHODS: Final = ("POST", "GET")
_STATUSES: Final = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
}


class AgeGateway:
    """Hands requests below `/age/` on, as an ASGI application.

    Args:
        ages: takes them.
        otherwise: serves all others.
    """

    def __init__(self, ages: Stub, otherwise: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._ages = ages
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if not str(scope["path"]).startswith(_PREFIX):
            await self._otherwise(scope, receive, send)
            return
        answer = await self._answer(scope, receive)
        headers = [
            (b"content-type", answer.content_type.encode("latin-1", "replace")),
            (b"cache-control", b"no-store"),
            (b"content-length", str(len(answer.body)).encode()),
            # The address that a browser comes back with has a code in it.
            (b"referrer-policy", b"no-referrer"),
        ]
        if answer.location:
            headers.append((b"location", answer.location.encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> api.ReceiveAgeDeliveryResponse:
        try:
            delivery = _delivery(scope)
            delivery.body = await body_of(receive, MOST_BYTES)
            return await self._ages.ReceiveAgeDelivery(delivery, timeout=_PATIENCE)
        except Unfit as unfit:
            return _problem(unfit.refusal, unfit.status)
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.from_rpc_error(error)
            status = _STATUSES.get(refusal.code, 503)
            return _problem(unavailable("compliance") if refusal.reason == "INTERNAL" else refusal, status)


def _delivery(scope: Scope) -> api.ReceiveAgeDeliveryRequest:
    found = _PATH.fullmatch(scope["path"])
    if found is None:
        raise Unfit(404, "NOT_FOUND", "what is about a check of age goes to /age/<provider>/…")
    if scope["method"] not in _METHODS:
        raise Unfit(405, "METHOD_NOT_ALLOWED", "send it by POST, or by GET where the provider does so")
    query: bytes = scope["query_string"]
    if len(query) > _MOST_QUERY:
        raise Unfit(414, "REQUEST_INVALID", f"a query has up to {_MOST_QUERY} bytes")
    headers, _ = headers_of(scope)
    return api.ReceiveAgeDeliveryRequest(
        provider=found[1],
        path=found[2],
        http_method=scope["method"],
        headers=headers,
        query=query.decode("latin-1"),
    )


def _problem(refusal: Refusal, status: int) -> api.ReceiveAgeDeliveryResponse:
    body = json.dumps(refusal.as_problem(status), separators=(",", ":")).encode()
    return api.ReceiveAgeDeliveryResponse(status=status, content_type="application/problem+json", body=body)
