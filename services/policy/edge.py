"""The authoriser by gRPC (`envoy.service.auth.v3`), put in terms of the doors: for edges of others, and for an Envoy of ours that was configured
before there was `services.policy.authorizer`, which costs it half as much to ask."""

from __future__ import annotations

from typing import Any, Final

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc.status_pb2 import Status

from services.kit import telemetry
from services.kit.access import Rule
from services.kit.server import as_refusal, current_call
from services.policy import foreign
from services.policy.bearers import EdgeRequest
from services.policy.doors import Doors, Passage
from services.policy.foreign import PERMISSION, EnvoyOrPermission
from services.policy.verdicts import ALLOWED, SESSION_HEADER, TAKEN_AWAY, Denial

CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"
RULES: Final[dict[str, Rule]] = {CHECK: EnvoyOrPermission(callers=frozenset({"envoy"}), permission=PERMISSION)}
"""Who may ask: our own Envoy, and edges of others by an API key."""

PREFIX: Final = "reelmesh.prefix"
REWRITE: Final = "reelmesh.rewrite"
"""What a foreign Envoy says of itself in `context_extensions`: what stands before `/p/` in its paths, and whether it wants ours (`published`)."""
PREFIX_METADATA: Final = "reelmesh-prefix"
"""The same, for an Envoy that can set metadata only. Never a header of the request it asks about, which would be its client's word."""

_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
_APPEND: Final = HeaderValueOption.HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD


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
                path = request.attributes.request.http.path
                return _denied(Denial.of(refusal, correlation_id, path), refusal.reason)
        ALLOWED.inc()
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
    taken_away = TAKEN_AWAY if passage.session_id else (*TAKEN_AWAY, SESSION_HEADER)
    ok = OkHttpResponse(headers=headers, headers_to_remove=taken_away, response_headers_to_add=added)
    return CheckResponse(status=Status(), ok_response=ok)


def _denied(denial: Denial, reason: str) -> CheckResponse:
    return CheckResponse(
        status=Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message=reason),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=denial.status),
            headers=[_header(name, value) for name, value in denial.headers],
            body=denial.body,
        ),
    )
