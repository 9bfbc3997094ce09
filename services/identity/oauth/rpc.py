"""The OAuth contract."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from reelmesh.identity.v1 import events_pb2, oauth_pb2, oauth_service_pb2_grpc
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.identity.oauth import store
from services.identity.oauth.answering import Answering
from services.identity.oauth.domain import DEVICE_INTERVAL, DEVICE_LIFETIME
from services.identity.oauth.issuing import Issuing
from services.identity.oauth.leaving import Leaving
from services.identity.oauth.tokens import TokenDesk
from services.identity.oauth_clients.domain import OAuthClient, all_scopes, client_not_found
from services.identity.oauth_clients.rpc import resource
from services.identity.oauth_clients.store import Clients
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Sessions
from services.identity.trust.signing import Signer, SigningKey
from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class OAuthServicer(oauth_service_pb2_grpc.OAuthServiceServicer):
    """Serves `reelmesh.identity.v1.OAuthService`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        clients: Clients,
        answering: Answering,
        issuing: Issuing,
        leaving: Leaving,
        tokens: TokenDesk,
        sessions: Sessions,
        signer: Signer,
    ) -> None:
        self._database = database
        self._clock = clock
        self._clients = clients
        self._answering = answering
        self._issuing = issuing
        self._leaving = leaving
        self._tokens = tokens
        self._sessions = sessions
        self._signer = signer

    async def GetClient(self, request: api.GetClientRequest, context: Context) -> api.GetClientResponse:
        """What is known of a client."""
        async with self._database.transaction() as tx:
            client = await self._client(tx, request.client_id)
        return api.GetClientResponse(
            client=resource(client),
            redirect_registered=client.redirects_to(request.redirect_uri),
            secret_right=client.knows(request.secret_sha256),
        )

    async def GetProvider(self, request: api.GetProviderRequest, context: Context) -> api.GetProviderResponse:
        """What clients need to know of us."""
        return api.GetProviderResponse(
            issuer=self._signer.issuer,
            scopes=sorted(all_scopes()),
            keys=[_json_web_key(key) for key in self._signer.keys],
        )

    async def BeginAuthorization(
        self, request: api.BeginAuthorizationRequest, context: Context
    ) -> api.BeginAuthorizationResponse:
        """Keeps a client's request."""
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, request.client_id, request, api.BeginAuthorizationResponse):
                return earlier
            answer = api.BeginAuthorizationResponse(authorization_id=await self._answering.begin(tx, request))
            await remember(tx, request.client_id, request, answer)
        return answer

    async def ExchangeCode(self, request: api.ExchangeCodeRequest, context: Context) -> api.ExchangeCodeResponse:
        """Tokens for a code."""
        grant = await self._issued(request.client_id, lambda tx, client: self._issuing.for_code(tx, client, request))
        return api.ExchangeCodeResponse(grant=grant)

    async def ExchangeRefreshToken(
        self, request: api.ExchangeRefreshTokenRequest, context: Context
    ) -> api.ExchangeRefreshTokenResponse:
        """Tokens for a refresh token."""
        grant = await self._issued(
            request.client_id, lambda tx, client: self._issuing.for_refresh_token(tx, client, request)
        )
        return api.ExchangeRefreshTokenResponse(grant=grant)

    async def IssueClientToken(
        self, request: api.IssueClientTokenRequest, context: Context
    ) -> api.IssueClientTokenResponse:
        """A token for the client itself."""
        grant = await self._issued(
            request.client_id, lambda tx, client: self._issuing.for_itself(tx, client, list(request.scopes))
        )
        return api.IssueClientTokenResponse(grant=grant)

    async def BeginDeviceAuthorization(
        self, request: api.BeginDeviceAuthorizationRequest, context: Context
    ) -> api.BeginDeviceAuthorizationResponse:
        """Codes for a device and its person."""
        device_code, user_code = await self._answering.begin_device(request, current_call().client)
        return api.BeginDeviceAuthorizationResponse(
            device_code=device_code,
            user_code=user_code,
            lifetime=duration(DEVICE_LIFETIME.total_seconds()),
            interval=duration(DEVICE_INTERVAL.total_seconds()),
        )

    async def ExchangeDeviceCode(
        self, request: api.ExchangeDeviceCodeRequest, context: Context
    ) -> api.ExchangeDeviceCodeResponse:
        """Tokens for a device code."""
        grant = await self._issued(
            request.client_id, lambda tx, client: self._issuing.for_device_code(tx, client, request)
        )
        return api.ExchangeDeviceCodeResponse(grant=grant)

    async def GetToken(self, request: api.GetTokenRequest, context: Context) -> api.GetTokenResponse:
        """What a token is good for."""
        async with self._database.transaction() as tx:
            client = await self._client(tx, request.client_id)
            return await self._tokens.introspected(tx, client, request.token)

    async def RevokeToken(self, request: api.RevokeTokenRequest, context: Context) -> api.RevokeTokenResponse:
        """Ends a token."""
        async with self._database.transaction() as tx:
            await self._tokens.revoke(tx, await self._client(tx, request.client_id), request.token)
        return api.RevokeTokenResponse()

    async def GetUserInfo(self, request: api.GetUserInfoRequest, context: Context) -> api.GetUserInfoResponse:
        """What a client may know of a person."""
        async with self._database.transaction() as tx:
            return await self._tokens.user_info(tx, request.access_token)

    async def BeginLogout(self, request: api.BeginLogoutRequest, context: Context) -> api.BeginLogoutResponse:
        """Seals what a client asks."""
        async with self._database.transaction() as tx:
            return api.BeginLogoutResponse(logout=await self._leaving.begin(tx, request))

    async def FindLogout(self, request: api.FindLogoutRequest, context: Context) -> api.FindLogoutResponse:
        """What a client asks."""
        async with self._database.transaction() as tx:
            return api.FindLogoutResponse(logout=await self._leaving.shown(tx, request.logout))

    async def ConfirmLogout(self, request: api.ConfirmLogoutRequest, context: Context) -> api.ConfirmLogoutResponse:
        """Takes yes for an answer."""
        async with self._database.transaction() as tx:
            await self._leaving.confirmed(tx, current_call(), request.logout)
        return api.ConfirmLogoutResponse()

    async def GetAuthorization(
        self, request: api.GetAuthorizationRequest, context: Context
    ) -> api.GetAuthorizationResponse:
        """What a client asks."""
        shown = await self._answering.shown(current_call(), request.authorization_id)
        return api.GetAuthorizationResponse(authorization=shown)

    async def AnswerAuthorization(
        self, request: api.AnswerAuthorizationRequest, context: Context
    ) -> api.AnswerAuthorizationResponse:
        """Takes an answer."""
        uri = await self._answering.answer(current_call(), request.authorization_id, approve=request.approve)
        return api.AnswerAuthorizationResponse(redirect_uri=uri)

    async def RefuseAuthorization(
        self, request: api.RefuseAuthorizationRequest, context: Context
    ) -> api.RefuseAuthorizationResponse:
        """Takes no from a page where nobody is signed in."""
        return api.RefuseAuthorizationResponse(redirect_uri=await self._answering.refuse(request.authorization_id))

    async def FindDeviceAuthorization(
        self, request: api.FindDeviceAuthorizationRequest, context: Context
    ) -> api.FindDeviceAuthorizationResponse:
        """What a device asks."""
        found = await self._answering.found_device(current_call(), request.user_code)
        return api.FindDeviceAuthorizationResponse(device_authorization=found)

    async def AnswerDeviceAuthorization(
        self, request: api.AnswerDeviceAuthorizationRequest, context: Context
    ) -> api.AnswerDeviceAuthorizationResponse:
        """Takes an answer to a device."""
        await self._answering.answer_device(current_call(), request.device_authorization_id, approve=request.approve)
        return api.AnswerDeviceAuthorizationResponse()

    async def ListConsents(self, request: api.ListConsentsRequest, context: Context) -> api.ListConsentsResponse:
        """What the caller lets clients do."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, _account_id(), part)
            shown = found[: part.size]
            names = await self._clients.names(tx, [consent.client_id for consent in shown])
        return api.ListConsentsResponse(
            consents=[
                oauth_pb2.Consent(
                    client_id=consent.client_id,
                    client_name=names.get(consent.client_id, ""),
                    scopes=consent.scopes,
                    grant_time=timestamp(consent.grant_time),
                )
                for consent in shown
            ],
            next_page_token=part.next_token(shown[-1].client_id) if len(found) > part.size else "",
        )

    async def WithdrawConsent(
        self, request: api.WithdrawConsentRequest, context: Context
    ) -> api.WithdrawConsentResponse:
        """Takes back what the caller lets a client do."""
        account_id, now = _account_id(), self._clock.now()
        async with self._database.transaction() as tx:
            for session in await session_store.open_of(tx, account_id, now):
                if session.client_id == request.client_id:
                    await self._sessions.end(tx, session, events_pb2.SESSION_END_CONSENT_WITHDRAWN)
            await store.bar_unused(tx, account_id, request.client_id, now)
            if await store.forget_consent(tx, account_id, request.client_id):
                await announce(
                    tx,
                    events_pb2.ConsentWithdrawn(
                        account_id=account_id, client_id=request.client_id, withdraw_time=timestamp(now)
                    ),
                )
        return api.WithdrawConsentResponse()

    async def _client(self, tx: Tx, client_id: str) -> OAuthClient:
        client = await self._clients.find(tx, client_id)
        if client is None:
            raise client_not_found(client_id)
        return client

    async def _issued(
        self, client_id: str, issue: Callable[[Tx, OAuthClient], Awaitable[api.Grant | Refusal]]
    ) -> api.Grant:
        """What is issued, or the refusal once all that led to it is committed."""
        async with self._database.transaction() as tx:
            issued = await issue(tx, await self._client(tx, client_id))
        if isinstance(issued, Refusal):
            raise issued
        return issued


def _account_id() -> str:
    principal = current_call().principal
    assert principal is not None
    return principal.account_id


def _json_web_key(key: SigningKey) -> api.JsonWebKey:
    public = load_der_public_key(key.public_key)
    assert isinstance(public, EllipticCurvePublicKey)
    numbers = public.public_numbers()
    return api.JsonWebKey(kid=key.key_id, x=_coordinate(numbers.x), y=_coordinate(numbers.y))


def _coordinate(number: int) -> str:
    """A coordinate at its full length (RFC 7518 §6.2.1.2)."""
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("=")
