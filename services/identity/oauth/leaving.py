"""Signing out because a client asks so (OpenID Connect RP-Initiated Logout 1.0).

A client that signed a person out sends the browser here. What it asks is checked and sealed, and nothing is kept of it: the page brings it
back when it asks the person, and again when they say yes.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.serialization import load_der_public_key
from reelmesh.identity.v1 import events_pb2, oauth_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.identity.oauth.answering import of_our_pages
from services.identity.oauth.domain import logout_invalid
from services.identity.oauth_clients.domain import OAuthClient
from services.identity.oauth_clients.store import Clients
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Sessions
from services.identity.trust.signing import ID_TOKEN_TYPE, Signer
from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.sealing import Seal, Unreadable
from services.kit.server import Call

CONFIRMABLE_FOR: Final = timedelta(minutes=30)
"""How long a person may take to answer."""
_PLACE: Final = "logout"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks, as it is sealed.

    Attributes:
        client_id: who asks; empty when it did not say so.
        account_id, session_id: whom it signed out, and its own session, by its ID token; empty when it showed none that is still known.
        redirect_uri: where to send the browser afterwards; empty for nowhere.
        state: goes back to the client.
        expires: Unix seconds.
    """

    client_id: str
    account_id: str
    session_id: str
    redirect_uri: str
    state: str
    expires: int

    @property
    def location(self) -> str:
        """Where to send the browser, with the client's state."""
        if not self.state or not self.redirect_uri:
            return self.redirect_uri
        return f"{self.redirect_uri}{'&' if '?' in self.redirect_uri else '?'}{urlencode({'state': self.state})}"


class Leaving:
    """Takes such requests, and people's answers. Each method works in the caller's transaction."""

    def __init__(self, clock: Clock, *, clients: Clients, seal: Seal, signer: Signer, sessions: Sessions) -> None:
        self._clock = clock
        self._clients = clients
        self._seal = seal
        self._signer = signer
        self._sessions = sessions

    async def begin(self, tx: Tx, request: api.BeginLogoutRequest) -> str:
        """Checks and seals what a client asks.

        Raises:
            Refusal: INVALID_ARGUMENT `LOGOUT_INVALID`.
        """
        hint = self._hint(request.id_token_hint)
        audience = str(hint.get("aud", ""))
        if request.client_id and audience and request.client_id != audience:
            raise logout_invalid("client_id", "the ID token is for another client")
        client_id = request.client_id or audience
        client = await self._clients.find(tx, client_id) if client_id else None
        if client_id and client is None:
            raise logout_invalid("client_id", "there is no such client")
        _check_redirect(client, request.post_logout_redirect_uri)
        asked = Asked(
            client_id=client_id,
            account_id=str(hint.get("sub", "")),
            session_id=str(hint.get("sid", "")),
            redirect_uri=request.post_logout_redirect_uri,
            state=request.state,
            expires=int((self._clock.now() + CONFIRMABLE_FOR).timestamp()),
        )
        sealed = self._seal.seal(json.dumps(asdict(asked), ensure_ascii=False).encode(), _PLACE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def shown(self, tx: Tx, logout: str) -> oauth_pb2.Logout:
        """What the page tells the person. A client that is gone, or lost the address, gets nobody sent there.

        Raises:
            Refusal: INVALID_ARGUMENT `LOGOUT_INVALID`.
        """
        asked = self._opened(logout)
        client = await self._clients.find(tx, asked.client_id) if asked.client_id else None
        returns = client is not None and client.returns_to(asked.redirect_uri)
        return oauth_pb2.Logout(
            client_id=asked.client_id,
            client_name=client.display_name if client else "",
            account_id=asked.account_id,
            redirect_uri=asked.location if returns else "",
        )

    async def confirmed(self, tx: Tx, call: Call, logout: str) -> None:
        """Ends the caller's session, and the client's where it is theirs too: an ID token is no proof of who shows it.

        Raises:
            Refusal: INVALID_ARGUMENT `LOGOUT_INVALID`; PERMISSION_DENIED `PERMISSION_MISSING`.
        """
        asked = self._opened(logout)
        mine = await of_our_pages(tx, call)
        for session_id in sorted({mine.session_id, asked.session_id} - {""}):
            session = await session_store.find(tx, session_id, for_update=True)
            if session is not None and session.account_id == mine.account_id:
                await self._sessions.end(tx, session, events_pb2.SESSION_END_LOGGED_OUT)

    def _hint(self, token: str) -> dict[str, Any]:
        """What an ID token of ours says, expired or not (RP-Initiated Logout §2). Nothing when there is none, or the key that signed it is
        forgotten already: the person is asked in any case."""
        if not token:
            return {}
        wrong = logout_invalid(
            "id_token_hint", "this is no ID token of ours; send the one that the client got, or none"
        )
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != ID_TOKEN_TYPE:
                raise wrong
            known = [key for key in self._signer.keys if key.key_id == header.get("kid")]
            if not known:
                return {}
            claims: dict[str, Any] = jwt.decode(
                token,
                load_der_public_key(known[0].public_key),  # type: ignore[arg-type]  # PyJWT wants it narrower
                algorithms=["ES256"],
                issuer=self._signer.issuer,
                options={"require": ["sub", "aud"], "verify_exp": False, "verify_iat": False, "verify_aud": False},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise wrong from None
        return claims

    def _opened(self, logout: str) -> Asked:
        wrong = logout_invalid("logout", "this request to sign out is not open any more; begin again in the app")
        try:
            sealed = base64.b64decode(logout + "=" * (-len(logout) % 4), altchars=b"-_", validate=True)
            asked = Asked(**json.loads(self._seal.open(sealed, _PLACE)))
        except (binascii.Error, ValueError, Unreadable):
            raise wrong from None
        if asked.expires <= self._clock.now().timestamp():
            raise wrong
        return asked


def _check_redirect(client: OAuthClient | None, uri: str) -> None:
    if not uri:
        return
    if client is None:
        raise logout_invalid("client_id", "say which client asks, by its ID token or its id")
    if not client.returns_to(uri):
        message = "the address is not registered for the client; register it among its post_logout_redirect_uris"
        raise logout_invalid("post_logout_redirect_uri", message)
