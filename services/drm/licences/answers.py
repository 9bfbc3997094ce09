"""How players are answered by HTTP: licences and refusals alike as `google.api.HttpBody`, each key system in its own form.

A refusal of gRPC would reach the player as google.rpc.Status, which no decryption module reads. So here a refusal is an OK call with a body
in the key system's form. `HttpBody` has no place for an HTTP status but its content type: `; status=403` (with `; reason=…` and `; retry-after=1`), which
the edge makes a status and headers of, and takes away (`envoy/edge.lua`). Initial metadata would do as well, but cost each licence a write of
its own on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import structlog
from google.api.httpbody_pb2 import HttpBody

from services.kit import telemetry
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.server import as_refusal

log = structlog.stdlib.get_logger()

HTTP_STATUS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""HTTP status by gRPC code; all others are 500."""


def http_status(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    return HTTP_STATUS.get(refusal.code, 500)


def body(data: bytes, content_type: str, *, status: int = 200, refusal: Refusal | None = None) -> HttpBody:
    """An answer with an HTTP status.

    Args:
        data: the body, in the key system's form.
        content_type: of the body.
        status: HTTP status.
        refusal: what is refused; its reason and when to try again go along.
    """
    if status != 200:
        content_type += f"; status={status}"
    if status != 200 and refusal is not None:
        content_type += f"; reason={refusal.reason}"
    if status != 200 and refusal is not None and refusal.retry_after is not None:
        content_type += f"; retry-after={max(1, round(refusal.retry_after.total_seconds()))}"
    return HttpBody(content_type=content_type, data=data)


def problem(refusal: Refusal) -> HttpBody:
    """A refusal as problem details (RFC 9457), with the members of google.rpc.Status beside, which our other answers consist of."""
    status = http_status(refusal)
    data = json.dumps(refusal.as_problem(status, telemetry.correlation_id()), separators=(",", ":")).encode()
    return body(data, "application/problem+json", status=status, refusal=refusal)


async def answered(
    answer: Callable[[], Awaitable[HttpBody]], refused: Callable[[Refusal], HttpBody] = problem
) -> HttpBody:
    """What a player is answered.

    Args:
        answer: makes the licence.
        refused: puts a refusal in the key system's form.
    """
    try:
        return await answer()
    except Exception as error:
        refusal = as_refusal(error)
        if refusal is None:
            log.exception("defect")
            message = "the server failed in a way that is its own fault; quote the correlation id to its operator"
            refusal = Refusal(grpc.StatusCode.INTERNAL, "INTERNAL", message, domain=RPC_DOMAIN)
        log.info("licence refused", reason=refusal.reason, refusal=refusal.message)
        return refused(refusal)
