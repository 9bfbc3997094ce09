"""The HTTP side: routes, and what is around every request."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import structlog
from authlib.oauth2 import OAuth2Error
from prometheus_client import Histogram
from reelmesh.identity.v1 import oauth_service_pb2 as api
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.oauth import authorizing, discovery, leaving
from gateway.oauth.errors import ServerError, oauth_error
from gateway.oauth.identity import Bridge, Identity, answered, origin
from gateway.oauth.pages import error_page
from gateway.oauth.provider import Provider
from gateway.oauth.requests import Message, message_of
from gateway.oauth.sign_in import OutsideSignIn
from services.kit import telemetry
from services.kit.errors import Refusal
from services.kit.ids import new_id

log = structlog.stdlib.get_logger()

SECONDS: Final = Histogram("reelmesh_oauth_seconds", "Duration of OAuth requests.", ["endpoint", "status"])
_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache", "referrer-policy": "no-referrer"}

Answer = TypeVar("Answer")
Endpoint = Callable[[Request], Awaitable[Response]]


class OAuthGateway:
    """Serves OAuth clients and browsers.

    Args:
        identity: decides.
        public_url: where people reach the edge.
        sign_in: takes people to outside providers.
        threads: requests worked on at a time.
    """

    def __init__(self, identity: Identity, public_url: str, sign_in: OutsideSignIn, *, threads: int) -> None:
        self._identity = identity
        self._public_url = public_url
        self._sign_in = sign_in
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="authlib")
        routes = [
            self._route("/oauth/authorize", self._authorize, "GET", "POST"),
            self._route("/oauth/token", self._token, "POST"),
            self._route("/oauth/device_authorization", self._endpoint("device_authorization"), "POST"),
            self._route("/oauth/revoke", self._endpoint("revocation"), "POST"),
            self._route("/oauth/introspect", self._endpoint("introspection"), "POST"),
            self._route("/oauth/logout", self._logout, "GET", "POST"),
            self._route("/oauth/userinfo", self._user_info, "GET", "POST"),
            self._route("/.well-known/openid-configuration", self._metadata, "GET"),
            self._route("/.well-known/oauth-authorization-server", self._metadata, "GET"),
            self._route("/.well-known/jwks.json", self._keys, "GET"),
            self._route("/sso/{provider_id}/start", self._sign_in.start, "GET"),
            self._route("/sso/{provider_id}/callback", self._sign_in.callback, "GET"),
        ]
        self.app = Starlette(routes=routes)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _route(self, path: str, serve: Endpoint, *methods: str) -> Route:
        async def served(request: Request) -> Response:
            started = time.monotonic()
            with telemetry.correlated(request.headers.get(telemetry.CORRELATION_HEADER)) as correlation_id:
                response = await _safely(serve, request, correlation_id)
                response.headers[telemetry.CORRELATION_HEADER] = correlation_id
                seconds = time.monotonic() - started
                SECONDS.labels(path, response.status_code).observe(seconds)
                # The route, not the address: queries hold secrets.
                log.info(
                    "request",
                    endpoint=path,
                    method=request.method,
                    status=response.status_code,
                    milliseconds=round(seconds * 1000, 1),
                )
            return response

        return Route(path, served, methods=methods)

    async def _authorize(self, request: Request) -> Response:
        try:
            message = await message_of(request)
            location = await self._in_thread(request, lambda provider: authorizing.asked(provider, message))
        except OAuth2Error as error:
            return error_page(400, error.error, error.get_error_description(), telemetry.correlation_id())
        except Refusal as refusal:
            known = oauth_error(refusal)
            return error_page(
                int(known.status_code or 400), known.error, known.get_error_description(), telemetry.correlation_id()
            )
        return RedirectResponse(location, 303 if request.method == "POST" else 302, _NO_STORE)

    async def _token(self, request: Request) -> Response:
        message = await message_of(request)
        return _response(await self._in_thread(request, lambda provider: provider.create_token_response(message)))

    def _endpoint(self, name: str) -> Endpoint:
        async def serve(request: Request) -> Response:
            message: Message = await message_of(request)
            return _response(
                await self._in_thread(request, lambda provider: provider.create_endpoint_response(name, message))
            )

        return serve

    async def _logout(self, request: Request) -> Response:
        """To the page that asks the person (OpenID Connect RP-Initiated Logout 1.0 §2). What is wrong is shown: nobody can be sent back."""
        try:
            location = await leaving.asked(self._identity, self._public_url, await message_of(request), request.headers)
        except OAuth2Error as error:
            return _no_way_out(400, error.error, error.get_error_description())
        except Refusal as refusal:
            known = oauth_error(refusal)
            return _no_way_out(int(known.status_code or 400), known.error, known.get_error_description())
        return RedirectResponse(location, 303 if request.method == "POST" else 302, _NO_STORE)

    async def _user_info(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _challenged(401, "", "")
        try:
            told = await answered(
                self._identity.oauth.GetUserInfo(
                    api.GetUserInfoRequest(access_token=token[:8192]), metadata=origin(request.headers)
                )
            )
        except Refusal as refusal:
            match refusal.reason:
                case "CREDENTIAL_INVALID" | "REQUEST_INVALID":
                    return _challenged(401, "invalid_token", "The access token is not good")
                case "SCOPE_INVALID":
                    return _challenged(403, "insufficient_scope", "The access token lacks the scope openid")
                case _:
                    raise
        claims: dict[str, object] = {"sub": told.subject}
        claims |= {"name": told.display_name} if told.display_name else {}
        claims |= {"locale": told.language} if told.language else {}
        claims |= {"email": told.email, "email_verified": True} if told.email else {}
        return JSONResponse(claims, headers=_NO_STORE)

    async def _metadata(self, request: Request) -> Response:
        return _kept(discovery.metadata(await self._provider(request)))

    async def _keys(self, request: Request) -> Response:
        return _kept(discovery.key_set(await self._provider(request)))

    async def _provider(self, request: Request) -> api.GetProviderResponse:
        return await answered(
            self._identity.oauth.GetProvider(api.GetProviderRequest(), metadata=origin(request.headers))
        )

    async def _in_thread(self, request: Request, work: Callable[[Provider], Answer]) -> Answer:
        """Does what Authlib does, beside the loop."""
        loop = asyncio.get_running_loop()
        bridge = Bridge(self._identity, loop, origin(request.headers), new_id("req"))
        provider = Provider(bridge, self._public_url)
        context = contextvars.copy_context()
        return await loop.run_in_executor(self._pool, lambda: context.run(work, provider))


async def _safely(serve: Endpoint, request: Request, correlation_id: str) -> Response:
    """What is answered, whatever happens. Nothing of a defect leaves."""
    try:
        return await serve(request)
    except OAuth2Error as error:
        return _response(_known(error))
    except Refusal as refusal:
        return _response(_known(oauth_error(refusal)))
    except Exception:
        log.exception("defect", endpoint=request.scope.get("path"))
        return _response(_known(ServerError(description=f"The server failed; quote {correlation_id} to its operator.")))


def _known(error: Any) -> tuple[int, Any, Any]:
    status, body, headers = error()
    return status, dict(body) if isinstance(body, list) else body, headers


def _response(answer: tuple[int, Any, Any]) -> Response:
    status, body, headers = answer
    fields = {**_NO_STORE, **{name.lower(): value for name, value in headers if name.lower() != "content-type"}}
    return JSONResponse(body, status, fields)


def _kept(document: dict[str, object]) -> Response:
    return JSONResponse(document, headers={"cache-control": f"public, max-age={discovery.KEPT_SECONDS}"})


def _no_way_out(status: int, error: str, detail: str) -> Response:
    return error_page(
        status,
        error,
        detail,
        telemetry.correlation_id(),
        title="You are not signed out here",
        advice="The app that sent you here asked in a way that is not safe. Sign out on Reelmesh's own pages, and tell the app's maker.",
    )


def _challenged(status: int, error: str, description: str) -> Response:
    """A refusal of an access token (RFC 6750 §3)."""
    challenge = 'Bearer realm="reelmesh"'
    if error:
        challenge += f', error="{error}", error_description="{description}"'
    body = {"error": error, "error_description": description} if error else {}
    return JSONResponse(body, status, {**_NO_STORE, "www-authenticate": challenge})
