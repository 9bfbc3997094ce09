"""The gateway hands webhooks on as they came, many at a time, and answers each with what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.webhooks.__main__ import WebhooksSettings, wire
from services.kit.settings import ProcessSettings
from services.payments.processors.stand_in.signing import HEADER, signature
from tests.payments.shop import Shop, a_shop
from tests.support.running import running
from tests.support.tus import as_envoy

PATH = "/webhooks/stand_in/main"


@contextlib.asynccontextmanager
async def calling(mesh: ProcessSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever calls the gateway, as Envoy does."""
    async with (
        running("webhooks", WebhooksSettings(**mesh.model_dump()), wire),
        as_envoy(mesh, mesh.run_dir / "webhooks.sock", "webhooks") as http,
    ):
        yield http


@pytest.fixture
async def shop(mesh: ProcessSettings, tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(mesh, tmp_path) as open_shop:
        yield open_shop


def signed(shop: Shop, body: bytes) -> dict[str, str]:
    return {HEADER: signature(shop.secret, body, shop.books.clock.now()), "x-forwarded-for": "10.0.0.1, 203.0.113.7"}


async def test_raw_bytes_of_any_type_arrive_as_they_were_sent(shop: Shop, mesh: ProcessSettings) -> None:
    await shop.set_account(settings={"source_networks": "203.0.113.7/32"})
    async with calling(mesh) as http:
        for number, content_type in enumerate(("application/json", "text/plain; charset=latin-1", "image/png", "")):
            body = b"  " + json.dumps(shop.event("unknown", id=f"evt_{number}")).encode() + b"\r\n"
            headers = signed(shop, body) | ({"content-type": content_type} if content_type else {})
            answer = await http.post(f"{PATH}?eventType=%4eewSale&a=+&a=", content=body, headers=headers)
            assert (answer.status_code, answer.content) == (200, b"ok")
        other = await http.post(PATH, content=body, headers=headers | {"x-forwarded-for": "203.0.113.7, 10.0.0.1"})
    assert (other.status_code, other.headers["x-reelmesh-reason"]) == (401, "WEBHOOK_NOT_AUTHENTIC")
    assert len(await shop.settled()) == 4


async def test_many_at_a_time_get_each_their_own_answer(shop: Shop, mesh: ProcessSettings) -> None:
    async with calling(mesh) as http:

        async def sent(number: int) -> int:
            body = json.dumps(shop.event("unknown", id=f"evt_{number}")).encode()
            headers = signed(shop, body) if number % 3 else {}
            return (await http.post(PATH, content=body, headers=headers)).status_code

        statuses = await asyncio.gather(*(sent(number) for number in range(60)))
    assert statuses == [200 if number % 3 else 401 for number in range(60)]
    assert len(await shop.settled()) == 40


async def test_what_is_no_delivery_goes_no_further(shop: Shop, mesh: ProcessSettings) -> None:
    async with calling(mesh) as http:
        assert (await http.post("/webhooks/stand_in")).status_code == 404
        assert (await http.delete(PATH)).status_code == 405
        assert (await http.get(f"{PATH}?{'a' * 17_000}")).status_code == 414
        assert (await http.post(PATH, content=b"a" * (1024 * 1024 + 1))).status_code == 413
        assert (await http.get(PATH)).status_code == 401
        assert (await http.post("/webhooks/stand_in/another")).status_code == 404
    assert await shop.told() == []


async def test_while_payments_is_away_processors_are_told_to_send_again(mesh: ProcessSettings) -> None:
    async with calling(mesh) as http:
        answer = await http.post(PATH, content=b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
