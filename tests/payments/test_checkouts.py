"""Buying on a processor's own page, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from reelmesh.payments.v1 import checkouts_service_pb2, events_pb2, offers_service_pb2

from services.kit.settings import ProcessSettings
from tests.payments.scene import CREATOR, RECEIVABLE, money, once, refused
from tests.payments.shop import Shop, a_shop

MADE = checkouts_service_pb2.REFUND_STATE_MADE
PENDING = checkouts_service_pb2.REFUND_STATE_PENDING
DECLINED = checkouts_service_pb2.REFUND_STATE_DECLINED


@pytest.fixture
async def shop(mesh: ProcessSettings, tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(mesh, tmp_path) as running:
        yield running


async def test_what_is_paid_on_the_page_is_granted(shop: Shop) -> None:
    offer = await shop.offer(499)
    checkout = await shop.open(offer.offer_id, return_path=f"/watch/{offer.asset_id}")
    assert (checkout.price, checkout.state) == (money(499), checkouts_service_pb2.CHECKOUT_STATE_OPEN)
    shown = await shop.pages.get(checkout.page.url)
    assert "4.99 EUR" in shown.text
    assert "A film" in shown.text
    back = await shop.press(checkout.page.url, "approve")
    assert (back.status_code, back.headers["location"]) == (303, f"http://127.0.0.1:8080/paid/{checkout.checkout_id}")
    assert await shop.carry() == 1
    paid = await shop.becomes(checkout.checkout_id, "PAID")
    assert paid.sale_id
    assert not paid.HasField("page")
    told = await shop.books.bus.hears(events_pb2.EntitlementGranted)
    assert (told.viewer_id, told.asset_id) == ("bob", offer.asset_id)
    balances = await shop.books.balances()
    assert balances[RECEIVABLE, "stand_in", "EUR"] == 499
    assert balances[CREATOR, "ada", "EUR"] > 0
    await shop.books.in_order()


async def test_a_checkout_keeps_the_price_that_it_was_opened_with(shop: Shop) -> None:
    offer = await shop.offer(499)
    checkout = await shop.open(offer.offer_id)
    offer.prices[0].price.minor_units = 999
    await shop.books.offers.UpdateOffer(offers_service_pb2.UpdateOfferRequest(request_id=once(), offer=offer))
    await shop.press(checkout.page.url, "approve")
    await shop.carry()
    assert (await shop.becomes(checkout.checkout_id, "PAID")).price == money(499)
    assert (await shop.open(offer.offer_id)).price == money(999)


async def test_the_same_request_gets_the_same_page(shop: Shop) -> None:
    wish = shop.wish((await shop.offer()).offer_id)
    first, *others = await asyncio.gather(*(shop.checkouts.CreateCheckout(wish) for _ in range(4)))
    assert all(other == first for other in others)
    assert first.checkout.page.url


async def test_a_declined_payment_may_be_tried_again(shop: Shop) -> None:
    checkout = await shop.open((await shop.offer()).offer_id)
    await shop.press(checkout.page.url, "decline")
    await shop.carry()
    assert (await shop.becomes(checkout.checkout_id, "DECLINED")).page.url == checkout.page.url
    await shop.press(checkout.page.url, "approve")
    await shop.press(checkout.page.url, "approve")
    assert await shop.carry() == 1
    await shop.becomes(checkout.checkout_id, "PAID")


async def test_what_cannot_be_bought_opens_no_page(shop: Shop) -> None:
    free = await shop.offer(kind=offers_service_pb2.OFFER_KIND_FREE, prices=[], rental=None)
    with refused("NOTHING_TO_PAY"):
        await shop.open(free.offer_id)
    offer = await shop.offer()
    with refused("PROCESSOR_ACCOUNT_NOT_FOUND"):
        await shop.open(offer.offer_id, processor_account_id="another")
    with refused("GRANT_INVALID"):
        await shop.open(offer.offer_id, viewer_id="")
    await shop.set_account(disabled=True)
    with refused("NO_PROCESSOR_ACCOUNT"):
        await shop.open(offer.offer_id)


async def test_a_processor_that_is_away_is_said_to_be_and_the_same_request_goes_on_later(shop: Shop) -> None:
    wish = shop.wish((await shop.offer()).offer_id)
    shop.line.cut = "call"
    with refused("PROCESSOR_UNAVAILABLE") as caught:
        await shop.checkouts.CreateCheckout(wish)
    assert caught[0].retry_after
    shop.line.cut = ""
    checkout = (await shop.checkouts.CreateCheckout(wish)).checkout
    assert (await shop.pages.get(checkout.page.url)).status_code == 200


async def test_a_processor_that_fails_again_and_again_is_left_alone_for_a_while(shop: Shop) -> None:
    offer = await shop.offer()
    shop.line.cut = "call"
    for _ in range(2):
        with refused("PROCESSOR_UNAVAILABLE"):
            await shop.open(offer.offer_id)
    shop.line.cut = ""
    with refused("PROCESSOR_UNAVAILABLE"):
        await shop.open(offer.offer_id)
    shop.books.clock.advance(timedelta(seconds=31))
    assert (await shop.open(offer.offer_id)).page.url


async def test_a_refund_asked_for_twice_is_one_refund(shop: Shop) -> None:
    checkout = await shop.bought()
    first = await shop.refund(checkout.checkout_id)
    again = await shop.refund(checkout.checkout_id)
    assert (first.refund_id, first.state, first.amount) == (again.refund_id, MADE, money(499))
    await shop.books.bus.hears(events_pb2.EntitlementRevoked)
    assert (await shop.look(checkout.checkout_id)).state == checkouts_service_pb2.CHECKOUT_STATE_RETURNED
    assert await shop.carry() == 1  # what the webhook tells is known by then
    assert all(not event.trouble for event in await shop.settled())
    assert not await shop.books.balances()
    await shop.books.in_order()


async def test_a_refund_whose_answer_is_lost_is_asked_for_again_with_the_same_key(shop: Shop) -> None:
    checkout = await shop.bought()
    shop.line.cut, days = "answer", {datetime.now(UTC).date()}
    refund = await shop.refund(checkout.checkout_id)
    assert refund.state == PENDING
    assert (await shop.refund(checkout.checkout_id)).refund_id == refund.refund_id
    shop.line.cut = ""
    while (await shop.refund(checkout.checkout_id)).state != MADE:
        shop.books.clock.advance(timedelta(seconds=40))
        await asyncio.sleep(0.05)
    days.add(datetime.now(UTC).date())  # another one about midnight
    made = [one for day in days for one in shop.stand_in.report(day) if one["kind"] == "refund"]
    assert len(made) == 1
    await shop.carry()
    await shop.settled()
    assert not await shop.books.balances()


async def test_a_part_goes_back_and_never_more_than_there_is(shop: Shop) -> None:
    checkout = await shop.bought()
    with refused("AMOUNT_EXCEEDS_REMAINING"):
        await shop.refund(checkout.checkout_id, money(500))
    with refused("CURRENCY_MIXED"):
        await shop.refund(checkout.checkout_id, money(100, "USD"))
    assert (await shop.refund(checkout.checkout_id, money(199))).state == MADE
    assert (await shop.look(checkout.checkout_id)).state == checkouts_service_pb2.CHECKOUT_STATE_PAID
    assert (await shop.refund(checkout.checkout_id)).amount == money(300)
    assert (await shop.look(checkout.checkout_id)).state == checkouts_service_pb2.CHECKOUT_STATE_RETURNED
    await shop.books.in_order()


async def test_a_refund_that_the_processor_declines_changes_nothing(shop: Shop) -> None:
    checkout = await shop.bought()
    await shop.press(shop.page_of(checkout.checkout_id), "chargeback")  # nothing is left at the processor
    refund = await shop.refund(checkout.checkout_id)
    assert (refund.state, refund.reason) == (DECLINED, "so much is not left")
    assert (await shop.look(checkout.checkout_id)).state == checkouts_service_pb2.CHECKOUT_STATE_PAID
    await shop.carry()
    await shop.becomes(checkout.checkout_id, "RETURNED")


async def test_what_was_not_paid_cannot_go_back(shop: Shop) -> None:
    checkout = await shop.open((await shop.offer()).offer_id)
    with refused("CHECKOUT_NOT_PAID"):
        await shop.refund(checkout.checkout_id)


async def test_a_webhook_that_is_lost_costs_minutes_and_not_the_sale(shop: Shop) -> None:
    checkout = await shop.open((await shop.offer()).offer_id)
    await shop.press(checkout.page.url, "approve")
    lost = shop.stand_in.due()
    assert lost is not None
    shop.stand_in.delivered(lost["id"])
    shop.books.clock.advance(timedelta(minutes=6))
    assert await shop.asking.once()
    await shop.becomes(checkout.checkout_id, "PAID")
    (answer,) = await shop.send(shop.delivery(lost["body"].encode()))  # it was only late
    assert answer.status == 200
    assert [event.trouble for event in await shop.settled()] == ["", "known before"]
    assert (await shop.books.balances())[RECEIVABLE, "stand_in", "EUR"] == 499


async def test_a_checkout_that_nobody_pays_for_is_over_after_an_hour(shop: Shop) -> None:
    checkout = await shop.open((await shop.offer()).offer_id)
    shop.books.clock.advance(timedelta(minutes=61))
    over = await shop.look(checkout.checkout_id)
    assert over.state == checkouts_service_pb2.CHECKOUT_STATE_EXPIRED
    assert not over.HasField("page")
