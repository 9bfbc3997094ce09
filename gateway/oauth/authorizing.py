"""The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2): what it takes, and where the browser goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from google.protobuf.duration_pb2 import Duration
from reelmesh.identity.v1 import oauth_service_pb2 as api

from gateway.oauth.errors import oauth_error
from gateway.oauth.provider import Provider
from gateway.oauth.requests import Message, parameter
from services.kit.errors import Refusal

_PROMPTS: Final = {"none", "login", "consent", "select_account"}
_LONGEST: Final = {"state": 2000, "nonce": 500}
_MOST_SECONDS: Final = 10 * 365 * 24 * 3600


class RequestNotSupportedError(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """Request objects are not taken (OpenID Connect Core §3.1.2.6)."""

    error = "request_not_supported"


class RequestUriNotSupportedError(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """Nor are references to them."""

    error = "request_uri_not_supported"


def asked(provider: Provider, message: Message) -> str:
    """Where the browser goes that came with an authorization request: to the page that asks the person, or back with an error.

    Raises:
        OAuth2Error: nobody can be sent back, because it is not certain to whom. It is to be shown.
        Refusal: the identity service is away.
    """
    state = parameter(message, "state")
    try:
        grant = provider.get_consent_grant(message)
        request = _request(provider, message, grant.redirect_uri)
        answer = provider.bridge.identity.oauth.BeginAuthorization
        begun = provider.bridge.ask((answer, request))
        # The page must know what the client wants before anybody is signed in.
        silent = "&silent=1" if request.silent else ""
        return f"{provider.public_url}/authorize#request={begun.authorization_id}{silent}"
    except OAuth2Error as error:
        if not error.redirect_uri:
            raise
        error.state = state or None
        return _back(provider, error)
    except Refusal as refusal:
        if refusal.reason != "SCOPE_INVALID":
            raise
        return _back(provider, oauth_error(refusal, redirect_uri=grant.redirect_uri, state=state or None))


def _back(provider: Provider, error: Any) -> str:
    """The client's own address with the error, and who says so (RFC 9207)."""
    _, _, ((_, location),) = error()
    return str(add_params_to_uri(location, [("iss", provider.public_url)]))


def _request(provider: Provider, message: Message, redirect_uri: str) -> api.BeginAuthorizationRequest:
    try:
        message.payload.check_single()
        _check_supported(message)
        prompts = _prompts(message)
        max_age = _max_age(message)
        for name, most in _LONGEST.items():
            if len(parameter(message, name)) > most:
                raise InvalidRequestError(f"The '{name}' is too long.")
    except OAuth2Error as error:
        error.redirect_uri = redirect_uri
        raise
    hint = parameter(message, "login_hint")
    return api.BeginAuthorizationRequest(
        request_id=provider.bridge.request_id,
        client_id=parameter(message, "client_id"),
        redirect_uri=redirect_uri,
        scopes=sorted(set(parameter(message, "scope").split())),
        state=parameter(message, "state"),
        nonce=parameter(message, "nonce"),
        code_challenge=parameter(message, "code_challenge"),
        silent="none" in prompts,
        fresh_sign_in=bool(prompts & {"login", "select_account"}),
        fresh_consent="consent" in prompts,
        max_age=max_age,
        login_hint=hint if len(hint) <= 254 else "",
    )


def _check_supported(message: Message) -> None:
    if parameter(message, "request"):
        raise RequestNotSupportedError
    if parameter(message, "request_uri"):
        raise RequestUriNotSupportedError
    if parameter(message, "response_mode") not in {"", "query"}:
        raise InvalidRequestError("The 'response_mode' must be query.")


def _prompts(message: Message) -> set[str]:
    prompts = set(parameter(message, "prompt").split())
    if prompts - _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequestError("Invalid 'prompt' parameter.")
    return prompts


def _max_age(message: Message) -> Duration | None:
    text = parameter(message, "max_age")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidRequestError("The 'max_age' must be a number of seconds.")
    age = Duration()
    age.FromTimedelta(timedelta(seconds=min(int(text), _MOST_SECONDS)))
    return age
