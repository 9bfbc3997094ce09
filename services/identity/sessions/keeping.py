"""Opens sessions, keeps them going and ends them: the one place where tokens are made, however a person came in."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import grpc
from reelmesh.identity.v1 import events_pb2, identity_pb2

from services.identity.organisations import store as organisations
from services.identity.organisations.domain import Membership
from services.identity.profiles import store as profiles
from services.identity.refusals import organisation_not_found, refusal
from services.identity.sessions import store
from services.identity.sessions.store import RefreshToken, Session
from services.identity.trust.feed import TrustFeed
from services.identity.trust.signing import LIFETIME as ACCESS_LIFETIME
from services.identity.trust.signing import Signer
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.dpop import proof_by_other_key
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.server import Client

REFRESH_LIFETIME: Final = timedelta(days=30)
REPEATABLE_FOR: Final = timedelta(minutes=1)
"""How long an exchange may be repeated by the same request, because its answer was lost."""
_PREFIX: Final = "rmr_"


@dataclass(frozen=True, slots=True)
class Person:
    """Whose session it is.

    Attributes:
        account_id: the account.
        tier: of the account.
    """

    account_id: str
    tier: str


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a session is confined to, beyond what its person may do.

    Attributes:
        client_id: OAuth client that opened it; empty for our own pages and SDKs.
        scope: permissions, at most; None for all that the person has.
        device_id: registered device that it is bound to; empty for none.
        key_thumbprint: key that its tokens are bound to (RFC 7638, RFC 9449); empty for none.
    """

    client_id: str = ""
    scope: tuple[str, ...] | None = None
    device_id: str = ""
    key_thumbprint: str = ""


UNCONFINED: Final = Confinement()


@dataclass(frozen=True, slots=True)
class Reused:
    """A refresh token was used a second time, and its session was ended for it."""

    session_id: str


