"""The authoriser that Envoy asks about each playback request (`envoy.service.auth.v3`): its contract, put in terms of the judge."""

from __future__ import annotations

import json
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
from services.policy.follower import Follower
from services.policy.judge import Admission, Judge, PackageUnknown

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
RULES: Final = {CHECK: Rule(callers=frozenset({"envoy"}))}
"""Who may ask: another contract's method cannot carry our own option."""

SESSION_HEADER: Final = "x-reelmesh-session"
REASON_HEADER: Final = "x-reelmesh-reason"
# What a client may send but nothing behind the edge may take for true, or needs to see.
_TAKEN_AWAY: Final = ("authorization", "cookie", REASON_HEADER, "x-envoy-original-path")
_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

DECISIONS: Final = Counter("reelmesh_edge_decisions_total", "Playback requests judged at the edge.", ["outcome"])
_ALLOWED: Final = DECISIONS.labels("ALLOWED")


class EdgeServicer(external_auth_pb2_grpc.AuthorizationServicer):  # type: ignore[misc]  # the wheel brings no types
    """Serves `envoy.service.auth.v3.Authorization`."""

    def __init__(self, judge: Judge, follower: Follower) -> None:
        self._judge = judge
        self._follower = follower

    async def Check(  # noqa: N802  # the contract's name
        self, request: CheckRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> CheckResponse:
        """Judges one request."""
        http = request.attributes.request.http
        try:
            try:
                admission = self._judge.request(http.method, http.path)
            except PackageUnknown:
                await self._follower.catch_up()
                admission = self._judge.request(http.method, http.path)
        except Refusal as refusal:
            DECISIONS.labels(refusal.reason).inc()
            return _denied(refusal, telemetry.accepted_correlation_id(http.headers.get(telemetry.CORRELATION_HEADER)))
        _ALLOWED.inc()
        return _allowed(admission)


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=_OVERWRITE)


def _allowed(admission: Admission) -> CheckResponse:
    headers = [_header(SESSION_HEADER, admission.session_id)]
    if admission.path:
        headers.append(_header(":path", admission.path))
    return CheckResponse(status=Status(), ok_response=OkHttpResponse(headers=headers, headers_to_remove=_TAKEN_AWAY))


def _denied(refusal: Refusal, correlation_id: str) -> CheckResponse:
    """A refusal as the HTTP answer that the player gets. Headers of other origins are left to Envoy's CORS filter."""
    return CheckResponse(
        status=Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message=refusal.reason),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=403),
            headers=[
                _header("content-type", "application/json"),
                _header("cache-control", "no-store"),
                _header(REASON_HEADER, refusal.reason),
                _header(telemetry.CORRELATION_HEADER, correlation_id),
            ],
            body=json.dumps(refusal.as_json(correlation_id), separators=(",", ":")),
        ),
    )
