"""The end session endpoint (OpenID Connect RP-Initiated Logout 1.0 §2): what it takes, and where the browser goes."""

from __future__ import annotations

from collections.abc import Mapping

from reelmesh.identity.v1 import oauth_service_pb2 as api

from gateway.oauth.identity import Identity, answered, origin
from gateway.oauth.requests import Message, parameter


async def asked(identity: Identity, public_url: str, message: Message, headers: Mapping[str, str]) -> str:
    """Where the browser goes that came with a request to sign its person out: to the page that asks them. `logout_hint` and `ui_locales`
    change nothing: the page knows who is signed in, and in which language.

    Raises:
        OAuth2Error: a parameter came twice.
        Refusal: `LOGOUT_INVALID`, or the identity service is away.
    """
    message.payload.check_single()
    request = api.BeginLogoutRequest(
        id_token_hint=parameter(message, "id_token_hint"),
        client_id=parameter(message, "client_id"),
        post_logout_redirect_uri=parameter(message, "post_logout_redirect_uri"),
        state=parameter(message, "state"),
    )
    begun = await answered(identity.oauth.BeginLogout(request, metadata=origin(headers)))
    return f"{public_url}/sign-out#logout={begun.logout}"
