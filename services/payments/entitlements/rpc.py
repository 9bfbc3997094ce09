"""The entitlements contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
from reelmesh.payments.v1 import entitlements_service_pb2 as api
from reelmesh.payments.v1 import entitlements_service_pb2_grpc, events_pb2

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import Page, page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.entitlements import granting, store
from services.payments.entitlements.domain import Entitlement
from services.payments.entitlements.messages import entitlement_message, own_entitlement
from services.payments.entitlements.store import Wanted
from services.payments.entitlements.subscribed import entitlement_of
from services.payments.offers import store as offers
from services.payments.offers.domain import OfferKind
from services.payments.requests import checked_grant, storable
from services.payments.subscriptions import store as subscriptions

Context = grpc.aio.ServicerContext[Any, Any]

_GIVEN: Final = frozenset(
    {
        events_pb2.ENTITLEMENT_KIND_FREE,
        events_pb2.ENTITLEMENT_KIND_GIFT,
        events_pb2.ENTITLEMENT_KIND_PROMOTION,
    }
)


class EntitlementsRpc(entitlements_service_pb2_grpc.EntitlementsServiceServicer):
    """Keeps who may watch what of the caller's organisation."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def GrantEntitlement(
        self, request: api.GrantEntitlementRequest, context: Context
    ) -> api.GrantEntitlementResponse:
        """Lets a viewer watch something for which nobody pays."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        storable("comment", request.comment)
        granted = checked_grant(request)
        if granted.kind not in _GIVEN:
            raise refusals.grant_invalid(
                "grant.kind", "what is paid for comes with its sale; choose FREE, GIFT or PROMOTION"
            )
        if granted.viewer_id or granted.offer_id:
            raise refusals.grant_invalid("grant", "name the viewer beside the grant, and no offer: those are claimed")
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.GrantEntitlementResponse):
                return earlier
            source = granting.Source(organisation_id, request.viewer_id, comment=request.comment)
            entitlement = await granting.grant(tx, granted, source, now)
            answer = api.GrantEntitlementResponse(entitlement=entitlement_message(entitlement, now))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def RevokeEntitlement(
        self, request: api.RevokeEntitlementRequest, context: Context
    ) -> api.RevokeEntitlementResponse:
        """Ends an entitlement for good."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        storable("comment", request.comment)
        async with self._database.transaction() as tx:
            if one := await subscriptions.of_entitlement(tx, organisation_id, request.entitlement_id):
                raise refusals.entitlement_of_subscription(one.subscription_id)
            ended = await granting.revoke(tx, organisation_id, request.entitlement_id, request.comment, now)
        return api.RevokeEntitlementResponse(entitlement=entitlement_message(ended, now))

    async def GetEntitlement(self, request: api.GetEntitlementRequest, context: Context) -> api.GetEntitlementResponse:
        """One entitlement."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            found = await store.find(tx, organisation_id, request.entitlement_id)
            if found is None and (
                one := await subscriptions.of_entitlement(tx, organisation_id, request.entitlement_id)
            ):
                found = entitlement_of(one)
        if found is None:
            raise refusals.entitlement_not_found(request.entitlement_id)
        return api.GetEntitlementResponse(entitlement=entitlement_message(found, self._clock.now()))

    async def ListEntitlements(
        self, request: api.ListEntitlementsRequest, context: Context
    ) -> api.ListEntitlementsResponse:
        """The organisation's entitlements, newest first."""
        part, now = page_of(request), self._clock.now()
        shown, token = await self._page(part, Wanted(request.viewer_id, request.asset_id))
        return api.ListEntitlementsResponse(
            entitlements=[entitlement_message(one, now) for one in shown], next_page_token=token
        )

    async def ListMyEntitlements(
        self, request: api.ListMyEntitlementsRequest, context: Context
    ) -> api.ListMyEntitlementsResponse:
        """What the caller may watch."""
        part, now = page_of(request), self._clock.now()
        shown, token = await self._page(part, Wanted(_caller(), request.asset_id))
        return api.ListMyEntitlementsResponse(
            entitlements=[own_entitlement(one, now) for one in shown], next_page_token=token
        )

    async def ClaimOffer(self, request: api.ClaimOfferRequest, context: Context) -> api.ClaimOfferResponse:
        """Takes what is free."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            entitlement = await self._claimed(tx, request.offer_id, request.territory)
        return api.ClaimOfferResponse(entitlement=own_entitlement(entitlement, now))

    async def _claimed(self, tx: Tx, offer_id: str, territory: str) -> Entitlement:
        organisation_id, viewer_id, now = current_call().organisation_id, _caller(), self._clock.now()
        offer = await offers.find(tx, organisation_id, offer_id)
        if offer is None:
            raise refusals.offer_not_found(offer_id)
        if offer.kind is not OfferKind.FREE:
            raise refusals.offer_not_free(offer_id)
        # What somebody revoked, and what was used up, cannot be had again by claiming it once more.
        if earlier := await store.claimed(tx, organisation_id, viewer_id, offer_id):
            return earlier
        granted = offer.quoted(territory, now).grant(now)
        return await granting.grant(tx, granted, granting.Source(organisation_id, viewer_id), now)

    async def _page(self, part: Page, wanted: Wanted) -> tuple[Sequence[Entitlement], str]:
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            found = [*await store.page(tx, organisation_id, wanted, part)]
            if not wanted.asset_id:  # a subscription is for no asset in particular
                paid = await subscriptions.page_by_entitlement(tx, organisation_id, wanted.viewer_id, part)
                found.extend(entitlement_of(one) for one in paid)
        found.sort(key=lambda one: one.entitlement_id, reverse=True)
        shown = found[: part.size]
        return shown, part.next_token(shown[-1].entitlement_id) if len(found) > part.size else ""


def _caller() -> str:
    principal = current_call().principal
    return principal.account_id if principal else ""
