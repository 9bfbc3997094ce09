"""The protocol: Authlib's authorization server, with every decision asked of the identity service.

Authlib is synchronous. A provider is made for each request and used in a thread; what it asks runs on the loop (`Bridge`).
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Final

from authlib.consts import default_json_headers
from authlib.oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import (
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    UnauthorizedClientError,
    UnsupportedTokenTypeError,
    grants,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7636.challenge import CODE_VERIFIER_PATTERN
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE, DeviceAuthorizationEndpoint, DeviceCodeGrant
from reelmesh.identity.v1 import oauth_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from gateway.oauth.errors import oauth_error
from gateway.oauth.identity import Bridge
from gateway.oauth.requests import Message
from services.kit.errors import Refusal

AUTH_METHODS: Final = ["client_secret_basic", "client_secret_post", "none"]
SECRET_METHODS: Final = ["client_secret_basic", "client_secret_post"]
GRANTS: Final = {
    "authorization_code": oauth_pb2.O_AUTH_GRANT_AUTHORIZATION_CODE,
    "refresh_token": oauth_pb2.O_AUTH_GRANT_REFRESH_TOKEN,
    "client_credentials": oauth_pb2.O_AUTH_GRANT_CLIENT_CREDENTIALS,
    DEVICE_CODE_GRANT_TYPE: oauth_pb2.O_AUTH_GRANT_DEVICE_CODE,
}
_LONGEST_SECRET: Final = 200


class RegisteredClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A client as Authlib asks about it."""

    def __init__(self, bridge: Bridge, client: oauth_pb2.OAuthClient) -> None:
        self._bridge = bridge
        self._client = client

    def get_client_id(self) -> str:
        return self._client.client_id

    def get_default_redirect_uri(self) -> None:
        """There is none: a client always says where it wants the person back."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """The scope that was asked for, if the client may have all of it."""
        asked = (scope or "").split()
        return " ".join(asked) if asked and set(asked) <= set(self._client.scopes) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        request = api.GetClientRequest(client_id=self._client.client_id, redirect_uri=redirect_uri[:2001])
        return bool(self._asked(request).redirect_registered)

    def check_client_secret(self, client_secret: str) -> bool:
        digest = hashlib.sha256(client_secret[: _LONGEST_SECRET + 1].encode()).digest()
        request = api.GetClientRequest(client_id=self._client.client_id, secret_sha256=digest)
        return bool(self._asked(request).secret_right)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002  # the same for all endpoints
        return self._client.confidential != (method == "none")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        return GRANTS[grant_type] in self._client.grants

    def _asked(self, request: api.GetClientRequest) -> api.GetClientResponse:
        try:
            answer: api.GetClientResponse = self._bridge.ask((self._bridge.identity.oauth.GetClient, request))
        except Refusal as refusal:
            if refusal.reason == "REQUEST_INVALID":  # whatever it is, it is not the client's
                return api.GetClientResponse()
            raise
        return answer


class Provider(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """What serves one request."""

    def __init__(self, bridge: Bridge, public_url: str) -> None:
        super().__init__()
        self.bridge = bridge
        self.public_url = public_url
        self.register_grant(CodeGrant, [S256Only(required=True)])
        self.register_grant(RefreshGrant)
        self.register_grant(ClientGrant)
        self.register_grant(DeviceGrant)
        self.register_endpoint(DeviceEndpoint(self))
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)

    def query_client(self, client_id: str) -> RegisteredClient | None:
        """The client; None when there is none."""
        try:
            answer = self.bridge.ask(
                (self.bridge.identity.oauth.GetClient, api.GetClientRequest(client_id=client_id[:200]))
            )
        except Refusal as refusal:
            if refusal.reason in {"OAUTH_CLIENT_NOT_FOUND", "REQUEST_INVALID"}:
                return None
            raise
        return RegisteredClient(self.bridge, answer.client)

    def create_oauth2_request(self, request: Message) -> Message:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, list[tuple[str, str]]]:
        return status, body, list(headers)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def ask(self, method: Any, request: Any) -> Any:
        """Asks the identity service.

        Raises:
            OAuth2Error: what it was refused with, as clients know it.
        """
        try:
            return self.bridge.ask((method, request))
        except Refusal as refusal:
            raise oauth_error(refusal) from None

    def authenticate_client(self, request: Message, methods: list[str], endpoint: str = "token") -> Any:
        """The client, which shows its secret in one way only (RFC 6749 §2.3)."""
        request.payload.check_single()
        if "authorization" in request.headers and "client_secret" in request.form:
            raise InvalidRequestError("Send the client secret in one way only.")
        try:
            return super().authenticate_client(request, methods, endpoint)
        except ValueError:  # what stands there is not base64, or not text
            raise InvalidClientError("The credentials cannot be read.", status_code=401) from None


def token_answer(grant: api.Grant) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
    """What a client gets (RFC 6749 §5.1)."""
    body: dict[str, object] = {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": grant.access_lifetime.seconds,
        "scope": " ".join(grant.scopes),
    }
    if grant.refresh_token:
        body["refresh_token"] = grant.refresh_token
    if grant.id_token:
        body["id_token"] = grant.id_token
    return 200, body, list(default_json_headers)


class S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """PKCE, which every client must use, by S256 (OAuth 2.1 §4.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge'")
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("The 'code_challenge_method' must be S256")
        super().validate_code_challenge(grant, redirect_uri)
        if len(data["code_challenge"]) != 43:
            raise InvalidRequestError("Invalid 'code_challenge'")


class _TokenGrant:
    """What all ways to tokens have in common."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS
    GRANT_TYPE: str
    request: Any
    server: Any

    def validate_token_request(self) -> None:
        """Recognises the client, and refuses ways that it may not go."""
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError(f"The client is not authorized to use 'grant_type={self.GRANT_TYPE}'")
        self.request.client = client

    def authenticate_token_endpoint_client(self) -> Any:
        return self.server.authenticate_client(self.request, self.TOKEN_ENDPOINT_AUTH_METHODS)

    def parameter(self, name: str) -> str:
        """A parameter that must come."""
        value: str | None = self.request.form.get(name)
        if not value:
            raise InvalidRequestError(f"Missing '{name}' in request.")
        return value

    @property
    def client_id(self) -> str:
        return str(self.request.client.get_client_id())

    @property
    def scopes(self) -> list[str]:
        return str(self.request.form.get("scope", "")).split()


class CodeGrant(_TokenGrant, grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """Authorization code with PKCE. Whether the code is good, and for whom, is for the identity service to say, in one step."""

    def create_token_response(self) -> Any:
        verifier = self.parameter("code_verifier")
        if not CODE_VERIFIER_PATTERN.match(verifier):
            raise InvalidRequestError("Invalid 'code_verifier'")
        request = api.ExchangeCodeRequest(
            request_id=self.server.bridge.request_id,
            client_id=self.client_id,
            code=self.parameter("code"),
            redirect_uri=self.parameter("redirect_uri"),
            code_verifier=verifier,
        )
        return token_answer(self.server.ask(self.server.bridge.identity.oauth.ExchangeCode, request).grant)


class RefreshGrant(_TokenGrant, grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """Refresh token."""

    def create_token_response(self) -> Any:
        request = api.ExchangeRefreshTokenRequest(
            request_id=self.server.bridge.request_id,
            client_id=self.client_id,
            refresh_token=self.parameter("refresh_token"),
            scopes=self.scopes,
        )
        return token_answer(self.server.ask(self.server.bridge.identity.oauth.ExchangeRefreshToken, request).grant)


class ClientGrant(_TokenGrant, grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
    """The client for itself, which must show its secret."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = SECRET_METHODS

    def create_token_response(self) -> Any:
        request = api.IssueClientTokenRequest(client_id=self.client_id, scopes=self.scopes)
        return token_answer(self.server.ask(self.server.bridge.identity.oauth.IssueClientToken, request).grant)


class DeviceGrant(_TokenGrant, DeviceCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """Device code."""

    def create_token_response(self) -> Any:
        request = api.ExchangeDeviceCodeRequest(
            request_id=self.server.bridge.request_id,
            client_id=self.client_id,
            device_code=self.parameter("device_code"),
        )
        return token_answer(self.server.ask(self.server.bridge.identity.oauth.ExchangeDeviceCode, request).grant)


class DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Where a device begins (RFC 8628 §3.1). The person's code is in the fragment of the page's address, which no server is sent."""

    CLIENT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS

    def create_endpoint_response(self, request: Message) -> Any:
        client = self.authenticate_client(request)
        if not client.check_grant_type(DEVICE_CODE_GRANT_TYPE):
            raise UnauthorizedClientError("The client is not authorized to use device codes")
        answer = self.server.ask(
            self.server.bridge.identity.oauth.BeginDeviceAuthorization,
            api.BeginDeviceAuthorizationRequest(
                client_id=client.get_client_id(), scopes=str(request.form.get("scope", "")).split()
            ),
        )
        page = f"{self.server.public_url}/activate"
        body = {
            "device_code": answer.device_code,
            "user_code": answer.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}#user_code={answer.user_code}",
            "expires_in": answer.lifetime.seconds,
            "interval": answer.interval.seconds,
        }
        return 200, body, list(default_json_headers)


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Where a client gives a token back (RFC 7009)."""

    CLIENT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS

    def create_endpoint_response(self, request: Message) -> Any:
        client = self.authenticate_endpoint_client(request)
        self.check_params(request, client)
        self.server.ask(
            self.server.bridge.identity.oauth.RevokeToken,
            api.RevokeTokenRequest(client_id=client.get_client_id(), token=request.form["token"]),
        )
        return 200, {}, list(default_json_headers)


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Where a confidential client asks what a token is good for (RFC 7662)."""

    CLIENT_AUTH_METHODS: ClassVar[list[str]] = SECRET_METHODS

    def create_endpoint_response(self, request: Message) -> Any:
        client = self.authenticate_endpoint_client(request)
        if "token" not in request.form:
            raise InvalidRequestError("Missing 'token' in request.")
        if request.form.get("token_type_hint") not in {None, *self.SUPPORTED_TOKEN_TYPES}:
            raise UnsupportedTokenTypeError
        told = self.server.ask(
            self.server.bridge.identity.oauth.GetToken,
            api.GetTokenRequest(client_id=client.get_client_id(), token=request.form["token"]),
        )
        return 200, _told(told, self.server.public_url), list(default_json_headers)


def _told(told: api.GetTokenResponse, issuer: str) -> dict[str, object]:
    if not told.active:
        return {"active": False}
    body: dict[str, object] = {
        "active": True,
        "scope": " ".join(told.scopes),
        "client_id": told.client_id,
        "sub": told.subject,
        "organisation_id": told.organisation_id,
        "iss": issuer,
        "exp": told.expire_time.seconds,
    }
    if told.access:
        body |= {"token_type": "Bearer", "iat": told.issue_time.seconds, "aud": "reelmesh-api"}
    return body
