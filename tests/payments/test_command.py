"""`reelmesh processors`, `offers`, `plans`, `subscriptions`, `grant`, `entitlements` and `promotions`, run as a person would run them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.kit.ids import new_id
from tests.payments.scene import Books
from tests.support.one_command import Command, edge_of
from tools.reelmesh_cli.app import app


@pytest.fixture
async def command(here: Books) -> AsyncIterator[Command]:
    async with edge_of(here.settings, "payments") as port:
        yield Command(here.settings, f"http://127.0.0.1:{port}")


async def test_an_operator_offers_grants_and_promotes(command: Command) -> None:
    """One after another: each command is a process of its own."""
    asset_id = new_id("ast")
    words = [
        "--asset",
        asset_id,
        "--kind",
        "rental",
        "--price",
        "4.99EUR",
        "--price",
        "700JPY@JP",
        "--creator",
        "ada=2",
    ]
    made = (await command.told("offers", "create", "A film", *words))["offer"]
    assert [price["price"] for price in made["prices"]] == [
        {"minor_units": "499", "currency": "EUR"},
        {"minor_units": "700", "currency": "JPY"},
    ]
    assert made["rental"] == {"begin_within": "2592000s", "watch_duration": "172800s"}
    assert "4.99 EUR, 700 JPY in JP" in (await command.run("offers", "list")).out
    words = ["--plays", "3", "--hours", "48", "--comment", "as agreed"]
    granted = (await command.told("grant", asset_id, "viewer-1", *words))["entitlement"]
    assert (granted["asset_id"], granted["plays_left"], granted["watch_duration"]) == (asset_id, 3, "172800s")
    shown = await command.run("entitlements", "list", "--viewer", "viewer-1")
    assert "3 of 3 plays, 2 days, 0:00:00 once begun" in shown.out
    ended = await command.told("entitlements", "revoke", granted["entitlement_id"])
    assert ended["entitlement"]["state"] == "ENTITLEMENT_STATE_REVOKED"
    promotion = await command.run("promotions", "create", "all", "--code", "summer", "--uses", "10")
    assert "SUMMER" in promotion.out


async def test_an_operator_sets_an_account_up_and_offers_plans(command: Command, tmp_path: Path) -> None:
    kinds = {kind["processor"]: kind for kind in (await command.told("processors", "kinds"))["processors"]}
    assert set(kinds) >= {"adyen", "btcpay", "ccbill", "coinbase", "epoch", "paypal", "segpay", "stripe"}
    words = ["processors", "set", "till", "--processor", "coinbase", "--test"]
    for number, name in enumerate(kinds["coinbase"]["settings"]):
        words += ["--setting", f"{name}=value-{number}"]
    for number, name in enumerate(kinds["coinbase"]["secrets"]):
        (tmp_path / name).write_text(f"secret-{number}\n")
        words += ["--secret-file", f"{name}={tmp_path / name}"]
    kept = (await command.told(*words))["account"]
    assert kept["notify_url"].endswith("/webhooks/coinbase/till")
    shown = (await command.run("processors", "list")).out
    assert "till" in shown
    assert "secret-" not in shown
    made = (
        await command.told(
            "plans", "create", "Premium", "--tier", "premium", "--price", "9.99EUR", "--price", "12.90CHF@CH"
        )
    )["plan"]
    assert made["terms"]["prices"][1] == {"territory": "CH", "amount": {"minor_units": "1290", "currency": "CHF"}}
    assert "month" in (await command.run("plans", "list")).out
    assert (await command.told("plans", "retire", made["plan_id"]))["plan"]["retire_time"]
    assert (await command.told("subscriptions", "list"))["subscriptions"] == []


@pytest.mark.parametrize("words", [["--setting", "novalue"], ["--secret-file", "key=/nowhere/at/all"]])
def test_what_names_nothing_is_wrong_usage(words: list[str]) -> None:
    env = {"REELMESH_URL": "http://127.0.0.1:9", "REELMESH_API_KEY": "of nobody"}
    ran = CliRunner().invoke(app, ["processors", "set", "till", "--processor", "ccbill", *words], env=env)
    assert ran.exit_code == 2


@pytest.mark.parametrize("wrong", ["4,99EUR", "4.999EUR", "4.99XXQ"])
def test_what_is_no_price_is_wrong_usage(wrong: str) -> None:
    env = {"REELMESH_URL": "http://127.0.0.1:9", "REELMESH_API_KEY": "of nobody"}
    ran = CliRunner().invoke(app, ["offers", "create", "A film", "--asset", "all", "--price", wrong], env=env)
    assert ran.exit_code == 2
