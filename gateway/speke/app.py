"""The HTTP side: routes, and what is around every request. Nothing of a body is logged: there are keys in answers."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import grpc
import structlog
from prometheus_client import Histogram
from reelmesh.drm.v1 import key_server_service_pb2 as api
from reelmesh.drm.v1 import key_server_service_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.speke import answers
from gateway.speke.requests import body_of, check_xml, credentials, packager_request
from services.kit import telemetry
from services.kit.errors import RPC_DOMAIN, Refusal

log = structlog.stdlib.get_logger()

Stub: TypeAlias = "key_server_service_pb2_grpc.KeyServerServiceAsyncStub"
Serve = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Refusal, Request], Response]

SPEKE_PATH: Final = "/speke/v2.0/copyProtection"
PACKAGER_PATH: Final = "/cenc/getcontentkey"
SECONDS: Final = Histogram("reelmesh_speke_seconds", "Duration of requests for keys.", ["protocol", "status"])
_NO_STORE: Final = {"cache-control": "no-store"}
_VERSION: Final = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")


class SpekeGateway:
    """Serves packagers.

    Args:
        key_server: decides. Calls carry the packager's own credential.
    """

    def __init__(self, key_server: Stub) -> None:
        self._key_server = key_server
        self.app = Starlette(
            routes=[
                _route(SPEKE_PATH, "speke", self._speke, _speke_refused),
                _route(PACKAGER_PATH, "packager", self._packager, _packager_refused),
                # Packagers that were set up for Widevine's own service have a name of theirs at the end.
                _route(PACKAGER_PATH + "/{name}", "packager", self._packager, _packager_refused),
            ]
        )

    async def _speke(self, request: Request) -> Response:
        check_xml(request)
        asked = api.ProvideCpixKeysRequest(
            speke_version=request.headers.get("x-speke-version", "")[:32], document=await body_of(request)
        )
        answer = await self._key_server.ProvideCpixKeys(asked, metadata=credentials(request.headers))
        return _speke_response(request, 200, answer.document, "application/xml")

    async def _packager(self, request: Request) -> Response:
        asked = packager_request(request, await body_of(request))
        # The signature is the credential; another one would be looked at and refused before it.
        metadata = [pair for pair in credentials(request.headers) if pair[0] != "authorization"]
        answer = await self._key_server.ProvidePackagerKeys(asked, metadata=metadata)
        return Response(answers.packager_body(answer.response), 200, _NO_STORE, "application/json")


def _speke_response(request: Request, status: int, body: bytes, media_type: str) -> Response:
    # "The X-Speke-Version header value defined by the encryptor cannot be modified by the key provider in the response."
    asked = request.headers.get("x-speke-version", "")
    version = asked if _VERSION.fullmatch(asked) else answers.SPEKE_VERSION
    headers = _NO_STORE | {"x-speke-version": version, "x-speke-user-agent": answers.USER_AGENT}
    return Response(body, status, headers, media_type)


def _speke_refused(refusal: Refusal, request: Request) -> Response:
    status = answers.speke_status(refusal)
    response = _speke_response(request, status, answers.speke_words(refusal).encode(), "text/plain")
    if status == 401:
        response.headers["www-authenticate"] = answers.BASIC_REALM
    if refusal.retry_after is not None:
        response.headers["retry-after"] = str(max(1, round(refusal.retry_after.total_seconds())))
    return response


def _packager_refused(refusal: Refusal, _request: Request) -> Response:
    # As Widevine's own service does: the status is in the body, where the packager reads it.
    body = answers.packager_refusal(answers.packager_status(refusal))
    return Response(body, 200, _NO_STORE, "application/json")


def _route(path: str, protocol: str, serve: Serve, refuse: Refuse) -> Route:
    async def served(request: Request) -> Response:
        started = time.monotonic()
        with telemetry.correlated(request.headers.get(telemetry.CORRELATION_HEADER)) as correlation_id:
            reason = ""
            try:
                response = await serve(request)
            except grpc.RpcError as error:
                refusal = Refusal.from_rpc_error(error)
                response, reason = refuse(refusal, request), refusal.reason
            except Refusal as refusal:
                response, reason = refuse(refusal, request), refusal.reason
            except Exception:
                log.exception("defect", protocol=protocol)
                response, reason = refuse(_defect(correlation_id), request), "INTERNAL"
            response.headers[telemetry.CORRELATION_HEADER] = correlation_id
            seconds = time.monotonic() - started
            SECONDS.labels(protocol, response.status_code).observe(seconds)
            log.info(
                "request",
                protocol=protocol,
                status=response.status_code,
                reason=reason,
                milliseconds=round(seconds * 1000, 1),
            )
        return response

    return Route(path, served, methods=["POST"])


def _defect(correlation_id: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        f"the server failed; quote {correlation_id} to its operator",
        domain=RPC_DOMAIN,
    )
