"""Codes: so many uses and no more, whoever comes at the same moment; and what people get, take and see for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from reelmesh.payments.v1 import entitlements_service_pb2 as entitlements
from reelmesh.payments.v1 import events_pb2, offers_service_pb2
from reelmesh.payments.v1 import promotions_service_pb2 as api

from services.kit.attempts import attempts
from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.promotions.domain import new_code
from services.payments.promotions.redeeming import redeem
from services.payments.upkeep import Upkeep
from tests.identity.organisation import Home, Shown
from tests.identity.scene import a_scene as with_identity
from tests.payments.scene import T0, Books, once, refused

DAY = timedelta(days=1)
RACERS = 64


@pytest.fixture
async def home(mesh: ProcessSettings) -> AsyncIterator[Home]:
    """People of the operator's organisation."""
    async with with_identity(mesh) as scene:
        yield Home(scene)


async def made(here: Books, **promotion: Any) -> api.Promotion:
    request = api.CreatePromotionRequest(request_id=once(), promotion=api.Promotion(**promotion))
    return (await here.promotions.CreatePromotion(request)).promotion


async def redeemed(here: Books, viewer_id: str, code: str) -> str:
    """Redeems as the contract does, past who is asking. Returns the reason of a refusal; empty when there was none."""
    try:
        async with here.database.transaction() as tx:
            await redeem(tx, here.organisation_id, viewer_id, code, here.clock.now())
    except Refusal as refusal:
        return refusal.reason
    return ""


async def test_64_who_redeem_a_code_of_10_uses_at_once_are_10(here: Books) -> None:
    promotion = await made(here, code="ten-only", max_uses=10)
    answers = await asyncio.gather(*(redeemed(here, f"viewer-{number}", "TEN-ONLY") for number in range(RACERS)))
    assert (answers.count(""), answers.count("PROMOTION_USED_UP")) == (10, RACERS - 10)
    await here.bus.hears(events_pb2.EntitlementGranted, count=10)
    listed = (await here.promotions.ListPromotions(api.ListPromotionsRequest())).promotions
    assert [(one.promotion_id, one.code, one.uses) for one in listed] == [(promotion.promotion_id, "TEN-ONLY", 10)]
    request = entitlements.ListEntitlementsRequest(page_size=200)
    kept = (await here.entitlements.ListEntitlements(request)).entitlements
    assert len({one.viewer_id for one in kept}) == len(kept) == 10


async def test_one_viewer_who_redeems_at_once_gets_as_many_as_one_may(here: Books) -> None:
    await made(here, code="TWICE", max_uses=10, uses_per_viewer=2)
    answers = await asyncio.gather(*(redeemed(here, "viewer-1", "TWICE") for _ in range(16)))
    assert (answers.count(""), answers.count("PROMOTION_REDEEMED")) == (2, 14)


async def test_a_code_is_good_in_its_time_and_until_it_is_ended(here: Books) -> None:
    times = {"start_time": timestamp(T0 + DAY), "end_time": timestamp(T0 + 3 * DAY)}
    promotion = await made(here, code="LATER", **times)
    assert await redeemed(here, "viewer-1", "LATER") == "PROMOTION_NOT_YET"
    here.clock.advance(DAY)
    assert await redeemed(here, "viewer-1", "LATER") == ""
    with refused("PROMOTION_CODE_TAKEN"):
        await made(here, code="later")
    end = api.EndPromotionRequest(promotion_id=promotion.promotion_id)
    ended = (await here.promotions.EndPromotion(end)).promotion
    assert (await here.promotions.EndPromotion(end)).promotion == ended
    assert await redeemed(here, "viewer-2", "LATER") == "PROMOTION_CODE_UNKNOWN"
    await made(here, code="LATER", end_time=timestamp(T0 + 2 * DAY))
    here.clock.advance(DAY)
    assert await redeemed(here, "viewer-2", "LATER") == "PROMOTION_CODE_UNKNOWN"


