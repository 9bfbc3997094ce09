"""What processors tell: taken only when it is authentic and of now, kept once, and worked on in whichever order it comes."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from reelmesh.payments.v1 import events_pb2, webhooks_service_pb2

from services.kit.database import Database
from services.kit.settings import ProcessSettings
from services.payments.processors import stand_in
from services.payments.processors.contract import Delivery, Notice, NoticeKind, Reading
from services.payments.processors.stand_in.adapter import StandIn
from services.payments.processors.stand_in.signing import HEADER, signature
from services.payments.webhooks import store
from services.payments.webhooks.receiving import Posted, Receiving
from services.payments.webhooks.redaction import card_like, without_cards
from services.payments.webhooks.store import EventState, NewEvent
from tests.payments.scene import PLATFORM, RECEIVABLE, once, refused
from tests.payments.shop import Shop, State, a_shop, accounts_of

DONE, DEAD, PARKED = State.WEBHOOK_EVENT_STATE_DONE, State.WEBHOOK_EVENT_STATE_DEAD, State.WEBHOOK_EVENT_STATE_PARKED


@pytest.fixture
async def shop(mesh: ProcessSettings, tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(mesh, tmp_path) as running:
        yield running


async def sold(shop: Shop, **changes: Any) -> dict[str, Any]:
    """The event of a sale that is about to be told."""
    checkout = await shop.open((await shop.offer()).offer_id)
    return shop.event(checkout_id=checkout.checkout_id, **changes)


async def test_a_delivery_is_refused_that_was_tampered_with_or_is_not_of_now(shop: Shop) -> None:
    event = await sold(shop)
    body = json.dumps(event).encode()
    now = shop.books.clock.now()

    def signed(secret: str, moment: Any) -> dict[str, str]:
        return {HEADER: signature(secret, body, moment)}

    answers = await shop.send(
        shop.delivery(body, body=body.replace(b"499", b"1")),
        shop.delivery(body, headers={}),
        shop.delivery(body, headers=signed("another secret", now)),
        shop.delivery(body, headers={HEADER: "t=1,v1=00"}),
        shop.delivery(body, headers=signed(shop.secret, now - timedelta(seconds=301))),
        shop.delivery(body, headers=signed(shop.secret, now + timedelta(seconds=301))),
        shop.delivery(body, account_id="another"),
        shop.delivery(body, processor="ccbill"),
    )
    assert [(answer.status, answer.reason) for answer in answers] == [
        *[(401, "WEBHOOK_NOT_AUTHENTIC")] * 4,
        *[(401, "WEBHOOK_OUT_OF_TIME")] * 2,
        *[(404, "PROCESSOR_ACCOUNT_NOT_FOUND")] * 2,
    ]
    assert await shop.told() == []
    near = [shop.delivery(body, headers=signed(shop.secret, now + timedelta(seconds=s))) for s in (-300, 300)]
    assert [answer.status for answer in await shop.send(*near)] == [200, 200]


async def test_a_delivery_that_makes_no_sense_is_refused_and_keeps_no_other_from_its_answer(shop: Shop) -> None:
    good = await sold(shop)
    bad: list[bytes | dict[str, Any]] = [
        b"\xff",
        b"[]",
        b"[" * 100_000,
        shop.event(minor_units=-499),
        shop.event(minor_units=0),
        shop.event(minor_units=2**63),
        shop.event(minor_units=10**15 + 1),
        shop.event(minor_units=4.99),
        shop.event(minor_units="499"),
        shop.event(currency="XXX"),
        shop.event(currency=None),
        shop.event(id=""),
        shop.event(id="x" * 201),
        shop.event(transaction="a\0b"),
        shop.event(time="now"),
    ]
    answers = await shop.send(*(shop.delivery(one) for one in bad), shop.delivery(good))
    assert {(answer.status, answer.reason) for answer in answers[:-1]} == {(400, "WEBHOOK_MALFORMED")}
    assert answers[-1].status == 200
    await shop.becomes(good["checkout_id"], "PAID")
    assert len(await shop.told()) == 1


async def test_it_comes_as_often_as_it_likes_and_counts_once(shop: Shop) -> None:
    event = await sold(shop)
    answers = await shop.send(*(shop.delivery(event) for _ in range(5)))
    answers += await shop.send(*(shop.delivery(event) for _ in range(3)))
    # The same transaction under another event's id is the same sale, too.
    answers += await shop.send(shop.delivery(event | {"id": f"evt_{once()}"}))
    assert [answer.status for answer in answers] == [200] * 9
    assert [event.state for event in await shop.settled()] == [DONE, DONE]
    assert (await shop.books.balances())[RECEIVABLE, "stand_in", "EUR"] == 499


async def test_what_is_unknown_is_kept_and_nothing_comes_of_it(shop: Shop) -> None:
    event = shop.event("customer.renamed", customer={"name": "Bob"}, new_field=[1, {"deep": True}])
    assert (await shop.tell(**{**event, "kind": event["type"]})).status == 200
    (kept,) = await shop.settled()
    assert (kept.kind, kept.state) == (webhooks_service_pb2.WEBHOOK_EVENT_KIND_IGNORED, DONE)
    assert b"Bob" not in kept.redacted


async def test_a_payment_of_another_amount_or_currency_is_given_up_for_people_to_look_at(shop: Shop) -> None:
    for changes in ({"minor_units": 498}, {"currency": "USD"}):
        await shop.send(shop.delivery(await sold(shop, **changes)))
    told = await shop.settled()
    assert [event.state for event in told] == [DEAD, DEAD]
    assert "498 minor units of EUR was paid where the price is 499" in told[0].trouble
    assert not await shop.books.balances()


async def test_a_checkout_that_is_paid_twice_is_given_up_for_people_to_look_at(shop: Shop) -> None:
    event = await sold(shop)
    await shop.send(shop.delivery(event))
    await shop.settled()
    await shop.send(shop.delivery(event | {"id": "evt_2", "transaction": "tx_2"}))
    assert "paid already" in (await shop.settled())[1].trouble


async def test_sale_chargeback_and_win_end_the_same_in_any_order(shop: Shop) -> None:
    for number, order in enumerate(itertools.permutations(range(3)), start=1):
        sale = await sold(shop)
        lost = shop.event("chargeback.made", original=sale["transaction"])
        won = shop.event("chargeback.won", original=sale["transaction"])
        told = [shop.delivery(event) for event in (sale, lost, won)]
        for place in order:
            assert (await shop.send(told[place]))[0].status == 200
        while any(event.state != DONE for event in await shop.settled()):
            pass
        await shop.send(*told)  # all of it once more
        await shop.becomes(sale["checkout_id"], "PAID")
        assert (await shop.books.balances())[RECEIVABLE, "stand_in", "EUR"] == 499 * number
    await shop.books.in_order()


async def test_a_refund_that_comes_before_its_sale_waits_for_it(shop: Shop) -> None:
    sale = await sold(shop)
    await shop.send(shop.delivery(shop.event("refund.made", original=sale["transaction"])))
    (waiting,) = await shop.settled()
    assert (waiting.state, waiting.trouble) == (PARKED, f"waits for tx/{sale['transaction']}")
    await shop.send(shop.delivery(sale))
    await shop.becomes(sale["checkout_id"], "RETURNED")
    await shop.books.bus.hears(events_pb2.EntitlementRevoked)
    assert not await shop.books.balances()


async def test_a_chargeback_before_its_refund_takes_the_price_once(shop: Shop) -> None:
    sale = await sold(shop)
    await shop.send(shop.delivery(sale))
    for kind in ("chargeback.made", "refund.made"):
        await shop.send(shop.delivery(shop.event(kind, original=sale["transaction"])))
        await shop.settled()
    told = await shop.settled()
    assert [event.state for event in told] == [DONE, DONE, DEAD]
    assert told[2].trouble.startswith("AMOUNT_EXCEEDS_REMAINING")
    assert (RECEIVABLE, "stand_in", "EUR") not in await shop.books.balances()
    await shop.books.in_order()


async def test_what_fails_is_tried_again_and_given_up_and_can_be_taken_up_again(shop: Shop) -> None:
    """A sale needs split rules; those that were made are taken away behind the service's back."""
    async with shop.books.database.transaction() as tx:
        rules = await tx.exec_driver_sql("DELETE FROM active_split_rules RETURNING organisation_id, version")
        kept = rules.one()
    sale = await sold(shop)
    await shop.send(shop.delivery(sale))
    for _ in range(12):
        while not (event := (await shop.told())[0]).attempts:
            await asyncio.sleep(0.01)
        shop.books.clock.advance(timedelta(hours=1))
        before = event.attempts
        while (event := (await shop.told())[0]).attempts == before and event.state != DEAD:
            await asyncio.sleep(0.01)
        if event.state == DEAD:
            break
    assert (event.state, event.attempts) == (DEAD, 12)
    assert event.trouble.startswith("SPLIT_RULES_MISSING")
    async with shop.books.database.transaction() as tx:
        await tx.exec_driver_sql(
            "INSERT INTO active_split_rules (organisation_id, version) VALUES ($1, $2)",
            (kept.organisation_id, kept.version),
        )
    request = webhooks_service_pb2.RetryWebhookEventRequest(webhook_event_id=event.webhook_event_id)
    await shop.webhooks.RetryWebhookEvent(request)
    await shop.becomes(sale["checkout_id"], "PAID")
    assert (await shop.webhooks.RetryWebhookEvent(request)).event.state == DONE
    with refused("WEBHOOK_EVENT_NOT_FOUND"):
        await shop.webhooks.RetryWebhookEvent(
            webhooks_service_pb2.RetryWebhookEventRequest(webhook_event_id="whe_" + "0" * 26)
        )


