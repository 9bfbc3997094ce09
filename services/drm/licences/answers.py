"""How players are answered: licences and refusals alike in each key system's own form.

Our own edge has them by plain HTTP (`services.drm.licences.players`). By gRPC, which others may transcode, they are `google.api.HttpBody`: a
refusal of gRPC would reach the player as google.rpc.Status, which no decryption module reads, so a refusal is an OK call with a body in the key
system's form. `HttpBody` has no place for an HTTP status but its content type: `; status=403` (with `; reason=…` and `; retry-after=1`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import grpc
import structlog
from google.api.httpbody_pb2 import HttpBody

from services.kit import telemetry
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.plain_http import Answer
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


@dataclass(frozen=True, slots=True)
class Reply:
    """What a player is answered.

    Attributes:
        data: the body, in the key system's form.
        content_type: of the body.
        status: HTTP status.
        refusal: what is refused, where something is; its reason and when to try again go along.
    """

    data: bytes = field(repr=False)
    content_type: str
    status: int = 200
    refusal: Refusal | None = None

    @property
    def retry_after(self) -> int | None:
        """Seconds after which to ask again; None where nobody can say."""
        if self.refusal is None or self.refusal.retry_after is None:
            return None
        return max(1, round(self.refusal.retry_after.total_seconds()))

    def http_body(self) -> HttpBody:
        """For gRPC."""
        if self.status == 200:
            return HttpBody(content_type=self.content_type, data=self.data)
        content_type = f"{self.content_type}; status={self.status}"
        if self.refusal is not None:
            content_type += f"; reason={self.refusal.reason}"
        if (seconds := self.retry_after) is not None:
            content_type += f"; retry-after={seconds}"
        return HttpBody(content_type=content_type, data=self.data)

    def plain(self) -> Answer:
        """For HTTP."""
        headers = [("content-type", self.content_type), ("cache-control", "no-store")]
        if self.refusal is not None:
            headers.append(("x-reelmesh-reason", self.refusal.reason))
        if (seconds := self.retry_after) is not None:
            headers.append(("retry-after", str(seconds)))
        return Answer(self.status, headers, self.data)


def problem(refusal: Refusal) -> Reply:
    """A refusal as problem details (RFC 9457), with the members of google.rpc.Status beside, which our other answers consist of."""
    status = http_status(refusal)
    data = json.dumps(refusal.as_problem(status, telemetry.correlation_id()), separators=(",", ":")).encode()
    return Reply(data, "application/problem+json", status, refusal)


async def answered(answer: Callable[[], Awaitable[Reply]], refused: Callable[[Refusal], Reply] = problem) -> Reply:
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