async def test_what_makes_no_sense_is_no_promotion(here: Books) -> None:
    for wrong in ({"max_uses": 1, "uses_per_viewer": 2}, {"start_time": timestamp(T0), "end_time": timestamp(T0)}):
        with refused("PROMOTION_INVALID"):
            await made(here, **wrong)
    with refused("PROMOTION_NOT_FOUND"):
        await here.promotions.EndPromotion(api.EndPromotionRequest(promotion_id=new_id("prm")))


def test_a_code_that_is_made_up_is_not_guessed() -> None:
    codes = {new_code() for _ in range(100)}
    assert len(codes) == 100
    assert {len(code.replace("-", "")) for code in codes} == {16}  # 80 bits in base 32


async def test_people_redeem_claim_and_see_what_is_theirs(here: Books, home: Home) -> None:
    """One after another, as one person would; signing people up is slow."""
    here.clock.advance(home.scene.clock.now() - here.clock.now())  # so that their tokens are of now
    ada, bob = (await home.scene.register()).shown, (await home.scene.register()).shown
    week = Duration()
    week.FromTimedelta(7 * DAY)
    promotion = await made(here, lasts=week, max_plays=3)

    async def try_code(code: str, who: Shown = ada) -> entitlements.Entitlement:
        request = api.RedeemPromotionRequest(request_id=once(), code=code)
        return (await here.promotions.RedeemPromotion(request, metadata=who)).entitlement

    request = api.RedeemPromotionRequest(request_id=once(), code=promotion.code.lower())
    got = (await here.promotions.RedeemPromotion(request, metadata=ada)).entitlement
    assert (await here.promotions.RedeemPromotion(request, metadata=ada)).entitlement == got, "the same request again"
    assert (got.max_plays, got.plays_left, got.state, got.kind) == (
        3,
        3,
        entitlements.ENTITLEMENT_STATE_ACTIVE,
        events_pb2.ENTITLEMENT_KIND_PROMOTION,
    )
    assert got.end_time == timestamp(here.clock.now() + 7 * DAY)
    with refused("PERMISSION_MISSING"):
        await try_code(promotion.code, who=())  # the operator's key is nobody who watches
    offer = offers_service_pb2.Offer(kind=offers_service_pb2.OFFER_KIND_FREE, title="For nothing")
    create = offers_service_pb2.CreateOfferRequest(request_id=once(), offer=offer)
    free = (await here.offers.CreateOffer(create)).offer
    claim = entitlements.ClaimOfferRequest(offer_id=free.offer_id, territory="DE")
    claims = await asyncio.gather(*(here.entitlements.ClaimOffer(claim, metadata=ada) for _ in range(8)))
    assert len({one.entitlement.entitlement_id for one in claims}) == 1
    mine = entitlements.ListMyEntitlementsRequest()
    seen = (await here.entitlements.ListMyEntitlements(mine, metadata=ada)).entitlements
    assert [one.offer_id or one.promotion_id for one in seen] == [free.offer_id, promotion.promotion_id]
    assert not (await here.entitlements.ListMyEntitlements(mine, metadata=bob)).entitlements
    for _ in range(5):
        with refused("PROMOTION_CODE_UNKNOWN"):
            await try_code("WRONG", bob)
    with refused("PROMOTION_CODE_UNKNOWN"):
        await try_code("WRONG", bob)
    with refused("TOO_MANY_ATTEMPTS") as caught:
        await try_code(promotion.code, bob)
    assert caught[0].retry_after is not None
    here.clock.advance(caught[0].retry_after)
    assert (await try_code(promotion.code, bob)).viewer_id != got.viewer_id
    with refused("PROMOTION_CODE_UNKNOWN"):
        await try_code("WRONG", bob)
    here.clock.advance(2 * DAY)
    await Upkeep(here.database, here.clock).once()
    async with here.database.transaction() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(attempts))).scalar_one() == 0
