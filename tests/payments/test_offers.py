"""What is offered, and what one viewer pays for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.payments.v1 import events_pb2, offers_service_pb2_grpc, sales_service_pb2
from reelmesh.payments.v1 import offers_service_pb2 as api

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.payments.__main__ import CONTRACTS
from services.payments.offers.domain import Offer, OfferKind, OfferPrice, Rental
from tests.payments.scene import T0, Books, money, once, refused
from tests.support.keys import with_api_key
from tests.support.running import connected

DAY = timedelta(days=1)
FILM = Offer(
    offer_id="off_1",
    organisation_id="org_1",
    version=1,
    kind=OfferKind.RENTAL,
    asset_id="ast_1",
    title="A film",
    prices=(
        OfferPrice(("US",), 499, "USD"),
        OfferPrice(("US-TX", "US-UT"), 399, "USD", here_only=True),
        OfferPrice((), 450, "EUR"),
    ),
    rental=Rental(30 * DAY, 2 * DAY),
    max_plays=0,
    territories=(),
    start_time=None,
    end_time=None,
    creators=(("ada", 1),),
    create_time=T0,
    update_time=T0,
)


@pytest.mark.parametrize(("territory", "price"), [("US-TX", 399), ("US-CA", 499), ("US", 499), ("DE", 450)])
def test_the_price_that_names_the_place_most_closely_holds(territory: str, price: int) -> None:
    quote = FILM.checked().quoted(territory, T0)
    assert quote.price is not None
    assert quote.price.minor_units == price


def test_what_is_cheap_in_one_place_is_good_there_only() -> None:
    assert FILM.quoted("US-TX", T0).grant(T0).territories == ["US-TX", "US-UT"]
    assert FILM.quoted("US-CA", T0).grant(T0).territories == []
    bounded = replace(FILM, territories=("US-TX", "DE"))
    assert bounded.quoted("US-TX", T0).grant(T0).territories == ["US-TX"]
    assert bounded.quoted("DE", T0).grant(T0).territories == ["US-TX", "DE"]
    with pytest.raises(Refusal, match="OFFER_NOT_SOLD_HERE"):
        bounded.quoted("US-CA", T0)


def test_the_windows_of_a_rental_count_from_the_sale() -> None:
    grant = FILM.quoted("DE", T0).grant(T0 + DAY, viewer_id="bob")
    assert grant.begin_by_time == timestamp(T0 + 31 * DAY)
    assert grant.watch_duration.ToTimedelta() == 2 * DAY
    assert not grant.HasField("end_time")
    assert (grant.kind, grant.viewer_id, grant.offer_id) == (events_pb2.ENTITLEMENT_KIND_GIFT, "bob", "off_1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"retire_time": T0}, "OFFER_RETIRED"),
        ({"start_time": T0 + DAY}, "OFFER_NOT_NOW"),
        ({"end_time": T0}, "OFFER_NOT_NOW"),
        ({"prices": (OfferPrice(("US",), 1, "USD"),)}, "OFFER_NOT_SOLD_HERE"),
    ],
)
def test_what_cannot_be_had_is_not_quoted(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        replace(FILM, **change).quoted("DE", T0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rental": None}, "OFFER_INVALID"),
        ({"kind": OfferKind.PURCHASE}, "OFFER_INVALID"),
        ({"prices": ()}, "OFFER_INVALID"),
        ({"kind": OfferKind.FREE, "rental": None}, "OFFER_INVALID"),
        ({"start_time": T0, "end_time": T0}, "OFFER_INVALID"),
        ({"prices": (OfferPrice(("US",), 1, "USD"), OfferPrice(("DE", "US"), 1, "EUR"))}, "OFFER_INVALID"),
        ({"prices": (OfferPrice((), 1, "USD"), OfferPrice((), 1, "EUR"))}, "OFFER_INVALID"),
        ({"prices": (OfferPrice(("US", "US"), 1, "USD"),)}, "OFFER_INVALID"),
        ({"prices": (OfferPrice((), 1, "USD", here_only=True),)}, "OFFER_INVALID"),
        ({"prices": (OfferPrice((), 0, "USD"),)}, "AMOUNT_INVALID"),
        ({"prices": (OfferPrice((), 1, "XXQ"),)}, "CURRENCY_UNKNOWN"),
        ({"creators": (("ada", 1), ("ada", 2))}, "OFFER_INVALID"),
    ],
)
def test_an_offer_that_contradicts_itself_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        replace(FILM, **change).checked()


places = st.sampled_from(["US", "US-TX", "US-UT", "DE", "DE-BE"])


@given(st.lists(st.tuples(st.lists(places, max_size=2, unique=True).map(tuple), st.booleans()), max_size=4), places)
def test_a_viewer_pays_one_price_and_never_watches_where_it_was_not_sold(
    listed: list[tuple[tuple[str, ...], bool]], territory: str
) -> None:
    prices = tuple(OfferPrice(named, 1 + number, "EUR", here) for number, (named, here) in enumerate(listed))
    offer = replace(FILM, prices=prices)
    try:
        quote = offer.checked().quoted(territory, T0)
    except Refusal:
        return
    assert quote.price in prices
    closest = [price for price in prices if territory in price.territories]
    assert quote.price in (closest or prices)
    if quote.price.here_only:
        assert set(quote.territories) == set(quote.price.territories)


def wanted(**changes: Any) -> api.Offer:
    usual: dict[str, Any] = {
        "kind": api.OFFER_KIND_PURCHASE,
        "asset_id": new_id("ast"),
        "title": "A film",
        "prices": [api.OfferPrice(price=money(999))],
        "creators": [sales_service_pb2.CreatorShare(creator_id="ada", weight=1)],
    }
    return api.Offer(**(usual | changes))


async def made(here: Books, **changes: Any) -> api.Offer:
    return (await here.offers.CreateOffer(api.CreateOfferRequest(request_id=once(), offer=wanted(**changes)))).offer


async def test_a_checkout_keeps_the_version_that_it_was_opened_with(here: Books) -> None:
    offer = await made(here)
    dearer = api.Offer()
    dearer.CopyFrom(offer)
    dearer.prices[0].price.minor_units = 1999
    request = api.UpdateOfferRequest(request_id=once(), offer=dearer)
    second = (await here.offers.UpdateOffer(request)).offer
    assert (offer.version, second.version, second.create_time) == (1, 2, offer.create_time)
    assert (await here.offers.UpdateOffer(request)).offer == second, "the same request again"
    first = (await here.offers.GetOffer(api.GetOfferRequest(offer_id=offer.offer_id, version=1))).offer
    assert first.prices[0].price == money(999)
    quote = (await here.offers.GetQuote(api.GetQuoteRequest(offer_id=offer.offer_id, territory="DE"))).quote
    assert (quote.version, quote.price) == (2, money(1999))
    with refused("ETAG_MISMATCH"):
        await here.offers.UpdateOffer(api.UpdateOfferRequest(request_id=once(), offer=dearer))


async def test_what_is_retired_is_sold_to_nobody_and_changed_no_more(here: Books) -> None:
    offer = await made(here)
    retire = api.RetireOfferRequest(offer_id=offer.offer_id)
    retired = (await here.offers.RetireOffer(retire)).offer
    here.clock.advance(DAY)
    assert (await here.offers.RetireOffer(retire)).offer == retired
    with refused("OFFER_RETIRED"):
        await here.offers.GetQuote(api.GetQuoteRequest(offer_id=offer.offer_id, territory="DE"))
    with refused("OFFER_RETIRED"):
        await here.offers.UpdateOffer(api.UpdateOfferRequest(request_id=once(), offer=retired))
    assert not (await here.offers.ListOffers(api.ListOffersRequest())).offers
    assert len((await here.offers.ListOffers(api.ListOffersRequest(show_retired=True))).offers) == 1


async def test_a_viewer_sees_what_can_be_had_of_a_film_and_of_the_whole_catalogue(here: Books) -> None:
    span = Duration()
    span.FromTimedelta(2 * DAY)
    film = await made(here)
    window = api.RentalWindow(begin_within=span, watch_duration=span)
    rent = await made(here, asset_id=film.asset_id, kind=api.OFFER_KIND_RENTAL, rental=window)
    everything = await made(here, asset_id="")
    await made(here, asset_id=film.asset_id, territories=["US"])
    await made(here, asset_id=film.asset_id, start_time=timestamp(T0 + DAY))
    await made(here)
    with with_api_key(here.settings, organisation_id=here.organisation_id, permissions=["playback.create"]) as key:
        async with connected(here.settings, "payments", *CONTRACTS, key=key) as channel:
            viewer = offers_service_pb2_grpc.OffersServiceStub(channel)
            asked = api.ListOffersForAssetRequest(asset_id=film.asset_id, territory="DE")
            quotes = (await viewer.ListOffersForAsset(asked)).quotes
            with refused("PERMISSION_MISSING"):
                await viewer.GetOffer(api.GetOfferRequest(offer_id=film.offer_id))
    assert [quote.offer_id for quote in quotes] == [everything.offer_id, rent.offer_id, film.offer_id]
    assert quotes[1].rental == window


async def test_another_organisation_knows_nothing_of_an_offer(here: Books) -> None:
    offer = await made(here)
    permissions = ["payments.manage", "payments.read", "playback.create"]
    with with_api_key(here.settings, organisation_id=new_id("org"), permissions=permissions) as key:
        async with connected(here.settings, "payments", *CONTRACTS, key=key) as channel:
            other = offers_service_pb2_grpc.OffersServiceStub(channel)
            with refused("OFFER_NOT_FOUND"):
                await other.GetQuote(api.GetQuoteRequest(offer_id=offer.offer_id, territory="DE"))
            with refused("OFFER_NOT_FOUND"):
                await other.RetireOffer(api.RetireOfferRequest(offer_id=offer.offer_id))
            assert not (await other.ListOffers(api.ListOffersRequest())).offers


async def test_what_the_contract_cannot_say_is_refused_all_the_same(here: Books) -> None:
    changes: list[dict[str, Any]] = [
        {"kind": 0},
        {"title": " "},
        {"prices": []},
        {"prices": [api.OfferPrice(price=money(-1))]},
    ]
    for change in changes:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made(here, **change)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
