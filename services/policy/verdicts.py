"""What the edge is told of a refusal: the HTTP answer that the player gets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from prometheus_client import Counter

from services.kit import telemetry
from services.kit.errors import Refusal
from services.policy.cat.acceptance import NotFor
from services.policy.cat.renewal import NAME

LICENCE: Final = "/licence/"
SESSION_HEADER: Final = "x-reelmesh-session"
REASON_HEADER: Final = "x-reelmesh-reason"
COOKIES_HEADER: Final = "x-reelmesh-cookies"
"""Those of a client's cookies that are meant for us, picked by our own edge so that no others leave it."""
TAKEN_AWAY: Final = ("authorization", "cookie", REASON_HEADER, "x-envoy-original-path", COOKIES_HEADER, NAME.lower())
"""What a client may send but nothing behind the edge may take for true, or needs to see."""

DECISIONS: Final = Counter("reelmesh_edge_decisions_total", "Playback requests judged at the edge.", ["outcome"])
ALLOWED: Final = DECISIONS.labels("ALLOWED")


@dataclass(frozen=True, slots=True)
class Denial:
    """An HTTP answer.

    Attributes:
        status: of HTTP.
        headers: names in lower case.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: str

    @classmethod
    def of(cls, refusal: Refusal, correlation_id: str, path: str) -> Denial:
        """Of a refusal; that of a licence in the form of the licence service's own (RFC 9457). It is counted.

        Headers of other origins are left to Envoy's CORS filter.
        """
        DECISIONS.labels(refusal.reason).inc()
        status, location = answer_to(refusal)
        licence = LICENCE in path
        body = refusal.as_problem(status, correlation_id) if licence else refusal.as_json(correlation_id)
        headers = [
            ("content-type", "application/problem+json" if licence else "application/json"),
            ("cache-control", "no-store"),
            (REASON_HEADER, refusal.reason),
            (telemetry.CORRELATION_HEADER, correlation_id),
        ]
        if refusal.retry_after is not None:
            headers.append(("retry-after", str(math.ceil(refusal.retry_after.total_seconds()))))
        if location:
            headers.append(("location", location))
        return cls(status, headers, json.dumps(body, separators=(",", ":")))


def answer_to(refusal: Refusal) -> tuple[int, str]:
    """HTTP status of a refusal, and where to go instead; the issuer of an access token may have said so (`catif`)."""
    otherwise = refusal.claims.otherwise.get(refusal.label) if isinstance(refusal, NotFor) else None
    if otherwise is not None:
        return otherwise.status, otherwise.location
    return 503 if refusal.code is grpc.StatusCode.UNAVAILABLE else 403, ""