async def test_what_was_acknowledged_before_a_crash_is_worked_on_after_it(
    mesh: ProcessSettings, tmp_path: Path
) -> None:
    async with a_shop(mesh, tmp_path) as shop:
        sale = await sold(shop)
        now = shop.books.clock.now()
        notice = Notice(
            sale["id"], NoticeKind.SALE, now, sale["transaction"], checkout_id=sale["checkout_id"], amount=None
        )
        organisation_id = shop.books.organisation_id
    # The process is gone; what it had kept is all that there is.
    database = Database.of("payments", mesh)
    async with database.transaction() as tx:
        event = NewEvent("whe_" + "0" * 26, organisation_id, "main", "stand_in", notice, EventState.PENDING, b"", now)
        assert await store.add(tx, [event]) == 1
        assert await store.add(tx, [event]) == 0
    await database.close()
    async with a_shop(mesh, tmp_path) as shop:
        await shop.becomes(sale["checkout_id"], "PAID")


class Broken(StandIn):
    """An adapter with a mistake in it."""

    def read(self, delivery: Delivery) -> Reading:
        if delivery.body == b"odd":
            raise KeyError("odd")
        return super().read(delivery)


async def test_what_an_adapter_cannot_cope_with_keeps_no_other_from_its_answer(shop: Shop) -> None:
    kind = replace(stand_in.kind(shop.url), make=lambda _, means: Broken(means, shop.url, "key", shop.secret))
    accounts = accounts_of(shop.books, shop.books.settings, shop.pages, {kind.name: kind})
    receiving = Receiving(shop.books.database, shop.books.clock, accounts, lambda: None)
    event = shop.delivery(await sold(shop))
    posted = [
        Posted("stand_in", "main", Delivery(event.headers, "", body, "203.0.113.7", shop.books.clock.now()))
        for body in (b"odd", event.body)
    ]
    answers = await receiving.received(posted)
    assert [answer.acknowledgement.status for answer in answers] == [500, 200]
    assert len(await shop.told()) == 1