class Sessions:
    """Everything that is done to sessions. Each method works in the caller's transaction."""

    def __init__(self, clock: Clock, signer: Signer, feed: TrustFeed) -> None:
        self._clock = clock
        self._signer = signer
        self._feed = feed

    async def open(
        self,
        tx: Tx,
        person: Person,
        method: int,
        client: Client,
        *,
        organisation_id: str = "",
        confined: Confinement = UNCONFINED,
    ) -> identity_pb2.Tokens:
        """Opens a session and makes its first tokens.

        Args:
            tx: the transaction.
            person: whose it is.
            method: how the person showed who they are, a `SignInMethod`.
            client: where they are.
            organisation_id: which to act for; empty for the one joined first.
            confined: see there.

        Raises:
            Refusal: NOT_FOUND `ORGANISATION_NOT_FOUND`.
        """
        now = self._clock.now()
        membership = await self._membership(tx, person.account_id, organisation_id)
        session = Session(
            session_id=new_id("ses"),
            account_id=person.account_id,
            organisation_id=membership.organisation_id if membership else "",
            method=method,
            client_id=confined.client_id,
            scope=confined.scope,
            device_id=confined.device_id,
            key_thumbprint=confined.key_thumbprint,
            profile_id="",
            user_agent=client.user_agent,
            network=client.network,
            create_time=now,
            refresh_time=now,
            expire_time=now + REFRESH_LIFETIME,
        )
        await store.add(tx, session)
        await announce(
            tx,
            events_pb2.SessionOpened(
                account_id=person.account_id,
                session_id=session.session_id,
                organisation_id=session.organisation_id,
                method=identity_pb2.SignInMethod.ValueType(method),
                client_id=session.client_id,
                network=client.network,
                open_time=timestamp(now),
            ),
        )
        return await self._with_refresh(tx, await self.access(tx, session, person.tier), session, now)

    async def refreshed(
        self, tx: Tx, token: str, request_id: str, proven: Callable[[], str], *, client_id: str = ""
    ) -> tuple[Session, RefreshToken] | Reused | None:
        """Takes a refresh token out of use. Returns its session and itself; None when it is not good, or of another OAuth client than the
        one that shows it; `Reused` when it was used before, in which case the session has ended and the caller must commit that before it
        refuses.

        Args:
            tx: the transaction.
            token: the token.
            request_id: of the request that it came with.
            proven: tells the thumbprint of the key that the caller proves to hold; asked where the session is bound to one (RFC 9449 §5).
            client_id: OAuth client that shows it; empty for our own pages and SDKs.

        Raises:
            Refusal: UNAUTHENTICATED `PROOF_INVALID`; the token stays as it is.
        """
        now, digest = self._clock.now(), _digest(token)
        found = await store.find_token(tx, digest)
        session = None if found is None else await store.find(tx, found.session_id, for_update=True)
        if found is None or session is None or not session.open(now) or found.expire_time <= now:
            return None
        if session.client_id != client_id:
            return None
        if session.key_thumbprint and proven() != session.key_thumbprint:
            raise proof_by_other_key()
        request = _digest(request_id)
        if found.use_time is not None:
            if not await self._repeats(tx, found, request, now):
                await self.end(tx, session, events_pb2.SESSION_END_TOKEN_REUSED)
                return Reused(session.session_id)
            assert found.successor_sha256 is not None
            await store.remove_token(tx, found.successor_sha256)
        return session, replace(found, use_time=found.use_time or now, use_request=request)

    async def renewed(self, tx: Tx, session: Session, used: RefreshToken, tier: str) -> identity_pb2.Tokens:
        """New tokens in exchange for a refresh token that `refreshed` took."""
        now = self._clock.now()
        kept = replace(session, refresh_time=now, expire_time=now + REFRESH_LIFETIME)
        membership = await self._membership(tx, session.account_id, session.organisation_id, or_any=True)
        kept = replace(kept, organisation_id=membership.organisation_id if membership else "")
        await store.put(tx, kept)
        return await self._with_refresh(tx, await self.access(tx, kept, tier), kept, now, used)

    async def access(self, tx: Tx, session: Session, tier: str) -> identity_pb2.Tokens:
        """An access token for a session, with what the person may do in its organisation now."""
        permissions: frozenset[str] = frozenset()
        if session.organisation_id:
            membership = await self._membership(tx, session.account_id, session.organisation_id)
            assert membership is not None
            permissions = await organisations.permissions_of(tx, membership, kept=True)
        if session.scope is not None:
            permissions &= set(session.scope)
        now = self._clock.now()
        claims: dict[str, object] = {
            "sub": session.account_id,
            "sid": session.session_id,
            "org": session.organisation_id,
            "scope": " ".join(sorted(permissions)),
            "tier": tier,
            "client_id": session.client_id or "reelmesh",
        }
        if session.profile_id and (profile := await profiles.find(tx, session.profile_id)):
            claims["profile"], claims["profile_maturity"] = profile.profile_id, profile.maturity_rating
        if session.key_thumbprint:
            claims["cnf"] = {"jkt": session.key_thumbprint}  # RFC 9449 §6.1
            if session.device_id:
                claims["device"] = session.device_id
        return identity_pb2.Tokens(
            access_token=self._signer.mint(claims, now),
            access_expire_time=timestamp(now + ACCESS_LIFETIME),
            session_id=session.session_id,
            account_id=session.account_id,
            organisation_id=session.organisation_id,
            permissions=sorted(permissions),
        )

    async def in_profile(
        self, tx: Tx, session: Session, profile_id: str, tier: str, *, ends_older: bool
    ) -> identity_pb2.Tokens:
        """Lets a session be in a profile from now on. `ends_older`: its access tokens of before are refused."""
        moved = replace(session, profile_id=profile_id)
        await store.put(tx, moved)
        if ends_older:
            await self._end_older_tokens(tx, session)
        return await self.access(tx, moved, tier)

    async def bound(self, tx: Tx, session: Session, tier: str) -> identity_pb2.Tokens:
        """Keeps a session that was bound to a device and its key. Its access tokens of before, which need no proof, are refused."""
        await store.put(tx, session)
        await self._end_older_tokens(tx, session)
        return await self.access(tx, session, tier)

    async def _end_older_tokens(self, tx: Tx, session: Session) -> None:
        # Moments of tokens are cut to the millisecond: the one that is made next must be later than what is revoked.
        await self._feed.revoke(tx, session.session_id, before=timedelta(milliseconds=1))

    async def switched(self, tx: Tx, session: Session, organisation_id: str, tier: str) -> identity_pb2.Tokens:
        """Lets a session act for another organisation of the person from now on."""
        await self._membership(tx, session.account_id, organisation_id)
        moved = replace(session, organisation_id=organisation_id)
        await store.put(tx, moved)
        return await self.access(tx, moved, tier)

    async def end(self, tx: Tx, session: Session, cause: events_pb2.SessionEnd.ValueType) -> None:
        """Ends a session: its refresh tokens stop working now, its access tokens within a second."""
        now = self._clock.now()
        if not session.open(now):
            return
        await store.put(tx, replace(session, end_time=now))
        await self._feed.revoke(tx, session.session_id)
        await announce(
            tx,
            events_pb2.SessionEnded(
                session_id=session.session_id, account_id=session.account_id, cause=cause, end_time=timestamp(now)
            ),
        )

    async def end_all(self, tx: Tx, account_id: str, cause: events_pb2.SessionEnd.ValueType, *, but: str = "") -> None:
        """Ends all sessions of an account, except one where it is named."""
        for session in await store.open_of(tx, account_id, self._clock.now()):
            if session.session_id != but:
                await self.end(tx, session, cause)

    async def end_acting_for(self, tx: Tx, account_id: str, organisation_id: str) -> None:
        """Ends the sessions of an account that act for an organisation which it is leaving."""
        for session in await store.open_of(tx, account_id, self._clock.now()):
            if session.organisation_id == organisation_id:
                await self.end(tx, session, events_pb2.SESSION_END_MEMBERSHIP_ENDED)

    async def of_token(self, tx: Tx, token: str) -> Session | None:
        """The session that a refresh token belongs to, used or not; None when it is not known."""
        found = await store.find_token(tx, _digest(token))
        return None if found is None else await store.find(tx, found.session_id, for_update=True)

    async def _repeats(self, tx: Tx, used: RefreshToken, request: bytes, now: datetime) -> bool:
        """Whether this is the very request that used the token, again, and nobody has used what it was exchanged for."""
        if used.use_time is None or used.use_request != request or now - used.use_time > REPEATABLE_FOR:
            return False
        successor = await store.find_token(tx, used.successor_sha256 or b"")
        return successor is not None and successor.use_time is None

    async def _with_refresh(
        self,
        tx: Tx,
        tokens: identity_pb2.Tokens,
        session: Session,
        now: datetime,
        used: RefreshToken | None = None,
    ) -> identity_pb2.Tokens:
        token = _PREFIX + secrets.token_urlsafe(32)
        fresh = RefreshToken(_digest(token), session.session_id, now + REFRESH_LIFETIME)
        await store.add_token(tx, fresh)
        if used is not None:
            await store.put_token(tx, replace(used, successor_sha256=fresh.token_sha256))
        tokens.refresh_token = token
        tokens.refresh_expire_time.FromDatetime(fresh.expire_time)
        return tokens

    async def _membership(
        self, tx: Tx, account_id: str, organisation_id: str, *, or_any: bool = False
    ) -> Membership | None:
        """The membership in an organisation, or in the one joined first; None for a person who belongs nowhere. It stays as it is until
        the transaction has ended: a token that is made of it is then older than any change, which revokes it."""
        belongs = await organisations.memberships_of(tx, account_id, kept=True)
        for membership in belongs:
            if membership.organisation_id == organisation_id:
                return membership
        if organisation_id and not or_any:
            raise organisation_not_found(organisation_id)
        return belongs[0] if belongs else None


def refresh_token_invalid() -> Exception:
    """Unknown, expired, or of an ended session."""
    message = "the refresh token is not good any more; sign in again"
    return refusal(grpc.StatusCode.UNAUTHENTICATED, "REFRESH_TOKEN_INVALID", message)


def refresh_token_reused(session_id: str) -> Exception:
    """A sign of theft."""
    message = "the refresh token was used before, so somebody else may hold it: the session was ended; sign in again"
    return refusal(grpc.StatusCode.UNAUTHENTICATED, "REFRESH_TOKEN_REUSED", message, session_id=session_id)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
