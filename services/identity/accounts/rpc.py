"""The accounts contract."""

from __future__ import annotations

from typing import Any

import grpc
from reelmesh.identity.v1 import accounts_service_pb2 as api
from reelmesh.identity.v1 import accounts_service_pb2_grpc, events_pb2, identity_pb2

from services.identity.accounts import store
from services.identity.accounts.domain import Account, canonical_email
from services.identity.accounts.joining import Joining
from services.identity.accounts.password_sign_in import PasswordSignIn
from services.identity.devices import store as devices
from services.identity.organisations import store as organisations
from services.identity.organisations.authority import authority_of
from services.identity.refusals import account_not_found, code_invalid, refusal
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Reused, Sessions, refresh_token_invalid, refresh_token_reused
from services.identity.sessions.store import Session
from services.identity.trust.feed import TrustFeed
from services.kit.access import Principal
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import Call, current_call

Context = grpc.aio.ServicerContext[Any, Any]


class AccountsServicer(accounts_service_pb2_grpc.AccountsServiceServicer):
    """Serves `reelmesh.identity.v1.AccountsService`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        joining: Joining,
        password_sign_in: PasswordSignIn,
        sessions: Sessions,
        feed: TrustFeed,
        proofs: Proofs,
    ) -> None:
        self._proofs = proofs
        self._database = database
        self._clock = clock
        self._joining = joining
        self._password_sign_in = password_sign_in
        self._sessions = sessions
        self._feed = feed

    async def Register(self, request: api.RegisterRequest, context: Context) -> api.RegisterResponse:
        """Sends a code."""
        code = await self._joining.begin(
            request.email, request.password, request.display_name, request.language, current_call().client
        )
        return api.RegisterResponse(registration_id=code.code_id, expire_time=timestamp(code.expire_time))

    async def VerifyEmail(self, request: api.VerifyEmailRequest, context: Context) -> api.VerifyEmailResponse:
        """Makes the account."""
        answer: api.VerifyEmailResponse | None = None
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, request.registration_id, request, api.VerifyEmailResponse):
                return earlier
            made = await self._joining.ended(tx, request.registration_id, request.code, current_call().client)
            if made:
                answer = api.VerifyEmailResponse(account=await self._resource(tx, made[0]))
                await remember(tx, request.registration_id, request, answer)
                answer.tokens.CopyFrom(made[1])
        if answer is None:
            raise code_invalid()
        return answer

    async def LogIn(self, request: api.LogInRequest, context: Context) -> api.LogInResponse:
        """Opens a session."""
        tokens = await self._password_sign_in.tokens(
            request.email, request.password, request.organisation_id, current_call().client
        )
        return api.LogInResponse(tokens=tokens)

    async def RefreshSession(self, request: api.RefreshSessionRequest, context: Context) -> api.RefreshSessionResponse:
        """Exchanges a refresh token."""
        call = current_call()
        refused: Exception | None = None
        async with self._database.transaction() as tx:
            taken = await self._sessions.refreshed(
                tx, request.refresh_token, request.request_id, lambda: self._proofs.proven(call.metadata, call.method)
            )
            if taken is None:
                refused = refresh_token_invalid()
            elif isinstance(taken, Reused):
                refused = refresh_token_reused(taken.session_id)
            else:
                session, token = taken
                account = await store.find(tx, session.account_id)
                if account is None or account.lock_time:
                    refused = refresh_token_invalid()
                else:
                    if session.device_id:
                        await devices.seen(tx, session.device_id, self._clock.now())
                    return api.RefreshSessionResponse(
                        tokens=await self._sessions.renewed(tx, session, token, account.tier)
                    )
        assert refused is not None
        raise refused

    async def LogOut(self, request: api.LogOutRequest, context: Context) -> api.LogOutResponse:
        """Ends the session."""
        async with self._database.transaction() as tx:
            session = await self._sessions.of_token(tx, request.refresh_token)
            if session is not None:
                await self._sessions.end(tx, session, events_pb2.SESSION_END_LOGGED_OUT)
        return api.LogOutResponse()

    async def RequestPasswordReset(
        self, request: api.RequestPasswordResetRequest, context: Context
    ) -> api.RequestPasswordResetResponse:
        """Sends a code, if there is an account."""
        code = await self._joining.begin_reset(request.email, current_call().client)
        return api.RequestPasswordResetResponse(reset_id=code.code_id, expire_time=timestamp(code.expire_time))

    async def ResetPassword(self, request: api.ResetPasswordRequest, context: Context) -> api.ResetPasswordResponse:
        """Sets the password of whoever has the code."""
        password_hash = await self._joining.check_new("new_password", request.new_password)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, request.reset_id, request, api.ResetPasswordResponse):
                return earlier
            client = current_call().client
            done = await self._joining.reset(tx, request.reset_id, request.code, password_hash, client)
            if done:
                await remember(tx, request.reset_id, request, api.ResetPasswordResponse())
        if not done:
            raise code_invalid()
        return api.ResetPasswordResponse()

    async def ChangePassword(self, request: api.ChangePasswordRequest, context: Context) -> api.ChangePasswordResponse:
        """Sets the password of who knows the old one."""
        call = current_call()
        async with self._database.transaction() as tx:
            account = await self._own(tx, call)
        await self._password_sign_in.confirm(account, request.old_password, call.client)
        password_hash = await self._joining.check_new("new_password", request.new_password, account)
        async with self._database.transaction() as tx:
            current = await self._own(tx, call, for_update=True)
            await self._joining.set_password(
                tx, current, password_hash, reset=False, keep_session=_person(call).session_id
            )
        return api.ChangePasswordResponse()

    async def GetAccount(self, request: api.GetAccountRequest, context: Context) -> api.GetAccountResponse:
        """The caller's account."""
        async with self._database.transaction() as tx:
            return api.GetAccountResponse(account=await self._resource(tx, await self._own(tx, current_call())))

    async def UpdateAccount(self, request: api.UpdateAccountRequest, context: Context) -> api.UpdateAccountResponse:
        """Changes the caller's account."""
        call = current_call()
        async with self._database.transaction() as tx:
            scope = _person(call).account_id
            if earlier := await first_answer(tx, scope, request, api.UpdateAccountResponse):
                return earlier
            account = (await self._own(tx, call, for_update=True)).checked(request.account.etag)
            changed = account.changed(request.update_mask.paths, request.account.display_name, request.account.language)
            await store.put(tx, changed)
            answer = api.UpdateAccountResponse(account=await self._resource(tx, changed))
            await remember(tx, scope, request, answer)
        return answer

    async def ListSessions(self, request: api.ListSessionsRequest, context: Context) -> api.ListSessionsResponse:
        """The caller's open sessions."""
        person, part = _person(current_call()), page_of(request)
        async with self._database.transaction() as tx:
            found = await session_store.page(tx, person.account_id, self._clock.now(), part)
        shown = found[: part.size]
        return api.ListSessionsResponse(
            sessions=[_session(session, person.session_id) for session in shown],
            next_page_token=part.next_token(shown[-1].session_id) if len(found) > part.size else "",
        )

    async def RevokeSession(self, request: api.RevokeSessionRequest, context: Context) -> api.RevokeSessionResponse:
        """Ends one of the caller's sessions."""
        async with self._database.transaction() as tx:
            session = await session_store.find(tx, request.session_id, for_update=True)
            if session is None or session.account_id != _person(current_call()).account_id:
                raise session_not_found(request.session_id)
            await self._sessions.end(tx, session, events_pb2.SESSION_END_REVOKED)
        return api.RevokeSessionResponse()

    async def SwitchOrganisation(
        self, request: api.SwitchOrganisationRequest, context: Context
    ) -> api.SwitchOrganisationResponse:
        """Lets the caller's session act for another organisation."""
        call = current_call()
        async with self._database.transaction() as tx:
            account = await self._own(tx, call)
            session = await session_store.find(tx, _person(call).session_id, for_update=True)
            if session is None:
                raise session_not_found(_person(call).session_id)
            tokens = await self._sessions.switched(tx, session, request.organisation_id, account.tier)
        return api.SwitchOrganisationResponse(tokens=tokens)

    async def ListAccounts(self, request: api.ListAccountsRequest, context: Context) -> api.ListAccountsResponse:
        """Accounts of the organisation's members."""
        part = page_of(request)
        email = canonical_email(request.email) if request.email else ""
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, email, part)
            shown = found[: part.size]
            resources = [
                _as_seen_from(current_call().organisation_id, await self._resource(tx, account)) for account in shown
            ]
        return api.ListAccountsResponse(
            accounts=resources,
            next_page_token=part.next_token(shown[-1].account_id) if len(found) > part.size else "",
        )

    async def SetAccountLock(self, request: api.SetAccountLockRequest, context: Context) -> api.SetAccountLockResponse:
        """Locks or unlocks an account."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            before = await self._theirs(tx, request.account_id)
            after = before.locked(now) if request.locked else before.unlocked()
            await self._check_above(tx, before)
            if request.locked:
                await self._sessions.end_all(tx, after.account_id, events_pb2.SESSION_END_ACCOUNT_LOCKED)
                await self._feed.revoke(tx, after.account_id)
            return api.SetAccountLockResponse(account=await self._kept(tx, before, after))

    async def SetAccountTier(self, request: api.SetAccountTierRequest, context: Context) -> api.SetAccountTierResponse:
        """Sets the tier of an account; its tokens are renewed, because they name the tier."""
        async with self._database.transaction() as tx:
            before = await self._theirs(tx, request.account_id)
            after = before.in_tier(request.tier)
            if after is not before:
                await self._feed.revoke(tx, after.account_id)
            return api.SetAccountTierResponse(account=await self._kept(tx, before, after))

    async def _kept(self, tx: Tx, before: Account, after: Account) -> identity_pb2.Account:
        if after is not before:
            await store.put(tx, after)
            principal = current_call().principal
            await announce(
                tx,
                events_pb2.AccountChanged(
                    account_id=after.account_id,
                    tier=after.tier,
                    locked=after.lock_time is not None,
                    actor=principal.name if principal else "",
                    change_time=timestamp(self._clock.now()),
                ),
            )
        return await self._resource(tx, after)

    async def _own(self, tx: Tx, call: Call, *, for_update: bool = False) -> Account:
        account = await store.find(tx, _person(call).account_id, for_update=for_update)
        if account is None:
            raise account_not_found(_person(call).account_id)
        return account

    async def _theirs(self, tx: Tx, account_id: str) -> Account:
        """An account that the caller's organisation alone is responsible for."""
        account = await store.find(tx, account_id, for_update=True)
        belongs = await organisations.memberships_of(tx, account_id)
        if account is None or [one.organisation_id for one in belongs] != [current_call().organisation_id]:
            raise account_not_found(account_id)
        return account

    async def _check_above(self, tx: Tx, account: Account) -> None:
        """Refuses to lock out, or to let in again, somebody who manages what the caller does not, such as an admin."""
        caller = _person(current_call())
        member = await organisations.membership(tx, caller.organisation_id, account.account_id)
        assert member is not None
        authority = await authority_of(tx, caller, "accounts.manage")
        held = await organisations.permissions_of(tx, member)
        authority.check(permission for permission in held if permission.endswith(".manage"))

    async def _resource(self, tx: Tx, account: Account) -> identity_pb2.Account:
        belongs = await organisations.memberships_of(tx, account.account_id)
        return identity_pb2.Account(
            account_id=account.account_id,
            email=account.email,
            display_name=account.display_name,
            phone=account.phone,
            language=account.language,
            tier=account.tier,
            create_time=timestamp(account.create_time),
            lock_time=timestamp(account.lock_time),
            memberships=[
                identity_pb2.Membership(
                    organisation_id=one.organisation_id,
                    account_id=one.account_id,
                    role_ids=one.role_ids,
                    create_time=timestamp(one.create_time),
                )
                for one in belongs
            ],
            etag=account.etag,
        )


