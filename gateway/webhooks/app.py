"""The HTTP side: whatever comes to a processor account's URL is handed on as it is, whichever method, content type and query it has.

There is no framework in between, as nothing of the request is looked at here but its path.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import grpc
import structlog
from prometheus_client import Histogram
from reelmesh.payments.v1 import webhooks_service_pb2 as api

from gateway.webhooks.grouping import Grouping
from services.kit.errors import RPC_DOMAIN, Refusal, unavailable

log = structlog.stdlib.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SECONDS: Final = Histogram("reelmesh_webhook_seconds", "Duration of deliveries of payment processors.", ["status"])
MOST_BYTES: Final = 1024 * 1024
_MOST_QUERY: Final = 16 * 1024
_MOST_HEADERS: Final = 100
_PATH: Final = re.compile(r"/webhooks/([a-z0-9_-]{1,40})/([a-z0-9-]{1,40})")
_METHODS: Final = ("POST", "GET")
_NOT_HANDED_ON: Final = frozenset({"connection", "content-length", "host", "transfer-encoding", "x-forwarded-for"})


class Unfit(Exception):
    """The request can be no delivery.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason, message, domain=RPC_DOMAIN)


class WebhooksGateway:
    """Serves processors, as an ASGI application."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = time.monotonic()
        answer = await self._answer(scope, receive)
        headers = [(b"content-type", answer.content_type.encode("latin-1", "replace")), (b"cache-control", b"no-store")]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        if answer.retry_after_seconds:
            headers.append((b"retry-after", str(answer.retry_after_seconds).encode()))
        if answer.reason:
            headers.append((b"x-reelmesh-reason", answer.reason.encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        SECONDS.labels(answer.status).observe(time.monotonic() - started)

    async def _answer(self, scope: Scope, receive: Receive) -> api.WebhookAnswer:
        try:
            delivery = _delivery(scope)
            delivery.body = await body_of(receive)
            return await self._grouping.answer(delivery)
        except Unfit as unfit:
            return _problem(unfit.refusal, unfit.status)
        except Refusal as refusal:
            # Whatever it is, the processor is to send again: nothing was kept that it could rely on.
            return _problem(unavailable("payments") if refusal.reason == "INTERNAL" else refusal, 503, again=5)


def _delivery(scope: Scope) -> api.WebhookDelivery:
    found = _PATH.fullmatch(scope["path"])
    if found is None:
        raise Unfit(404, "NOT_FOUND", "webhooks go to /webhooks/<processor>/<account>")
    if scope["method"] not in _METHODS:
        raise Unfit(405, "METHOD_NOT_ALLOWED", "webhooks are sent by POST, or by GET where the processor does so")
    query: bytes = scope["query_string"]
    if len(query) > _MOST_QUERY:
        raise Unfit(414, "REQUEST_INVALID", f"a webhook's query has up to {_MOST_QUERY} bytes")
    headers, source = headers_of(scope)
    return api.WebhookDelivery(
        processor=found[1],
        processor_account_id=found[2],
        headers=headers,
        query=query.decode("latin-1"),
        # Only the last address is the edge's own word; those before came with the request.
        source_address=source.rpartition(",")[2].strip()[:64],
    )


def headers_of(scope: Scope) -> tuple[dict[str, str], str]:
    """The header fields of a request that are handed on, by lower-case name, and who sent it.

    Raises:
        Unfit: there are too many.
    """
    headers: dict[str, str] = {}
    source = ""
    for raw_name, raw in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw.decode("latin-1")
        if name == "x-forwarded-for":
            source = value
        elif name not in _NOT_HANDED_ON:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if len(headers) > _MOST_HEADERS:
        raise Unfit(431, "REQUEST_INVALID", f"a webhook has up to {_MOST_HEADERS} header fields")
    return headers, source


async def body_of(receive: Receive, most: int = MOST_BYTES) -> bytes:
    """The body of a request.

    Raises:
        Unfit: it was cut off, or is too long.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unfit(400, "REQUEST_INVALID", "the request ended before its body did")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise Unfit(413, "REQUEST_INVALID", f"a webhook has up to {most} bytes")
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _problem(refusal: Refusal, status: int, *, again: int = 0) -> api.WebhookAnswer:
    return api.WebhookAnswer(
        status=status,
        content_type="application/problem+json",
        body=json.dumps(refusal.as_problem(status), separators=(",", ":")).encode(),
        retry_after_seconds=again,
        reason=refusal.reason,
    )
