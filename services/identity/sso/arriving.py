"""People on their way to a provider and back, and who they turn out to be."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from datetime import datetime
from typing import Final

from reelmesh.identity.v1 import events_pb2, identity_pb2
from reelmesh.identity.v1 import sso_service_pb2 as api

from services.identity.accounts import store as accounts
from services.identity.accounts.domain import FIRST_TIER, Account, canonical_email
from services.identity.oauth.domain import Use, challenge_of, digest
from services.identity.organisations import store as organisations
from services.identity.organisations.domain import Membership
from services.identity.organisations.roles import VIEWER
from services.identity.refusals import account_locked
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Person, Sessions
from services.identity.sso import store
from services.identity.sso.domain import (
    CODE_LIFETIME,
    LIFETIME,
    Identity,
    Provider,
    SignIn,
    account_unknown,
    account_unlinked,
    email_unverified,
    provider_not_found,
    sso_failed,
)
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.server import Client

_STATE: Final = "rmt_"
_CODE: Final = "rmo_"
_LINK: Final = "rml_"


class Arriving:
    """Lets in whom outside providers vouch for."""

    def __init__(self, database: Database, clock: Clock, seal: Seal, sessions: Sessions) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._sessions = sessions

    async def link_code(self, tx: Tx, provider_id: str, account_id: str) -> str:
        """A code with which an account can be linked."""
        if await store.find(tx, provider_id) is None:
            raise provider_not_found(provider_id)
        code = _LINK + secrets.token_urlsafe(32)
        await store.add_link_code(tx, digest(code), provider_id, account_id, self._clock.now() + LIFETIME)
        return code

    async def begin(self, request: api.BeginSignInRequest) -> api.BeginSignInResponse:
        """Sends somebody on their way. `nonce` and the PKCE verifier follow from `state` and our key, so nothing secret is kept."""
        now, state = self._clock.now(), _STATE + secrets.token_urlsafe(32)
        async with self._database.transaction() as tx:
            provider = await self._provider(tx, request.provider_id)
            account_id, link_code = "", digest(request.link_code) if request.link_code else None
            if link_code is not None:
                linked = await store.account_of_link_code(tx, link_code, provider.provider_id, now)
                if linked is None:
                    raise sso_failed()
                account_id = linked
            await store.add_sign_in(
                tx,
                SignIn(
                    sign_in_id=new_id("sgn"),
                    provider_id=provider.provider_id,
                    state_sha256=digest(state),
                    challenge=request.challenge,
                    link_account_id=account_id,
                    link_code_sha256=link_code,
                    create_time=now,
                    expire_time=now + LIFETIME,
                ),
            )
        return api.BeginSignInResponse(
            issuer=provider.issuer,
            client_id=provider.client_id,
            state=state,
            nonce=self._of_state("nonce", state),
            code_challenge=challenge_of(self._of_state("verifier", state)),
        )

    async def take(self, request: api.TakeSignInRequest) -> api.TakeSignInResponse:
        """Takes up somebody who came back."""
        now, taking = self._clock.now(), digest(request.request_id)
        async with self._database.transaction() as tx:
            sign_in = await store.find_sign_in(tx, store.sign_ins.c.state_sha256 == digest(request.state))
            if sign_in is None or not sign_in.takeable(request.provider_id, taking, now):
                raise sso_failed()
            first, link_code = sign_in.take_time is None, sign_in.link_code_sha256
            if first and link_code is not None and not await store.use_link_code(tx, link_code):
                raise sso_failed()
            await store.put_sign_in(tx, replace(sign_in, take_time=now, take_request=taking))
            provider = await self._provider(tx, sign_in.provider_id)
        return api.TakeSignInResponse(
            sign_in_id=sign_in.sign_in_id,
            issuer=provider.issuer,
            client_id=provider.client_id,
            client_secret=self._seal.open(provider.sealed_secret, provider.provider_id).decode(),
            nonce=self._of_state("nonce", request.state),
            code_verifier=self._of_state("verifier", request.state),
        )

    async def complete(self, request: api.CompleteSignInRequest, where: Client) -> str:
        """Keeps whom the provider vouched for. Returns the code for the page. Nothing is done for that person before the page that began
        shows its verifier."""
        now, code = self._clock.now(), _CODE + secrets.token_urlsafe(32)
        async with self._database.transaction() as tx:
            sign_in = await store.find_sign_in(tx, store.sign_ins.c.sign_in_id == request.sign_in_id)
            if sign_in is None or not sign_in.completable(request.subject, now):
                await self._announce_refused(tx, "", sso_failed(), where)
                code = ""
            else:
                completed = replace(
                    sign_in,
                    subject=request.subject,
                    email=request.email,
                    email_verified=request.email_verified,
                    display_name=request.display_name,
                    code_sha256=digest(code),
                    code_expire_time=now + CODE_LIFETIME,
                )
                await store.put_sign_in(tx, completed)
        if not code:
            raise sso_failed()
        return code

    async def redeem(self, request: api.RedeemSignInRequest, where: Client) -> identity_pb2.Tokens | None:
        """Signs in, or links, whoever has the code and the verifier. Returns no tokens when an account was linked."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            sign_in = await store.find_sign_in(tx, store.sign_ins.c.code_sha256 == digest(request.code))
            repeats = sign_in is not None and sign_in.use.repeated_by(request.request_id, now)
            if sign_in is None or not sign_in.fits(request.verifier, now):
                raise sso_failed()
            if sign_in.use.use_time is not None and not repeats:
                raise sso_failed()
            if repeats and sign_in.use.session_id:
                session = await session_store.find(tx, sign_in.use.session_id, for_update=True)
                assert session is not None
                await session_store.put(tx, replace(session, end_time=session.end_time or now))
            done = await self._done(tx, sign_in, where)
            used = Use(
                now, digest(request.request_id), done.session_id if isinstance(done, identity_pb2.Tokens) else ""
            )
            await store.put_sign_in(tx, replace(sign_in, use=used))
        if isinstance(done, Refusal):
            raise done
        return done

    async def _done(self, tx: Tx, sign_in: SignIn, where: Client) -> identity_pb2.Tokens | Refusal | None:
        provider = await self._provider(tx, sign_in.provider_id)
        if sign_in.link_account_id:
            return await self._linked(tx, sign_in, provider)
        account = await self._account(tx, sign_in, provider)
        if isinstance(account, Refusal):
            known = await store.find_identity(tx, provider.provider_id, sign_in.subject)
            await self._announce_refused(tx, known.account_id if known else "", account, where)
            return account
        return await self._sessions.open(
            tx,
            Person(account.account_id, account.tier),
            identity_pb2.SIGN_IN_METHOD_SSO,
            where,
            organisation_id=provider.organisation_id,
        )

    async def _linked(self, tx: Tx, sign_in: SignIn, provider: Provider) -> Refusal | None:
        now = self._clock.now()
        known = await store.find_identity(tx, provider.provider_id, sign_in.subject)
        if known is not None and known.account_id == sign_in.link_account_id:
            return None
        if not sign_in.email_verified or not provider.takes(sign_in.email):
            return email_unverified()
        identity = Identity(provider.provider_id, sign_in.subject, sign_in.link_account_id, sign_in.email.lower(), now)
        return None if await self._link(tx, identity) else account_unlinked()

    async def _account(self, tx: Tx, sign_in: SignIn, provider: Provider) -> Account | Refusal:
        """Whose account it is: by the provider's own id of the person. An address gives nobody an account that is there already."""
        if not sign_in.email_verified or not sign_in.email:
            return email_unverified()
        if not provider.takes(sign_in.email):
            return account_unknown()
        known = await store.find_identity(tx, provider.provider_id, sign_in.subject)
        if known is None:
            return await self._newcomer(tx, sign_in, provider)
        account = await accounts.find(tx, known.account_id, for_update=True)
        if account is None or not await _belongs(tx, account.account_id, provider.organisation_id):
            return account_unknown()
        return account_locked() if account.lock_time else account

    async def _newcomer(self, tx: Tx, sign_in: SignIn, provider: Provider) -> Account | Refusal:
        now, email = self._clock.now(), canonical_email(sign_in.email)
        if await accounts.find_by_email(tx, email) is not None:
            return account_unlinked()
        if not provider.provisioning:
            return account_unknown()
        account = Account(
            account_id=new_id("usr"),
            version=1,
            email=email,
            password_hash=None,
            display_name=sign_in.display_name,
            phone="",
            language="",
            tier=FIRST_TIER,
            create_time=now,
        )
        if not await accounts.add(tx, account):
            return account_unlinked()  # another registration for the same address was quicker
        await self._joined(tx, account, provider, now)
        await self._link(tx, Identity(provider.provider_id, sign_in.subject, account.account_id, email, now))
        return account

    async def _joined(self, tx: Tx, account: Account, provider: Provider, now: datetime) -> None:
        """Makes a newcomer a member of the provider's organisation."""
        role_ids = provider.role_ids or (VIEWER,)
        await organisations.add_member(tx, Membership(provider.organisation_id, account.account_id, role_ids, now))
        await announce(
            tx,
            events_pb2.AccountCreated(
                account_id=account.account_id,
                organisation_id=provider.organisation_id,
                tier=account.tier,
                create_time=timestamp(now),
            ),
        )
        await announce(
            tx,
            events_pb2.MemberRolesChanged(
                organisation_id=provider.organisation_id,
                account_id=account.account_id,
                role_ids=role_ids,
                actor=f"sso_provider/{provider.provider_id}",
                change_time=timestamp(now),
            ),
        )

    async def _link(self, tx: Tx, identity: Identity) -> bool:
        if not await store.add_identity(tx, identity):
            return False
        await announce(
            tx,
            events_pb2.IdentityLinked(
                account_id=identity.account_id,
                provider_id=identity.provider_id,
                link_time=timestamp(identity.link_time),
            ),
        )
        return True

    async def _announce_refused(self, tx: Tx, account_id: str, why: Refusal, where: Client) -> None:
        await announce(
            tx,
            events_pb2.SignInRefused(
                account_id=account_id,
                method=identity_pb2.SIGN_IN_METHOD_SSO,
                reason=why.reason,
                network=where.network,
                refuse_time=timestamp(self._clock.now()),
            ),
        )

    async def _provider(self, tx: Tx, provider_id: str) -> Provider:
        provider = await store.find(tx, provider_id)
        if provider is None:
            raise provider_not_found(provider_id)
        return provider

    def _of_state(self, purpose: str, state: str) -> str:
        """43 characters that only we can tell from a `state`."""
        return base64.urlsafe_b64encode(self._seal.digest(f"sso {purpose}", state)).decode().rstrip("=")


async def _belongs(tx: Tx, account_id: str, organisation_id: str) -> bool:
    return organisation_id in {one.organisation_id for one in await organisations.memberships_of(tx, account_id)}
