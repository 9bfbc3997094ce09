"""The authoriser that Envoy asks about each playback request (`envoy.service.auth.v3`): its contract, put in terms of the judge."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc.status_pb2 import Status
from prometheus_client import Counter

from services.kit import telemetry
from services.kit.access import Rule
from services.kit.errors import Refusal
from services.kit.server import as_refusal
from services.policy import paths
from services.policy.decision.facts import Kind
from services.policy.follower import Follower
from services.policy.gate import Gate
from services.policy.judge import Admission, Judge, PackageUnknown

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
RULES: Final = {CHECK: Rule(callers=frozenset({"envoy"}))}
"""Who may ask: another contract's method cannot carry our own option."""

SESSION_HEADER: Final = "x-reelmesh-session"
REASON_HEADER: Final = "x-reelmesh-reason"
# What a client may send but nothing behind the edge may take for true, or needs to see.
_TAKEN_AWAY: Final = ("authorization", "cookie", REASON_HEADER, "x-envoy-original-path")
_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

_DECIDED: Final = {
    (paths.Kind.MEDIA, True): Kind.MANIFEST,
    (paths.Kind.LICENCE, False): Kind.LICENCE,
    (paths.Kind.KEY, False): Kind.LICENCE,
}
"""What is decided by all rules. Segments are judged by standing alone, and heartbeats when they arrive."""

DECISIONS: Final = Counter("reelmesh_edge_decisions_total", "Playback requests judged at the edge.", ["outcome"])
_ALLOWED: Final = DECISIONS.labels("ALLOWED")


class EdgeServicer(external_auth_pb2_grpc.AuthorizationServicer):  # type: ignore[misc]  # the wheel brings no types
    """Serves `envoy.service.auth.v3.Authorization`."""

    def __init__(self, judge: Judge, follower: Follower, gate: Gate) -> None:
        self._judge = judge
        self._follower = follower
        self._gate = gate

    async def Check(  # noqa: N802  # the contract's name
        self, request: CheckRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> CheckResponse:
        """Judges one request."""
        http = request.attributes.request.http
        correlation_id = telemetry.accepted_correlation_id(http.headers.get(telemetry.CORRELATION_HEADER))
        with telemetry.correlated(correlation_id):
            try:
                admission = await self._admitted(http)
            except Exception as error:
                refusal = as_refusal(error)
                if refusal is None:  # a defect: Envoy hears that nobody answers, and refuses
                    raise
                DECISIONS.labels(refusal.reason).inc()
                return _denied(refusal, correlation_id)
        _ALLOWED.inc()
        return _allowed(admission)

    async def _admitted(self, http: AttributeContext.HttpRequest) -> Admission:
        try:
            admission = self._judge.request(http.method, http.path)
        except PackageUnknown:
            await self._follower.catch_up()
            admission = self._judge.request(http.method, http.path)
        kind = _DECIDED.get((admission.kind, admission.manifest))
        if kind is not None and http.method != "OPTIONS":
            # Only the last address is Envoy's own word; those before came with the request.
            address = http.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            await self._gate.admit(kind, admission.organisation_id, admission.session_id, address)
        return admission


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=_OVERWRITE)


def _allowed(admission: Admission) -> CheckResponse:
    headers = [_header(SESSION_HEADER, admission.session_id)]
    if admission.path:
        headers.append(_header(":path", admission.path))
    return CheckResponse(status=Status(), ok_response=OkHttpResponse(headers=headers, headers_to_remove=_TAKEN_AWAY))


def _denied(refusal: Refusal, correlation_id: str) -> CheckResponse:
    """A refusal as the HTTP answer that the player gets. Headers of other origins are left to Envoy's CORS filter."""
    away = refusal.code is grpc.StatusCode.UNAVAILABLE
    wait = (
        []
        if refusal.retry_after is None
        else [_header("retry-after", str(math.ceil(refusal.retry_after.total_seconds())))]
    )
    return CheckResponse(
        status=Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message=refusal.reason),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=503 if away else 403),
            headers=[
                *wait,
                _header("content-type", "application/json"),
                _header("cache-control", "no-store"),
                _header(REASON_HEADER, refusal.reason),
                _header(telemetry.CORRELATION_HEADER, correlation_id),
            ],
            body=json.dumps(refusal.as_json(correlation_id), separators=(",", ":")),
        ),
    )
