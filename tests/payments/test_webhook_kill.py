"""Death in the middle: the process that works on webhooks is killed again and again, and whatever it acknowledged is booked, once.

`make soak` tells of 400 webhooks, the ordinary run of 40.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from reelmesh.payments.v1 import entitlements_service_pb2, webhooks_service_pb2, webhooks_service_pb2_grpc

from services.kit.database import Database
from services.kit.settings import ProcessSettings
from services.payments.__main__ import CONTRACTS
from services.payments.processors.stand_in.signing import HEADER, signature
from services.payments.sales.store import sales
from tests.payments.scene import RECEIVABLE, books
from tests.payments.shop import ACCOUNT, Shop, a_shop
from tests.payments.test_kill import a_process, acknowledged
from tests.support.examples import so_many
from tests.support.running import connected

WEBHOOKS = so_many(40, long=400)
PRICE = 499


def bodies(shop: Shop) -> list[bytes]:
    """What the stand-in has to deliver, in the order in which it would."""
    found = []
    while delivery := shop.stand_in.due():
        found.append(delivery["body"].encode())
        shop.stand_in.delivered(delivery["id"])
    return found


async def delivered(settings: ProcessSettings, secret: str, waiting: list[bytes], done: set[str]) -> None:
    """Hands everything in as the gateway does, each again until it is acknowledged, and every fifth once more after that."""
    async with connected(settings, "payments", *CONTRACTS, key="", caller="webhooks") as channel:
        webhooks = webhooks_service_pb2_grpc.WebhooksServiceStub(channel)

        async def deliver() -> None:
            while waiting:
                body = waiting.pop()
                for _ in range(2 if len(waiting) % 5 == 0 else 1):
                    await _acknowledged_by(webhooks, secret, body)
                done.add(body.decode())

        await asyncio.gather(*(deliver() for _ in range(8)))


async def _acknowledged_by(
    webhooks: webhooks_service_pb2_grpc.WebhooksServiceAsyncStub, secret: str, body: bytes
) -> None:
    while True:
        delivery = webhooks_service_pb2.WebhookDelivery(
            processor="stand_in",
            processor_account_id=ACCOUNT,
            headers={HEADER: signature(secret, body, datetime.now(UTC))},
            body=body,
            source_address="203.0.113.7",
        )
        request = webhooks_service_pb2.ReceiveWebhooksRequest(deliveries=[delivery])
        try:
            (answer,) = (await webhooks.ReceiveWebhooks(request, timeout=10, wait_for_ready=True)).answers
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                raise
            await asyncio.sleep(0.05)
        else:
            assert answer.status == 200, answer
            return


async def booked(database: Database, number: int) -> Counter[str]:
    """How often each payment was sold, once so many were."""
    async with asyncio.timeout(60):
        while True:
            async with database.transaction() as tx:
                found = Counter((await tx.execute(sa.select(sales.c.reference))).scalars())
            if found.total() >= number:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_webhooks_survive_kill_9_while_they_are_worked_on(mesh: ProcessSettings, tmp_path: Path) -> None:
    async with a_shop(mesh, tmp_path) as shop:
        offer = await shop.offer(PRICE)
        for _ in range(WEBHOOKS):
            checkout = await shop.open(offer.offer_id)
            shop.stand_in.approve(shop.page_of(checkout.checkout_id).rpartition("/")[2])
        waiting, secret, url = bodies(shop), shop.secret, shop.url
    assert len(waiting) == WEBHOOKS
    database = Database.of("payments", mesh)
    done: set[str] = set()
    delivering = asyncio.create_task(delivered(mesh, secret, waiting, done))
    for least in (WEBHOOKS // 4, WEBHOOKS // 2):
        with a_process(mesh, REELMESH_PAYMENTS_STAND_IN_URL=url):
            await acknowledged(done, least)
    with a_process(mesh, REELMESH_PAYMENTS_STAND_IN_URL=url):
        await delivering
        found = await booked(database, WEBHOOKS)
    await database.close()
    assert set(found.values()) == {1}
    assert len(found) == WEBHOOKS
    async with books(mesh) as till:
        await till.in_order()
        assert (await till.balances())[RECEIVABLE, "stand_in", "EUR"] == WEBHOOKS * PRICE
        page = await till.entitlements.ListEntitlements(entitlements_service_pb2.ListEntitlementsRequest(page_size=200))
        assert len(page.entitlements) == min(WEBHOOKS, 200)
