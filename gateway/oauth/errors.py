"""Refusals of the identity service as OAuth errors."""

from __future__ import annotations

from typing import Any, Final

import grpc
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.base import invalid_error_characters
from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc8628 import AuthorizationPendingError, ExpiredTokenError, SlowDownError

from services.kit.errors import Refusal

_BY_REASON: Final[dict[str, Any]] = {
    "GRANT_INVALID": InvalidGrantError,
    "GRANT_PENDING": AuthorizationPendingError,
    "GRANT_POLLED_TOO_OFTEN": SlowDownError,
    "GRANT_EXPIRED": ExpiredTokenError,
    "GRANT_REFUSED": AccessDeniedError,
    "SCOPE_INVALID": InvalidScopeError,
    "OAUTH_CLIENT_NOT_FOUND": InvalidClientError,
    "OAUTH_CLIENT_INVALID": UnauthorizedClientError,
    "REQUEST_INVALID": InvalidRequestError,
    "LOGOUT_INVALID": InvalidRequestError,
}
_PASSING: Final = {
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}


class TemporarilyUnavailableError(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """The server is overloaded or a part of it is away (RFC 6749 §4.1.2.1)."""

    error = "temporarily_unavailable"


class ServerError(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """A defect of the server (RFC 6749 §4.1.2.1)."""

    error = "server_error"
    status_code = 500


def oauth_error(refusal: Refusal, **more: Any) -> Any:
    """A refusal as the error that OAuth clients know."""
    description = "".join(c for c in refusal.message if not invalid_error_characters(c))
    known = _BY_REASON.get(refusal.reason)
    if known is not None:
        return known(description=description, **more)
    status = _PASSING.get(refusal.code)
    if status is not None:
        return TemporarilyUnavailableError(description=description, status_code=status, **more)
    return ServerError(description="The server failed; quote the correlation id to its operator.", **more)
