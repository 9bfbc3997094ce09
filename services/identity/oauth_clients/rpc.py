"""The contract of OAuth clients."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from reelmesh.identity.v1 import events_pb2, oauth_clients_service_pb2_grpc, oauth_pb2
from reelmesh.identity.v1 import oauth_clients_service_pb2 as api

from services.identity.oauth_clients import store
from services.identity.oauth_clients.domain import (
    ABOUT_PEOPLE,
    OAuthClient,
    client_built_in,
    client_invalid,
    client_not_found,
)
from services.identity.oauth_clients.store import Clients
from services.identity.organisations.roles import permission_not_held
from services.identity.sessions.store import sessions
from services.identity.trust.feed import TrustFeed
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
_SECRET: Final = "rms_"  # noqa: S105  # a prefix


class OAuthClientsServicer(oauth_clients_service_pb2_grpc.OAuthClientsServiceServicer):
    """Serves `reelmesh.identity.v1.OAuthClientsService`."""

    def __init__(self, database: Database, clock: Clock, clients: Clients, feed: TrustFeed) -> None:
        self._database = database
        self._clock = clock
        self._clients = clients
        self._feed = feed

    async def CreateOAuthClient(
        self, request: api.CreateOAuthClientRequest, context: Context
    ) -> api.CreateOAuthClientResponse:
        """Registers a client."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        secret = _SECRET + secrets.token_urlsafe(32) if request.confidential else ""
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateOAuthClientResponse):
                return earlier
            client = OAuthClient(
                client_id=new_id("cli"),
                organisation_id=organisation_id,
                version=1,
                display_name=request.display_name,
                redirect_uris=tuple(request.redirect_uris),
                secret_sha256=_digest(secret) if secret else None,
                grants=tuple(request.grants),
                scopes=tuple(request.scopes),
                create_time=now,
                post_logout_redirect_uris=tuple(request.post_logout_redirect_uris),
            ).possible()
            _check_held(client.scopes)
            await store.add(tx, client)
            await announce(
                tx,
                events_pb2.OAuthClientCreated(
                    client_id=client.client_id,
                    organisation_id=organisation_id,
                    scopes=client.scopes,
                    actor=_actor(),
                    create_time=timestamp(now),
                ),
            )
            answer = api.CreateOAuthClientResponse(client=resource(client))
            await remember(tx, organisation_id, request, answer)
        answer.secret = secret
        return answer

    async def GetOAuthClient(self, request: api.GetOAuthClientRequest, context: Context) -> api.GetOAuthClientResponse:
        """One client."""
        async with self._database.transaction() as tx:
            client = await self._clients.find(tx, request.client_id)
        if client is None or client.organisation_id not in {"", current_call().organisation_id}:
            raise client_not_found(request.client_id)
        return api.GetOAuthClientResponse(client=resource(client))

    async def ListOAuthClients(
        self, request: api.ListOAuthClientsRequest, context: Context
    ) -> api.ListOAuthClientsResponse:
        """The organisation's clients."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListOAuthClientsResponse(
            clients=[resource(client) for client in shown],
            next_page_token=part.next_token(shown[-1].client_id) if len(found) > part.size else "",
        )

    async def UpdateOAuthClient(
        self, request: api.UpdateOAuthClientRequest, context: Context
    ) -> api.UpdateOAuthClientResponse:
        """Changes a client."""
        organisation_id, asked = current_call().organisation_id, request.client
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.UpdateOAuthClientResponse):
                return earlier
            before = (await self._own(tx, asked.client_id)).checked(asked.etag)
            wanted = replace(
                before,
                display_name=asked.display_name,
                redirect_uris=tuple(asked.redirect_uris),
                post_logout_redirect_uris=tuple(asked.post_logout_redirect_uris),
                grants=tuple(asked.grants),
                scopes=tuple(asked.scopes),
            )
            after = before.changed(request.update_mask.paths, wanted)
            _check_held(set(after.scopes) - set(before.scopes))
            await store.put(tx, after)
            if set(before.scopes) - set(after.scopes):
                await self._feed.revoke(tx, after.client_id)
            await announce(tx, self._changed(after, secret_rotated=False))
            answer = api.UpdateOAuthClientResponse(client=resource(after))
            await remember(tx, organisation_id, request, answer)
        return answer

    async def DeleteOAuthClient(
        self, request: api.DeleteOAuthClientRequest, context: Context
    ) -> api.DeleteOAuthClientResponse:
        """Removes a client."""
        now, organisation_id = self._clock.now(), current_call().organisation_id
        async with self._database.transaction() as tx:
            client = await self._clients.find(tx, request.client_id, for_update=True)
            if client is not None and client.first_party:
                raise client_built_in(request.client_id)
            if client is not None and client.organisation_id == organisation_id:
                await store.remove(tx, client.client_id)
                await tx.execute(
                    sessions.update()
                    .where(sessions.c.client_id == client.client_id, sessions.c.end_time.is_(None))
                    .values(end_time=now)
                )
                await self._feed.revoke(tx, client.client_id)
                await announce(
                    tx,
                    events_pb2.OAuthClientDeleted(
                        client_id=client.client_id,
                        organisation_id=organisation_id,
                        actor=_actor(),
                        delete_time=timestamp(now),
                    ),
                )
        return api.DeleteOAuthClientResponse()

    async def RotateOAuthClientSecret(
        self, request: api.RotateOAuthClientSecretRequest, context: Context
    ) -> api.RotateOAuthClientSecretResponse:
        """Gives a client another secret."""
        organisation_id, secret = current_call().organisation_id, _SECRET + secrets.token_urlsafe(32)
        answer = api.RotateOAuthClientSecretResponse()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.RotateOAuthClientSecretResponse):
                return earlier
            before = await self._own(tx, request.client_id)
            if not before.confidential:
                raise client_invalid("client_id", "this client cannot keep a secret, and has none")
            after = replace(before, version=before.version + 1, secret_sha256=_digest(secret))
            await store.put(tx, after)
            await self._feed.revoke(tx, after.client_id)
            await announce(tx, self._changed(after, secret_rotated=True))
            await remember(tx, organisation_id, request, answer)
        answer.secret = secret
        return answer

    async def _own(self, tx: Tx, client_id: str) -> OAuthClient:
        client = await self._clients.find(tx, client_id, for_update=True)
        if client is not None and client.first_party:
            raise client_built_in(client_id)
        if client is None or client.organisation_id != current_call().organisation_id:
            raise client_not_found(client_id)
        return client

    def _changed(self, client: OAuthClient, *, secret_rotated: bool) -> Message:
        return events_pb2.OAuthClientChanged(
            client_id=client.client_id,
            organisation_id=client.organisation_id,
            scopes=client.scopes,
            secret_rotated=secret_rotated,
            actor=_actor(),
            change_time=timestamp(self._clock.now()),
        )


def resource(client: OAuthClient) -> oauth_pb2.OAuthClient:
    """A client as the contract shows it."""
    return oauth_pb2.OAuthClient(
        client_id=client.client_id,
        organisation_id=client.organisation_id,
        display_name=client.display_name,
        redirect_uris=client.redirect_uris,
        confidential=client.confidential,
        grants=[oauth_pb2.OAuthGrant.ValueType(grant) for grant in client.grants],
        scopes=sorted(client.allowed),
        first_party=client.first_party,
        create_time=timestamp(client.create_time),
        etag=client.etag,
        post_logout_redirect_uris=client.post_logout_redirect_uris,
    )


def _check_held(scopes: Iterable[str]) -> None:
    """Nobody can let a client ask for what they may not do themselves."""
    principal = current_call().principal
    for scope in sorted(set(scopes) - set(ABOUT_PEOPLE)):
        if principal is None or not principal.may(scope):
            raise permission_not_held(scope)


def _actor() -> str:
    principal = current_call().principal
    return principal.name if principal else ""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
