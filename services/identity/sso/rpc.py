"""The contract of sign-in at outside providers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import grpc
from reelmesh.identity.v1 import events_pb2, sso_pb2, sso_service_pb2_grpc
from reelmesh.identity.v1 import sso_service_pb2 as api

from services.identity.oauth.domain import only_our_pages
from services.identity.organisations import store as organisations
from services.identity.organisations.domain import Membership
from services.identity.organisations.roles import built_in, permission_not_held
from services.identity.sessions import store as session_store
from services.identity.sso import store
from services.identity.sso.arriving import Arriving
from services.identity.sso.domain import Provider, check_issuer, provider_not_found, role_not_found
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.sealing import Seal
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class SsoServicer(sso_service_pb2_grpc.SsoServiceServicer):
    """Serves `reelmesh.identity.v1.SsoService`.

    Args:
        public_url: where people reach the edge, and so where providers send them back to.
        loopback: whether providers on this very machine are taken, by `http`.
    """

    def __init__(
        self, database: Database, clock: Clock, seal: Seal, arriving: Arriving, *, public_url: str, loopback: bool
    ) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._arriving = arriving
        self._public_url = public_url
        self._loopback = loopback

    async def ListSignInOptions(
        self, request: api.ListSignInOptionsRequest, context: Context
    ) -> api.ListSignInOptionsResponse:
        """Providers that people can sign in at."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of_all(tx, part)
        shown = found[: part.size]
        return api.ListSignInOptionsResponse(
            options=[sso_pb2.SignInOption(provider_id=one.provider_id, display_name=one.display_name) for one in shown],
            next_page_token=part.next_token(shown[-1].provider_id) if len(found) > part.size else "",
        )

    async def RedeemSignIn(self, request: api.RedeemSignInRequest, context: Context) -> api.RedeemSignInResponse:
        """Ends a sign-in."""
        return api.RedeemSignInResponse(tokens=await self._arriving.redeem(request, current_call().client))

    async def BeginIdentityLink(
        self, request: api.BeginIdentityLinkRequest, context: Context
    ) -> api.BeginIdentityLinkResponse:
        """A code with which the caller's account can be linked."""
        principal = current_call().principal
        assert principal is not None
        async with self._database.transaction() as tx:
            session = await session_store.find(tx, principal.session_id)
            if session is None or session.client_id:
                raise only_our_pages()
            code = await self._arriving.link_code(tx, request.provider_id, principal.account_id)
        return api.BeginIdentityLinkResponse(link_code=code)

    async def ListLinkedIdentities(
        self, request: api.ListLinkedIdentitiesRequest, context: Context
    ) -> api.ListLinkedIdentitiesResponse:
        """Providers that the caller can sign in at."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page_of_identities(tx, _account_id(), part)
        shown = found[: part.size]
        return api.ListLinkedIdentitiesResponse(
            identities=[
                sso_pb2.LinkedIdentity(
                    provider_id=identity.provider_id,
                    provider_name=name,
                    email=identity.email,
                    link_time=timestamp(identity.link_time),
                )
                for identity, name in shown
            ],
            next_page_token=part.next_token(shown[-1][0].provider_id) if len(found) > part.size else "",
        )

    async def UnlinkIdentity(self, request: api.UnlinkIdentityRequest, context: Context) -> api.UnlinkIdentityResponse:
        """Takes a link away."""
        account_id = _account_id()
        async with self._database.transaction() as tx:
            if await store.remove_identity(tx, request.provider_id, account_id):
                await announce(
                    tx,
                    events_pb2.IdentityUnlinked(
                        account_id=account_id,
                        provider_id=request.provider_id,
                        unlink_time=timestamp(self._clock.now()),
                    ),
                )
        return api.UnlinkIdentityResponse()

    async def CreateSsoProvider(
        self, request: api.CreateSsoProviderRequest, context: Context
    ) -> api.CreateSsoProviderResponse:
        """Adds a provider."""
        organisation_id, now, provider_id = current_call().organisation_id, self._clock.now(), new_id("idp")
        check_issuer(request.issuer, loopback=self._loopback)
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateSsoProviderResponse):
                return earlier
            provider = Provider(
                provider_id=provider_id,
                organisation_id=organisation_id,
                version=1,
                display_name=request.display_name,
                issuer=request.issuer,
                client_id=request.client_id,
                sealed_secret=self._seal.seal(request.client_secret.encode(), provider_id),
                email_domains=tuple(request.email_domains),
                provisioning=request.provisioning,
                role_ids=tuple(request.role_ids),
                create_time=now,
            ).possible()
            await self._check_roles(tx, organisation_id, provider.role_ids)
            await store.add(tx, provider)
            await self._announce(tx, provider)
            answer = api.CreateSsoProviderResponse(provider=self._resource(provider))
            await remember(tx, organisation_id, request, answer)
        return answer

    async def ListSsoProviders(
        self, request: api.ListSsoProvidersRequest, context: Context
    ) -> api.ListSsoProvidersResponse:
        """The organisation's providers."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListSsoProvidersResponse(
            providers=[self._resource(provider) for provider in shown],
            next_page_token=part.next_token(shown[-1].provider_id) if len(found) > part.size else "",
        )

    async def UpdateSsoProvider(
        self, request: api.UpdateSsoProviderRequest, context: Context
    ) -> api.UpdateSsoProviderResponse:
        """Changes a provider."""
        organisation_id, asked = current_call().organisation_id, request.provider
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.UpdateSsoProviderResponse):
                return earlier
            before = (await self._own(tx, asked.provider_id)).checked(asked.etag)
            wanted = replace(
                before,
                display_name=asked.display_name,
                client_id=asked.client_id,
                email_domains=tuple(asked.email_domains),
                provisioning=asked.provisioning,
                role_ids=tuple(asked.role_ids),
            )
            after = before.changed(request.update_mask.paths, wanted)
            if request.client_secret:
                sealed = self._seal.seal(request.client_secret.encode(), after.provider_id)
                after = replace(after, sealed_secret=sealed)
            if after.role_ids != before.role_ids:
                await self._check_roles(tx, organisation_id, after.role_ids)
            await store.put(tx, after)
            await self._announce(tx, after)
            answer = api.UpdateSsoProviderResponse(provider=self._resource(after))
            await remember(tx, organisation_id, request, answer)
        return answer

    async def DeleteSsoProvider(
        self, request: api.DeleteSsoProviderRequest, context: Context
    ) -> api.DeleteSsoProviderResponse:
        """Removes a provider."""
        async with self._database.transaction() as tx:
            provider = await store.find(tx, request.provider_id, for_update=True)
            if provider is not None and provider.organisation_id == current_call().organisation_id:
                await store.remove(tx, provider.provider_id)
                await self._announce(tx, provider, removed=True)
        return api.DeleteSsoProviderResponse()

    async def BeginSignIn(self, request: api.BeginSignInRequest, context: Context) -> api.BeginSignInResponse:
        """Sends somebody on their way."""
        return await self._arriving.begin(request)

    async def TakeSignIn(self, request: api.TakeSignInRequest, context: Context) -> api.TakeSignInResponse:
        """Takes up somebody who came back."""
        return await self._arriving.take(request)

    async def CompleteSignIn(self, request: api.CompleteSignInRequest, context: Context) -> api.CompleteSignInResponse:
        """Keeps whom the provider vouched for."""
        return api.CompleteSignInResponse(code=await self._arriving.complete(request, current_call().client))

    async def _own(self, tx: Tx, provider_id: str) -> Provider:
        provider = await store.find(tx, provider_id, for_update=True)
        if provider is None or provider.organisation_id != current_call().organisation_id:
            raise provider_not_found(provider_id)
        return provider

    async def _check_roles(self, tx: Tx, organisation_id: str, role_ids: Iterable[str]) -> None:
        """Nobody can let newcomers do what they may not do themselves."""
        principal, now = current_call().principal, self._clock.now()
        for role_id in role_ids:
            granted = await organisations.permissions_of(tx, Membership(organisation_id, "", (role_id,), now))
            if role_id not in built_in() and not granted:
                raise role_not_found(role_id)
            for permission in sorted(granted):
                if principal is None or not principal.may(permission):
                    raise permission_not_held(permission)

    async def _announce(self, tx: Tx, provider: Provider, *, removed: bool = False) -> None:
        principal = current_call().principal
        await announce(
            tx,
            events_pb2.SsoProviderChanged(
                provider_id=provider.provider_id,
                organisation_id=provider.organisation_id,
                issuer=provider.issuer,
                removed=removed,
                actor=principal.name if principal else "",
                change_time=timestamp(self._clock.now()),
            ),
        )

    def _resource(self, provider: Provider) -> sso_pb2.SsoProvider:
        return sso_pb2.SsoProvider(
            provider_id=provider.provider_id,
            organisation_id=provider.organisation_id,
            display_name=provider.display_name,
            issuer=provider.issuer,
            client_id=provider.client_id,
            email_domains=provider.email_domains,
            provisioning=provider.provisioning,
            role_ids=provider.role_ids,
            redirect_uri=f"{self._public_url}/sso/{provider.provider_id}/callback",
            create_time=timestamp(provider.create_time),
            etag=provider.etag,
        )


def _account_id() -> str:
    principal = current_call().principal
    assert principal is not None
    return principal.account_id