def _as_seen_from(organisation_id: str, account: identity_pb2.Account) -> identity_pb2.Account:
    """What the staff of an organisation sees of a person: not where else they belong, and of those who belong elsewhere too no number,
    because anybody can be made a member by their address."""
    others = [one for one in account.memberships if one.organisation_id != organisation_id]
    if others:
        account.phone = ""
        for other in others:
            account.memberships.remove(other)
    return account


def _person(call: Call) -> Principal:
    """Who calls; the contract lets nobody in without a credential."""
    assert call.principal is not None
    return call.principal


def session_not_found(session_id: str) -> Refusal:
    """None, or none of the caller's."""
    message = f"you have no session {session_id}"
    return refusal(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", message, session_id=session_id)


def _session(session: Session, current: str) -> identity_pb2.Session:
    return identity_pb2.Session(
        session_id=session.session_id,
        account_id=session.account_id,
        organisation_id=session.organisation_id,
        method=identity_pb2.SignInMethod.ValueType(session.method),
        client_id=session.client_id,
        user_agent=session.user_agent,
        network=session.network,
        create_time=timestamp(session.create_time),
        refresh_time=timestamp(session.refresh_time),
        expire_time=timestamp(session.expire_time),
        device_id=session.device_id,
        current=session.session_id == current,
        profile_id=session.profile_id,
    )
