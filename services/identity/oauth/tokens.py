"""What a token is good for, to whom it may be told, and how it ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import jwt
from reelmesh.identity.v1 import events_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.identity.accounts import store as accounts
from services.identity.oauth.domain import digest, grant_invalid
from services.identity.oauth_clients.domain import EMAIL, OPENID, PROFILE, OAuthClient
from services.identity.refusals import refusal
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Sessions
from services.identity.trust.feed import TrustFeed
from services.kit.access import Principal, Trust, credential_invalid
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.errors import Refusal


class TokenDesk:
    """Looks at tokens."""

    def __init__(self, clock: Clock, trust: Trust, sessions: Sessions, feed: TrustFeed) -> None:
        self._clock = clock
        self._trust = trust
        self._sessions = sessions
        self._feed = feed

    async def introspected(self, tx: Tx, client: OAuthClient, token: str) -> api.GetTokenResponse:
        """What a token is good for (RFC 7662). A client learns of its own tokens, and of those that act for its organisation."""
        principal = await self._principal(token)
        if principal is None:
            return await self._refresh_token(tx, client, token)
        theirs = client.organisation_id and principal.organisation_id == client.organisation_id
        if principal.client_id != client.client_id and not theirs:
            return api.GetTokenResponse()
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})  # verified above
        return api.GetTokenResponse(
            active=True,
            scopes=sorted(principal.permissions),
            client_id=principal.client_id,
            subject=str(claims["sub"]),
            organisation_id=principal.organisation_id,
            access=True,
            issue_time=timestamp(datetime.fromtimestamp(claims["iat"], UTC)),
            expire_time=timestamp(datetime.fromtimestamp(claims["exp"], UTC)),
        )

    async def revoke(self, tx: Tx, client: OAuthClient, token: str) -> None:
        """Ends a client's own token, and the session that it belongs to (RFC 7009 §2.1).

        Raises:
            Refusal: `GRANT_INVALID` when it is another client's.
        """
        principal = await self._principal(token)
        if principal is None:
            session = await self._sessions.of_token(tx, token)
            if session is not None and session.client_id != client.client_id:
                raise grant_invalid("token")
        elif principal.client_id != client.client_id:
            raise grant_invalid("token")
        elif not principal.account_id:
            await self._feed.revoke(tx, principal.session_id)
            return
        else:
            session = await session_store.find(tx, principal.session_id, for_update=True)
        if session is not None:
            await self._sessions.end(tx, session, events_pb2.SESSION_END_TOKEN_REVOKED)

    async def user_info(self, tx: Tx, token: str) -> api.GetUserInfoResponse:
        """What the client of an access token may know of its person (OpenID Connect Core §5.3).

        Raises:
            Refusal: `CREDENTIAL_INVALID`, `SCOPE_INVALID`.
        """
        principal = await self._trust.person(token)
        session = await session_store.find(tx, principal.session_id)
        account = await accounts.find(tx, principal.account_id)
        if session is None or account is None:
            raise credential_invalid("the access token belongs to no person")
        scope = session.scope if session.scope is not None else (OPENID, PROFILE, EMAIL)
        if OPENID not in scope:
            message = "the access token does not carry the scope openid"
            raise refusal(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_INVALID", message, scope=OPENID)
        return api.GetUserInfoResponse(
            subject=account.account_id,
            display_name=account.display_name if PROFILE in scope else "",
            language=account.language if PROFILE in scope else "",
            email=account.email if EMAIL in scope else "",
        )

    async def _principal(self, token: str) -> Principal | None:
        try:
            return await self._trust.person(token)
        except Refusal:
            return None

    async def _refresh_token(self, tx: Tx, client: OAuthClient, token: str) -> api.GetTokenResponse:
        now = self._clock.now()
        found = await session_store.find_token(tx, digest(token))
        session = None if found is None else await session_store.find(tx, found.session_id)
        if found is None or session is None or found.use_time or found.expire_time <= now or not session.open(now):
            return api.GetTokenResponse()
        if session.client_id != client.client_id:
            return api.GetTokenResponse()
        return api.GetTokenResponse(
            active=True,
            scopes=session.scope or (),
            client_id=session.client_id,
            subject=session.account_id,
            organisation_id=session.organisation_id,
            expire_time=timestamp(found.expire_time),
        )
