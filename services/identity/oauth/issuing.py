"""Tokens for OAuth clients: in exchange for a code, a device code, a refresh token, or for the client itself.

Each method returns what the client gets, or the refusal that the caller gives once the transaction is committed: some refusals end a
session.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import grpc
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from reelmesh.identity.v1 import events_pb2, identity_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.identity.accounts import store as accounts
from services.identity.accounts.domain import Account
from services.identity.oauth import store
from services.identity.oauth.domain import Authorization, Use, digest, grant_invalid, half_hash
from services.identity.oauth_clients import store as client_store
from services.identity.oauth_clients.domain import ABOUT_PEOPLE, CLIENT, OFFLINE, OPENID, REFRESH, OAuthClient
from services.identity.organisations import store as organisations
from services.identity.refusals import refusal
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Confinement, Person, Reused, Sessions
from services.identity.sessions.store import Session
from services.identity.trust.signing import LIFETIME, Signer
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.server import Client, current_call

_TOLD_EVERY: Final = timedelta(minutes=1)


class Issuing:
    """Issues tokens."""

    def __init__(self, clock: Clock, signer: Signer, sessions: Sessions, proofs: Proofs) -> None:
        self._clock = clock
        self._signer = signer
        self._sessions = sessions
        self._proofs = proofs

    async def for_code(self, tx: Tx, client: OAuthClient, request: api.ExchangeCodeRequest) -> api.Grant | Refusal:
        """Exchanges an authorization code. A second use ends the session that the first one opened (RFC 6749 §4.1.2)."""
        now, code_refused = self._clock.now(), grant_invalid("code")
        asked = await store.find_by_code(tx, digest(request.code))
        if asked is None or asked.client_id != client.client_id:
            return code_refused
        repeats = asked.use.repeated_by(request.request_id, now)
        if asked.use.use_time is not None and not repeats:
            await self._stolen(tx, asked, now)
            return code_refused
        if not asked.fits(client.client_id, request.redirect_uri, request.code_verifier, now):
            return code_refused
        if repeats:
            await self._quietly_ended(tx, asked.use.session_id, now)
        account = await self._able(tx, client, asked.account_id)
        if account is None:
            return code_refused
        where = Client(asked.network.partition("/")[0], asked.user_agent)
        tokens = await self._opened(tx, client, account, asked.organisation_id, asked.scopes, where=where)
        used = Use(now, digest(request.request_id), tokens.session_id)
        await store.put(tx, replace(asked, use=used))
        return self._grant(client, tokens, asked.scopes, asked.sign_in_time, asked.nonce)

    async def for_device_code(
        self, tx: Tx, client: OAuthClient, request: api.ExchangeDeviceCodeRequest
    ) -> api.Grant | Refusal:
        """Exchanges a device code, or tells the device to wait (RFC 8628 §3.5)."""
        now = self._clock.now()
        device = await store.find_device(tx, store.devices.c.device_sha256 == digest(request.device_code))
        if device is None or device.client_id != client.client_id:
            return grant_invalid("device code")
        repeats = device.use.repeated_by(request.request_id, now)
        if device.use.use_time is not None and not repeats:
            return grant_invalid("device code")
        if now >= device.expire_time and not repeats:
            return refusal(
                grpc.StatusCode.FAILED_PRECONDITION, "GRANT_EXPIRED", "the codes have expired; show the person new ones"
            )
        if device.answer_time is None:
            polled, too_soon = device.polled(now)
            await store.put_device(tx, polled)
            return _slow_down() if too_soon else _pending()
        if not device.approved:
            return refusal(grpc.StatusCode.PERMISSION_DENIED, "GRANT_REFUSED", "the person did not let this device in")
        if repeats:
            await self._quietly_ended(tx, device.use.session_id, now)
        account = await self._able(tx, client, device.finder)
        if account is None:
            return grant_invalid("device code")
        where = Client(device.network.partition("/")[0], device.user_agent)
        tokens = await self._opened(tx, client, account, device.organisation_id, device.scopes, where=where)
        used = Use(now, digest(request.request_id), tokens.session_id)
        await store.put_device(tx, replace(device, use=used))
        return self._grant(client, tokens, device.scopes, device.sign_in_time, "")

    async def for_refresh_token(
        self, tx: Tx, client: OAuthClient, request: api.ExchangeRefreshTokenRequest
    ) -> api.Grant | Refusal:
        """Exchanges a refresh token of the client, by the rules of all refresh tokens. It may have lost scopes since."""
        token_refused = grant_invalid("refresh token")
        call = current_call()
        taken = await self._sessions.refreshed(
            tx,
            request.refresh_token,
            request.request_id,
            lambda: self._proofs.proven(call.metadata, call.method),
            client_id=client.client_id,
        )
        if taken is None or isinstance(taken, Reused) or not client.may(REFRESH):
            return token_refused
        session, token = taken
        account = await self._able(tx, client, session.account_id)
        if account is None:
            if not await _belongs(tx, client, session.account_id):
                await self._sessions.end(tx, session, events_pb2.SESSION_END_MEMBERSHIP_ENDED)
            return token_refused
        scopes = tuple(scope for scope in session.scope or () if scope in client.allowed)
        kept = replace(session, scope=scopes)
        tokens = await self._sessions.renewed(tx, kept, token, account.tier)
        if request.scopes:
            unknown = set(request.scopes) - set(scopes)
            if unknown:
                message = "a refresh token is good for what was granted, not for more"
                raise refusal(grpc.StatusCode.INVALID_ARGUMENT, "SCOPE_INVALID", message, scope=min(unknown))
            scopes = tuple(request.scopes)
            narrow = replace(kept, organisation_id=tokens.organisation_id, scope=scopes)
            fewer = await self._sessions.access(tx, narrow, account.tier)
            tokens.access_token = fewer.access_token
            tokens.permissions[:] = fewer.permissions
        return _plain_grant(tokens, scopes)

    async def for_itself(self, tx: Tx, client: OAuthClient, asked: list[str]) -> api.Grant | Refusal:
        """A token with which a client acts for its organisation (RFC 6749 §4.4): there is no session, and nothing to refresh. The token has an
        id in the place of one, by which it can be revoked."""
        now = self._clock.now()
        if not client.confidential or not client.may(CLIENT):
            return grant_invalid("client")
        permissions = client.allowed - set(ABOUT_PEOPLE)
        scopes = client.granted(asked) if asked else tuple(sorted(permissions))
        if about_people := set(scopes) - permissions:
            message = "a client that acts for itself has no person to tell about"
            raise refusal(grpc.StatusCode.INVALID_ARGUMENT, "SCOPE_INVALID", message, scope=min(about_people))
        tier = await tx.execute(
            sa.select(organisations.organisations.c.tier).where(
                organisations.organisations.c.organisation_id == client.organisation_id
            )
        )
        claims = {
            "sub": client.client_id,
            "client_id": client.client_id,
            "sid": new_id("ses"),
            "org": client.organisation_id,
            "scope": " ".join(scopes),
            "tier": tier.scalar_one_or_none() or "",
        }
        if client.use_time is None or now - client.use_time >= _TOLD_EVERY:
            await client_store.used(tx, client.client_id, now)
            await announce(
                tx,
                events_pb2.ClientTokenIssued(
                    client_id=client.client_id, organisation_id=client.organisation_id, issue_time=timestamp(now)
                ),
            )
        return api.Grant(access_token=self._signer.mint(claims, now), access_lifetime=_lifetime(), scopes=scopes)

    async def _opened(
        self,
        tx: Tx,
        client: OAuthClient,
        account: Account,
        organisation_id: str,
        scopes: tuple[str, ...],
        *,
        where: Client,
    ) -> identity_pb2.Tokens:
        """Opens the client's session. Without `offline_access` it ends with its one access token."""
        tokens = await self._sessions.open(
            tx,
            Person(account.account_id, account.tier),
            identity_pb2.SIGN_IN_METHOD_OAUTH,
            where,
            organisation_id=organisation_id,
            confined=Confinement(client_id=client.client_id, scope=scopes),
        )
        if OFFLINE not in scopes or not client.may(REFRESH):
            await session_store.remove_token(tx, digest(tokens.refresh_token))
            session = await self._session(tx, tokens.session_id)
            await session_store.put(tx, replace(session, expire_time=self._clock.now() + LIFETIME))
            tokens.refresh_token = ""
        return tokens

    async def _able(self, tx: Tx, client: OAuthClient, account_id: str) -> Account | None:
        """The account, if its person may still be acted for by the client; locked, so that this and a lock do not pass each other."""
        account = await accounts.find(tx, account_id, for_update=True)
        if account is None or account.lock_time or not await _belongs(tx, client, account_id):
            return None
        return account

    async def _stolen(self, tx: Tx, asked: Authorization, now: datetime) -> None:
        session = await session_store.find(tx, asked.use.session_id, for_update=True)
        ended = session is not None and session.open(now)
        if session is not None:
            await self._sessions.end(tx, session, events_pb2.SESSION_END_CODE_REUSED)
        await announce(
            tx,
            events_pb2.AuthorizationCodeReused(
                account_id=asked.account_id,
                client_id=asked.client_id,
                session_id=asked.use.session_id if ended else "",
                reuse_time=timestamp(now),
            ),
        )

    async def _quietly_ended(self, tx: Tx, session_id: str, now: datetime) -> None:
        """Ends a session whose tokens nobody received."""
        session = await self._session(tx, session_id)
        await session_store.put(tx, replace(session, end_time=session.end_time or now))

    async def _session(self, tx: Tx, session_id: str) -> Session:
        session = await session_store.find(tx, session_id, for_update=True)
        assert session is not None
        return session

    def _grant(
        self,
        client: OAuthClient,
        tokens: identity_pb2.Tokens,
        scopes: tuple[str, ...],
        sign_in_time: datetime | None,
        nonce: str,
    ) -> api.Grant:
        grant = _plain_grant(tokens, scopes)
        if OPENID in scopes:
            assert sign_in_time is not None
            claims: dict[str, object] = {
                "sub": tokens.account_id,
                "aud": client.client_id,
                "sid": tokens.session_id,
                "auth_time": int(sign_in_time.timestamp()),
                "at_hash": half_hash(tokens.access_token),
            }
            if nonce:
                claims["nonce"] = nonce
            grant.id_token = self._signer.mint_id_token(claims, self._clock.now())
        return grant


async def _belongs(tx: Tx, client: OAuthClient, account_id: str) -> bool:
    """Whether a person belongs to the organisation that registered the client; everybody may use Reelmesh's own."""
    if client.first_party:
        return True
    belongs = await organisations.memberships_of(tx, account_id)
    return client.organisation_id in {one.organisation_id for one in belongs}


def _plain_grant(tokens: identity_pb2.Tokens, scopes: tuple[str, ...]) -> api.Grant:
    about_person = [scope for scope in scopes if scope in ABOUT_PEOPLE]
    return api.Grant(
        access_token=tokens.access_token,
        access_lifetime=_lifetime(),
        refresh_token=tokens.refresh_token,
        scopes=sorted([*about_person, *tokens.permissions]),
    )


def _lifetime() -> Duration:
    lifetime = Duration()
    lifetime.FromTimedelta(LIFETIME)
    return lifetime


def _pending() -> Refusal:
    message = "nobody has answered yet; ask again after the interval"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "GRANT_PENDING", message)


def _slow_down() -> Refusal:
    message = "this was asked too soon; wait 5 s longer between two questions from now on"
    return refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "GRANT_POLLED_TOO_OFTEN", message)
