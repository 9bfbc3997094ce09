"""A whole buy leaves nothing behind that is secret or looks like a card: in no table, no event and no line of a log."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import asyncpg
import structlog

from services.kit.settings import ProcessSettings
from services.payments.webhooks.redaction import card_like
from tests.payments.shop import ACCOUNT, Shop, a_shop
from tests.support.leaks import leaks
from tools.stand_in_processor import keys

CARD = "4111111111111111"
_DIGITS = re.compile(r"(?<![0-9A-Za-z_.-])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z_])")


async def tables(settings: ProcessSettings) -> dict[str, bytes]:
    """Every row of every table of the service, as text and as bytes."""
    found: dict[str, bytes] = {}
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'payments'")
        for (name,) in names:
            rows = await connection.fetch(f'SELECT * FROM payments."{name}"')
            values = [value for row in rows for value in row.values()]
            raw = b"\n".join(value for value in values if isinstance(value, bytes))
            found[name] = raw + repr([value for value in values if not isinstance(value, bytes)]).encode()
    finally:
        await connection.close()
    assert {"checkouts", "checkout_refunds", "processor_accounts", "webhook_events", "sales", "outbox"} <= set(found)
    return found


async def everything(shop: Shop) -> None:
    """Buys, tampers, fails and refunds; and a processor that goes mad and sends a card's number along."""
    checkout = await shop.bought()
    event = shop.event("refund.made", original="tx_unknown", card=CARD, reason="4111 1111 1111 1111", cvc="123")
    (answer,) = await shop.send(shop.delivery(event))
    assert answer.status == 200
    await shop.tell("sale.approved", payment_method=CARD, checkout_id="chk_unknown")
    body = json.dumps(shop.event()).encode()
    await shop.send(shop.delivery(body, headers={"stand-in-signature": "t=1,v1=" + "0" * 64}))
    shop.line.cut = "answer"
    await shop.refund(checkout.checkout_id)
    shop.line.cut = ""
    await shop.set_account()
    await shop.settled()


async def test_nothing_secret_or_card_like_is_kept_announced_or_logged(mesh: ProcessSettings, tmp_path: Path) -> None:
    """The log of this process is what the service writes."""
    lines: list[str] = []

    def keep(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.append(repr(event))
        return event

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep, *before])
    try:
        async with a_shop(mesh, tmp_path) as shop:
            await everything(shop)
            await asyncio.sleep(0)
            texts = await tables(mesh)
            texts["events"] = b"\n".join(shop.books.bus.said())
    finally:
        structlog.configure(processors=before)
    texts["log"] = "\n".join(lines).encode()
    assert b"ReceiveWebhooks" in texts["log"]
    assert texts["events"]
    secrets = {
        "API key": keys.api_key(mesh.secrets_dir).encode(),
        "webhook secret": keys.webhook_secret(mesh.secrets_dir).encode(),
        "the install's key": (mesh.secrets_dir / "payments_key").read_bytes(),
        "card": CARD.encode(),
    }
    assert leaks(secrets, texts) == []
    assert ACCOUNT.encode() in texts["processor_accounts"]
    for where, text in texts.items():
        numbers = {re.sub(r"[ -]", "", found) for found in _DIGITS.findall(text.decode("latin-1"))}
        assert [number for number in numbers if card_like(number)] == [], where
