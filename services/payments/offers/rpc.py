"""The offers contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
from reelmesh.payments.v1 import offers_service_pb2 as api
from reelmesh.payments.v1 import offers_service_pb2_grpc, payments_pb2, sales_service_pb2

from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call
from services.payments import refusals
from services.payments.offers import store
from services.payments.offers.domain import Offer, OfferKind, OfferPrice, Quote, Rental
from services.payments.requests import moment

Context = grpc.aio.ServicerContext[Any, Any]


class OffersRpc(offers_service_pb2_grpc.OffersServiceServicer):
    """Keeps what the caller's organisation offers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def CreateOffer(self, request: api.CreateOfferRequest, context: Context) -> api.CreateOfferResponse:
        """Makes an offer."""
        organisation_id = current_call().organisation_id
        if not request.offer.kind:
            raise refusals.offer_invalid("kind", "say how it is sold")
        offer = _read(request.offer, organisation_id, self._clock.now()).checked()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreateOfferResponse):
                return earlier
            await store.add(tx, offer)
            answer = api.CreateOfferResponse(offer=_resource(offer))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def UpdateOffer(self, request: api.UpdateOfferRequest, context: Context) -> api.UpdateOfferResponse:
        """Makes the next version of an offer."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.UpdateOfferResponse):
                return earlier
            before = await _found(tx, organisation_id, request.offer.offer_id, for_update=True)
            if before.retire_time is not None:
                raise refusals.offer_retired(before.offer_id)
            if request.offer.version not in (0, before.version):
                raise _changed_meanwhile(before.version)
            offer = replace(
                _read(request.offer, organisation_id, now, kind=before.kind),
                offer_id=before.offer_id,
                version=before.version + 1,
                asset_id=before.asset_id,
                create_time=before.create_time,
            ).checked()
            await store.add_version(tx, offer)
            answer = api.UpdateOfferResponse(offer=_resource(offer))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def RetireOffer(self, request: api.RetireOfferRequest, context: Context) -> api.RetireOfferResponse:
        """Takes an offer back."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            await _found(tx, organisation_id, request.offer_id, for_update=True)
            await store.retire(tx, request.offer_id, self._clock.now())
            retired = await _found(tx, organisation_id, request.offer_id)
        return api.RetireOfferResponse(offer=_resource(retired))

    async def GetOffer(self, request: api.GetOfferRequest, context: Context) -> api.GetOfferResponse:
        """One offer."""
        async with self._database.transaction() as tx:
            found = await _found(tx, current_call().organisation_id, request.offer_id, request.version)
        return api.GetOfferResponse(offer=_resource(found))

    async def ListOffers(self, request: api.ListOffersRequest, context: Context) -> api.ListOffersResponse:
        """The organisation's offers, newest first."""
        part = page_of(request)
        assets = [request.asset_id] if request.asset_id else []
        async with self._database.transaction() as tx:
            found = await store.page(
                tx, current_call().organisation_id, part, assets=assets, retired=request.show_retired
            )
        shown = found[: part.size]
        return api.ListOffersResponse(
            offers=[_resource(offer) for offer in shown],
            next_page_token=part.next_token(shown[-1].offer_id) if len(found) > part.size else "",
        )

    async def ListOffersForAsset(
        self, request: api.ListOffersForAssetRequest, context: Context
    ) -> api.ListOffersForAssetResponse:
        """What a viewer can have now."""
        part, now = page_of(request), self._clock.now()
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, part, assets=["", request.asset_id])
        shown = found[: part.size]
        return api.ListOffersForAssetResponse(
            quotes=[quote for offer in shown if (quote := _quoted(offer, request.territory, now))],
            next_page_token=part.next_token(shown[-1].offer_id) if len(found) > part.size else "",
        )

    async def GetQuote(self, request: api.GetQuoteRequest, context: Context) -> api.GetQuoteResponse:
        """What a viewer pays."""
        async with self._database.transaction() as tx:
            offer = await _found(tx, current_call().organisation_id, request.offer_id)
        return api.GetQuoteResponse(quote=quote_message(offer.quoted(request.territory, self._clock.now())))