async def test_it_comes_from_where_the_account_says_or_is_refused(shop: Shop) -> None:
    await shop.set_account(settings={"source_networks": "203.0.113.0/24, 2001:db8::/32"})
    good, event = [], await sold(shop)
    for address in ("203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9"):
        (answer,) = await shop.send(shop.delivery(event, source_address=address))
        good.append(answer.status)
    for address in ("203.0.114.9", "2001:db9::1", "", "203.0.113.9, 1.2.3.4"):
        (answer,) = await shop.send(shop.delivery(event, source_address=address))
        assert answer.reason == "WEBHOOK_NOT_AUTHENTIC"
    assert good == [200, 200, 200]


async def test_an_account_is_checked_before_it_is_kept(shop: Shop) -> None:
    for changes in (
        {"account_id": "new", "processor": "paymaster"},
        {"settings": {"url": "http://10.0.0.1"}},
        {"settings": {"source_networks": "everywhere"}},
        {"account_id": "new", "secrets": {"api_key": "k"}},
        {"secrets": {"another": "s"}},
    ):
        with refused("PROCESSOR_ACCOUNT_INVALID"):
            await shop.set_account(**changes)


async def test_a_secret_is_replaced_within_a_second_and_never_shown(shop: Shop) -> None:
    account = await shop.set_account(secrets={"webhook_secret": "a new secret"})
    assert list(account.secret_names) == ["api_key", "webhook_secret"]
    assert account.notify_url == "http://127.0.0.1:8080/webhooks/stand_in/main"
    event = await sold(shop)
    body = json.dumps(event).encode()
    renewed = {HEADER: signature("a new secret", body, shop.books.clock.now())}
    (answer,) = await shop.send(shop.delivery(body, headers=renewed))
    assert answer.status == 200


def test_what_looks_like_a_card_is_masked_and_other_numbers_are_not() -> None:
    assert card_like("4111111111111111")
    assert not card_like("4111111111111112")
    assert not card_like("0108114201000030456")
    kept = b'{"a": "4111 1111 1111 1111", "b": 5500005555555559, "c": "5500005555555558", "time": 1764331200000}'
    assert without_cards(kept) == (
        b'{"a": "[card-like]", "b": [card-like], "c": "5500005555555558", "time": 1764331200000}'
    )


async def test_others_organisations_see_none_of_it(shop: Shop) -> None:
    assert PLATFORM
    with refused("PERMISSION_MISSING"):
        await shop.webhooks.ReceiveWebhooks(
            webhooks_service_pb2.ReceiveWebhooksRequest(deliveries=[shop.delivery(shop.event())])
        )
