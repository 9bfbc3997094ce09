"""What clients and devices ask, and what people answer."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from reelmesh.identity.v1 import events_pb2, oauth_pb2
from reelmesh.identity.v1 import oauth_service_pb2 as api

from services.identity import attempts
from services.identity.attempts import Guess
from services.identity.oauth import store
from services.identity.oauth.domain import (
    ANSWERABLE_FOR,
    DEVICE_INTERVAL,
    DEVICE_LIFETIME,
    Authorization,
    Consent,
    DeviceAuthorization,
    authorization_not_found,
    client_foreign,
    digest,
    new_user_code,
    only_our_pages,
    sign_in_too_old,
    user_code_invalid,
    user_code_typed,
)
from services.identity.oauth_clients.domain import CODE, DEVICE, OAuthClient, client_invalid, client_not_found
from services.identity.oauth_clients.store import Clients
from services.identity.organisations import store as organisations
from services.identity.refusals import too_many_attempts
from services.identity.sessions import store as session_store
from services.identity.sessions.store import Session
from services.kit.access import Principal
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.server import Call, Client

_CODE: Final = "rmc_"
_DEVICE_CODE: Final = "rmd_"


@dataclass(frozen=True, slots=True)
class Asker:
    """The person who is asked, signed in on one of our own pages.

    Attributes:
        account_id: who.
        organisation_id: which they act for.
        signed_in: when they showed who they are.
    """

    account_id: str
    organisation_id: str
    signed_in: datetime


class Answering:
    """Keeps what is asked, and takes answers.

    Args:
        issuer: who issues tokens, which is where people reach the edge.
        trust_first_party: whether people need not be asked about Reelmesh's own clients.
    """

    def __init__(
        self, database: Database, clock: Clock, *, clients: Clients, seal: Seal, issuer: str, trust_first_party: bool
    ) -> None:
        self._database = database
        self._clock = clock
        self._clients = clients
        self._seal = seal
        self._issuer = issuer
        self._trust_first_party = trust_first_party

    async def begin(self, tx: Tx, request: api.BeginAuthorizationRequest) -> str:
        """Keeps a request of a client. Returns its id."""
        client, now = await self._client(tx, request.client_id), self._clock.now()
        if not client.may(CODE):
            raise client_invalid("grants", "this client gets no authorization codes")
        if not client.redirects_to(request.redirect_uri):
            raise client_invalid("redirect_uris", "the redirect URI is none of this client's")
        authorization = Authorization(
            authorization_id=new_id("aut"),
            client_id=client.client_id,
            redirect_uri=request.redirect_uri,
            scopes=client.granted(request.scopes),
            state=request.state,
            nonce=request.nonce,
            code_challenge=request.code_challenge,
            silent=request.silent,
            fresh_sign_in=request.fresh_sign_in,
            fresh_consent=request.fresh_consent,
            max_age=request.max_age.ToTimedelta() if request.HasField("max_age") else None,
            login_hint=request.login_hint,
            create_time=now,
            expire_time=now + ANSWERABLE_FOR,
        )
        await store.add(tx, authorization)
        return authorization.authorization_id

    async def begin_device(self, request: api.BeginDeviceAuthorizationRequest, where: Client) -> tuple[str, str]:
        """Keeps a request of a device. Returns the device's code and the person's."""
        now, device_code = self._clock.now(), _DEVICE_CODE + secrets.token_urlsafe(32)
        async with self._database.transaction() as tx:
            client = await self._client(tx, request.client_id)
            if not client.may(DEVICE):
                raise client_invalid("grants", "this client gets no device codes")
            while True:
                user_code = new_user_code()
                device = DeviceAuthorization(
                    device_authorization_id=new_id("dva"),
                    device_sha256=digest(device_code),
                    user_code_digest=self._user_digest(user_code),
                    client_id=client.client_id,
                    scopes=client.granted(request.scopes),
                    user_agent=where.user_agent,
                    network=where.network,
                    create_time=now,
                    expire_time=now + DEVICE_LIFETIME,
                    interval=DEVICE_INTERVAL,
                )
                if await store.add_device(tx, device):
                    return device_code, f"{user_code[:4]}-{user_code[4:]}"

    async def shown(self, call: Call, authorization_id: str) -> oauth_pb2.Authorization:
        """What a client asks the caller."""
        async with self._database.transaction() as tx:
            asker = await self._asker(tx, call)
            asked, client = await self._asked(tx, authorization_id)
            await self._check_member(tx, client, asker.account_id)
            return oauth_pb2.Authorization(
                authorization_id=asked.authorization_id,
                client_id=client.client_id,
                client_name=client.display_name,
                organisation_name=await self._organisation_name(tx, client),
                scopes=asked.scopes,
                consent_needed=await self._consent_needed(tx, asked, client, asker),
                sign_in_needed=asked.too_old(asker.signed_in, self._clock.now()),
                silent=asked.silent,
                login_hint=asked.login_hint,
                expire_time=timestamp(asked.expire_time),
            )

    async def answer(self, call: Call, authorization_id: str, *, approve: bool) -> str:
        """Takes the caller's answer. Returns where the browser goes."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            asker = await self._asker(tx, call)
            asked, client = await self._asked(tx, authorization_id, for_update=True)
            if not asked.answerable(now, asker.account_id, approve=approve):
                raise authorization_not_found()
            if not approve:
                error = await self._why_not(tx, asked, client, asker)
                return await self._refused(tx, asked, asker.account_id, error)
            await self._check_member(tx, client, asker.account_id)
            if asked.too_old(asker.signed_in, now):
                raise sign_in_too_old()
            by = replace(
                asked,
                account_id=asker.account_id,
                organisation_id=client.organisation_id or asker.organisation_id,
                sign_in_time=asker.signed_in,
                user_agent=call.client.user_agent,
                network=call.client.network,
            )
            code = _CODE + secrets.token_urlsafe(32)
            await store.put(tx, asked.granted(by, code, now))
            await store.remember_consent(tx, Consent(asker.account_id, client.client_id, asked.scopes, now))
            await announce(
                tx,
                events_pb2.AuthorizationGranted(
                    account_id=asker.account_id,
                    client_id=client.client_id,
                    scopes=asked.scopes,
                    grant_time=timestamp(now),
                ),
            )
        return asked.answered(self._issuer, code=code)

    async def refuse(self, authorization_id: str) -> str:
        """Takes no from a page where nobody is signed in. Returns where the browser goes."""
        async with self._database.transaction() as tx:
            asked, _ = await self._asked(tx, authorization_id, for_update=True)
            if not asked.answerable(self._clock.now(), "", approve=False):
                raise authorization_not_found()
            return await self._refused(tx, asked, "", "login_required" if asked.silent else "access_denied")

    async def found_device(self, call: Call, typed: str) -> oauth_pb2.DeviceAuthorization:
        """What the device asks that shows a code. Whoever guesses must wait longer and longer."""
        now, code = self._clock.now(), user_code_typed(typed)
        device: DeviceAuthorization | None = None
        async with self._database.transaction() as tx:
            asker = await self._asker(tx, call)
            guess = Guess.of(self._seal, f"user code/{asker.account_id}", call.client.network)
            wait = await attempts.begin(tx, guess, now)
            if not wait and code:
                device = await store.find_device(tx, store.devices.c.user_code_digest == self._user_digest(code))
            if device is not None and device.waiting(now):
                await attempts.forgive(tx, guess)
                client = await self._client(tx, device.client_id)
                await self._check_member(tx, client, asker.account_id)
                await store.put_device(tx, replace(device, finder=asker.account_id))
                organisation_name = await self._organisation_name(tx, client)
        if wait:
            raise too_many_attempts(wait)
        if device is None or not device.waiting(now):
            raise user_code_invalid()
        return oauth_pb2.DeviceAuthorization(
            device_authorization_id=device.device_authorization_id,
            client_id=client.client_id,
            client_name=client.display_name,
            organisation_name=organisation_name,
            scopes=device.scopes,
            network=device.network,
            create_time=timestamp(device.create_time),
            expire_time=timestamp(device.expire_time),
        )

    async def answer_device(self, call: Call, device_authorization_id: str, *, approve: bool) -> None:
        """Takes the caller's answer to a device."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            asker = await self._asker(tx, call)
            which = store.devices.c.device_authorization_id == device_authorization_id
            device = await store.find_device(tx, which)
            if device is None or device.finder != asker.account_id:
                raise authorization_not_found()
            if device.answer_time is not None and device.approved == approve:
                return
            if not device.waiting(now):
                raise authorization_not_found()
            client = await self._client(tx, device.client_id)
            await self._check_member(tx, client, asker.account_id)
            answered = replace(
                device,
                answer_time=now,
                approved=approve,
                organisation_id=client.organisation_id or asker.organisation_id,
                sign_in_time=asker.signed_in,
            )
            await store.put_device(tx, answered)
            if not approve:
                await self._announce_refused(tx, client.client_id, asker.account_id)
                return
            await store.remember_consent(tx, Consent(asker.account_id, client.client_id, device.scopes, now))
            await announce(
                tx,
                events_pb2.DeviceAuthorized(
                    account_id=asker.account_id,
                    client_id=client.client_id,
                    scopes=device.scopes,
                    network=device.network,
                    grant_time=timestamp(now),
                ),
            )

    async def _asker(self, tx: Tx, call: Call) -> Asker:
        session = await of_our_pages(tx, call)
        return Asker(session.account_id, session.organisation_id, session.create_time)

    async def _asked(
        self, tx: Tx, authorization_id: str, *, for_update: bool = False
    ) -> tuple[Authorization, OAuthClient]:
        asked = await store.find(tx, authorization_id, for_update=for_update)
        if asked is None or asked.expire_time <= self._clock.now() or asked.use.use_time is not None:
            raise authorization_not_found()
        client = await self._clients.find(tx, asked.client_id)
        # It may have been changed since it asked.
        if client is None or not client.redirects_to(asked.redirect_uri) or set(asked.scopes) - client.allowed:
            raise authorization_not_found()
        return asked, client

    async def _client(self, tx: Tx, client_id: str) -> OAuthClient:
        client = await self._clients.find(tx, client_id)
        if client is None:
            raise client_not_found(client_id)
        return client

    async def _check_member(self, tx: Tx, client: OAuthClient, account_id: str) -> None:
        if client.first_party:
            return
        belongs = await organisations.memberships_of(tx, account_id)
        if client.organisation_id not in {one.organisation_id for one in belongs}:
            raise client_foreign(client.client_id)

    async def _consent_needed(self, tx: Tx, asked: Authorization, client: OAuthClient, asker: Asker) -> bool:
        """Whether the person must be asked. Another program can catch what goes to a loopback address or an app's own scheme, so there a
        person must always have a hand in it (RFC 8252 §8.6)."""
        certain = asked.redirect_uri.startswith(("https://", f"{self._issuer}/"))
        if asked.fresh_consent or not certain:
            return True
        if client.first_party and self._trust_first_party:
            return False
        consent = await store.consent_of(tx, asker.account_id, client.client_id)
        return consent is None or not consent.covers(asked.scopes)

    async def _why_not(self, tx: Tx, asked: Authorization, client: OAuthClient, asker: Asker) -> str:
        """What a client is told that was refused. One that wanted no page hears what a page was needed for (OpenID Connect Core §3.1.2.6)."""
        if asked.silent and asked.too_old(asker.signed_in, self._clock.now()):
            return "login_required"
        if asked.silent and await self._consent_needed(tx, asked, client, asker):
            return "consent_required"
        return "access_denied"

    async def _refused(self, tx: Tx, asked: Authorization, account_id: str, error: str) -> str:
        if asked.answer_time is None:
            await store.put(tx, replace(asked, answer_time=self._clock.now(), account_id=account_id))
            await self._announce_refused(tx, asked.client_id, account_id)
        return asked.answered(self._issuer, error=error)

    async def _announce_refused(self, tx: Tx, client_id: str, account_id: str) -> None:
        await announce(
            tx,
            events_pb2.AuthorizationRefused(
                account_id=account_id, client_id=client_id, refuse_time=timestamp(self._clock.now())
            ),
        )

    async def _organisation_name(self, tx: Tx, client: OAuthClient) -> str:
        if client.first_party:
            return ""
        table = organisations.organisations
        found = await tx.execute(
            table.select()
            .with_only_columns(table.c.display_name)
            .where(table.c.organisation_id == client.organisation_id)
        )
        return str(found.scalar_one_or_none() or "")

    def _user_digest(self, user_code: str) -> bytes:
        return self._seal.digest("user code", user_code)


async def of_our_pages(tx: Tx, call: Call) -> Session:
    """The caller's session.

    Raises:
        Refusal: PERMISSION_DENIED `PERMISSION_MISSING` when a program holds it.
    """
    principal: Principal | None = call.principal
    assert principal is not None
    session = await session_store.find(tx, principal.session_id)
    if session is None or session.client_id or session.scope is not None:
        raise only_our_pages()
    return session
