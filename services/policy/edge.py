"""The authoriser that Envoy asks about each playback request (`envoy.service.auth.v3`): its contract, put in terms of the judge."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc.status_pb2 import Status
from prometheus_client import Counter

from services.kit import telemetry
from services.kit.access import Rule
from services.kit.errors import Refusal
from services.kit.server import as_refusal, current_call
from services.policy import foreign
from services.policy.bearers import COOKIES_HEADER, EdgeRequest
from services.policy.cat.acceptance import NotFor
from services.policy.cat.renewal import NAME
from services.policy.doors import Doors, Passage
from services.policy.foreign import PERMISSION, EnvoyOrPermission

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
RULES: Final[dict[str, Rule]] = {CHECK: EnvoyOrPermission(callers=frozenset({"envoy"}), permission=PERMISSION)}
"""Who may ask: our own Envoy, and edges of others by an API key."""

PREFIX: Final = "reelmesh.prefix"
REWRITE: Final = "reelmesh.rewrite"
"""What a foreign Envoy says of itself in `context_extensions`: what stands before `/p/` in its paths, and whether it wants ours (`published`)."""
PREFIX_METADATA: Final = "reelmesh-prefix"
"""The same, for an Envoy that can set metadata only. Never a header of the request it asks about, which would be its client's word."""

LICENCE: Final = "/licence/"
SESSION_HEADER: Final = "x-reelmesh-session"
REASON_HEADER: Final = "x-reelmesh-reason"
# What a client may send but nothing behind the edge may take for true, or needs to see.
_TAKEN_AWAY: Final = ("authorization", "cookie", REASON_HEADER, "x-envoy-original-path", COOKIES_HEADER, NAME.lower())
_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
_APPEND: Final = HeaderValueOption.HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD

DECISIONS: Final = Counter("reelmesh_edge_decisions_total", "Playback requests judged at the edge.", ["outcome"])
_ALLOWED: Final = DECISIONS.labels("ALLOWED")


class EdgeServicer(external_auth_pb2_grpc.AuthorizationServicer):  # type: ignore[misc]  # the wheel brings no types
    """Serves `envoy.service.auth.v3.Authorization`."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def Check(  # noqa: N802  # the contract's name
        self, request: CheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> CheckResponse:
        """Judges one request."""
        headers = request.attributes.request.http.headers
        correlation_id = telemetry.accepted_correlation_id(headers.get(telemetry.CORRELATION_HEADER))
        with telemetry.correlated(correlation_id):
            try:
                passage, rewrites = await self._passed(request, context)
            except Exception as error:
                refusal = as_refusal(error)
                if refusal is None:  # a defect: Envoy hears that nobody answers, and refuses
                    raise
                DECISIONS.labels(refusal.reason).inc()
                return _denied(refusal, correlation_id, licence=LICENCE in request.attributes.request.http.path)
        _ALLOWED.inc()
        return _allowed(passage, rewrites=rewrites)

    async def _passed(self, request: CheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> tuple[Passage, bool]:
        principal, extensions = current_call().principal, request.attributes.context_extensions
        assert principal is not None  # the rule lets nobody else in
        if principal.service:
            return await self._doors.pass_through(asked(request)), True
        prefix = extensions.get(PREFIX, "") or _metadata(context, PREFIX_METADATA)
        passage = await foreign.admitted(
            self._doors, asked(request), organisation_id=principal.organisation_id, prefix=prefix
        )
        return passage, extensions.get(REWRITE, "") == "published"


def asked(request: CheckRequest) -> EdgeRequest:
    """A request as Envoy describes it."""
    http = request.attributes.request.http
    return EdgeRequest(
        method=http.method,
        path=http.path,
        scheme=http.scheme,
        host=http.host,
        address=request.attributes.source.address.socket_address.address,
        headers=http.headers,
    )


def _metadata(context: grpc.aio.ServicerContext[Any, Any], name: str) -> str:
    return next((str(value) for key, value in context.invocation_metadata() or () if key == name), "")


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=_OVERWRITE)


def _allowed(passage: Passage, *, rewrites: bool) -> CheckResponse:
    headers = [_header(SESSION_HEADER, passage.session_id)] if passage.session_id else []
    if passage.path and rewrites:
        headers.append(_header(":path", passage.path))
    added = [
        HeaderValueOption(header=HeaderValue(key=name.lower(), value=value), append_action=_APPEND)
        for name, value in passage.answer_headers
    ]
    taken_away = _TAKEN_AWAY if passage.session_id else (*_TAKEN_AWAY, SESSION_HEADER)
    ok = OkHttpResponse(headers=headers, headers_to_remove=taken_away, response_headers_to_add=added)
    return CheckResponse(status=Status(), ok_response=ok)


def _denied(refusal: Refusal, correlation_id: str, *, licence: bool) -> CheckResponse:
    """A refusal as the HTTP answer that the player gets, that of a licence in the form of the licence service's own (RFC 9457).

    Headers of other origins are left to Envoy's CORS filter.
    """
    status, location = answer_to(refusal)
    body = refusal.as_problem(status, correlation_id) if licence else refusal.as_json(correlation_id)
    headers = [
        _header("content-type", "application/problem+json" if licence else "application/json"),
        _header("cache-control", "no-store"),
        _header(REASON_HEADER, refusal.reason),
        _header(telemetry.CORRELATION_HEADER, correlation_id),
    ]
    if refusal.retry_after is not None:
        headers.append(_header("retry-after", str(math.ceil(refusal.retry_after.total_seconds()))))
    if location:
        headers.append(_header("location", location))
    return CheckResponse(
        status=Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message=refusal.reason),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=status),
            headers=headers,
            body=json.dumps(body, separators=(",", ":")),
        ),
    )


def answer_to(refusal: Refusal) -> tuple[int, str]:
    """HTTP status of a refusal, and where to go instead; the issuer of an access token may have said so (`catif`)."""
    otherwise = refusal.claims.otherwise.get(refusal.label) if isinstance(refusal, NotFor) else None
    if otherwise is not None:
        return otherwise.status, otherwise.location
    return 503 if refusal.code is grpc.StatusCode.UNAVAILABLE else 403, ""