async def _found(tx: Tx, organisation_id: str, offer_id: str, version: int = 0, *, for_update: bool = False) -> Offer:
    found = await store.find(tx, organisation_id, offer_id, version, for_update=for_update)
    if found is None:
        raise refusals.offer_not_found(offer_id)
    return found


def _quoted(offer: Offer, territory: str, now: datetime) -> api.Quote | None:
    """What a viewer pays; None when they cannot have it."""
    try:
        return quote_message(offer.quoted(territory, now))
    except Refusal:
        return None


def _changed_meanwhile(version: int) -> Refusal:
    return Refusal(
        grpc.StatusCode.ABORTED,
        "ETAG_MISMATCH",
        "the offer changed since you read it; read it again",
        domain=RPC_DOMAIN,
        metadata={"etag": str(version)},
    )


def _read(wanted: api.Offer, organisation_id: str, now: datetime, kind: OfferKind | None = None) -> Offer:
    """An offer as somebody wants it: new, in its first version."""
    rental = wanted.rental if wanted.HasField("rental") else None
    if rental is not None and not (rental.HasField("begin_within") and rental.HasField("watch_duration")):
        raise refusals.offer_invalid("rental", "a rental has both windows")
    return Offer(
        offer_id=new_id("off"),
        organisation_id=organisation_id,
        version=1,
        kind=kind or OfferKind(wanted.kind),
        asset_id=wanted.asset_id,
        title=_text(wanted.title),
        prices=tuple(
            OfferPrice(tuple(one.territories), one.price.minor_units, one.price.currency, one.here_only)
            for one in wanted.prices
        ),
        rental=Rental(rental.begin_within.ToTimedelta(), rental.watch_duration.ToTimedelta()) if rental else None,
        max_plays=wanted.max_plays,
        territories=tuple(dict.fromkeys(wanted.territories)),
        start_time=moment(wanted, "start_time"),
        end_time=moment(wanted, "end_time"),
        creators=tuple((share.creator_id, share.weight) for share in wanted.creators),
        create_time=now,
        update_time=now,
    )


def _text(title: str) -> str:
    if not title.isprintable() or not title.strip():
        raise refusals.offer_invalid("title", "write a title of printable characters")
    return title.strip()


def _rental(rental: Rental | None) -> api.RentalWindow | None:
    if rental is None:
        return None
    return api.RentalWindow(
        begin_within=duration(rental.begin_within.total_seconds()),
        watch_duration=duration(rental.watch.total_seconds()),
    )


def _money(price: OfferPrice) -> payments_pb2.Money:
    return payments_pb2.Money(minor_units=price.minor_units, currency=price.currency)


def quote_message(quote: Quote) -> api.Quote:
    """What one viewer gets and pays, as the contract shows it."""
    offer = quote.offer
    return api.Quote(
        offer_id=offer.offer_id,
        version=offer.version,
        kind=api.OfferKind.ValueType(offer.kind),
        asset_id=offer.asset_id,
        title=offer.title,
        price=_money(quote.price) if quote.price else None,
        rental=_rental(offer.rental),
        max_plays=offer.max_plays,
        territories=quote.territories,
        end_time=timestamp(offer.end_time),
    )


def _resource(offer: Offer) -> api.Offer:
    return api.Offer(
        offer_id=offer.offer_id,
        organisation_id=offer.organisation_id,
        version=offer.version,
        kind=api.OfferKind.ValueType(offer.kind),
        asset_id=offer.asset_id,
        title=offer.title,
        prices=[
            api.OfferPrice(territories=price.territories, price=_money(price), here_only=price.here_only)
            for price in offer.prices
        ],
        rental=_rental(offer.rental),
        max_plays=offer.max_plays,
        territories=offer.territories,
        start_time=timestamp(offer.start_time),
        end_time=timestamp(offer.end_time),
        creators=[
            sales_service_pb2.CreatorShare(creator_id=creator_id, weight=weight)
            for creator_id, weight in offer.creators
        ],
        state=api.OFFER_STATE_RETIRED if offer.retire_time else api.OFFER_STATE_ACTIVE,
        create_time=timestamp(offer.create_time),
        update_time=timestamp(offer.update_time),
        retire_time=timestamp(offer.retire_time),
    )
