"""What the ledger-conformance-kit asks of a ledger, asked here over the same HTTP adapter and in our own words. Its own suite runs on Java 21."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from services.kit.settings import ProcessSettings
from tests.payments.conformance import Adapter, NotScratch
from tests.support.examples import so_many


class Kit:
    """Speaks to the adapter as the kit does."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def reset(self) -> None:
        (await self._http.post("/_lck/reset")).raise_for_status()

    async def post(self, *legs: tuple[str, str, int, str], key: str = "", overdraft: bool = False) -> str:
        body = {
            "idempotencyKey": key or uuid.uuid4().hex,
            "transactionId": uuid.uuid4().hex,
            "allowOverdraft": overdraft,
            "legs": [
                {"accountId": account, "type": side, "amountSubunits": units, "currency": code}
                for account, side, units, code in legs
            ],
        }
        answer = await self._http.post("/_lck/post", json=body)
        assert answer.status_code == 200
        assert answer.json()["transactionId"]
        return str(answer.json()["status"])

    async def transfer(self, giver: str, taker: str, units: int, key: str = "", *, overdraft: bool = False) -> str:
        legs = (giver, "DEBIT", units, "USD"), (taker, "CREDIT", units, "USD")
        return await self.post(*legs, key=key, overdraft=overdraft)

    async def seed(self, account: str, units: int) -> None:
        assert await self.transfer("external:funding", account, units, overdraft=True) == "APPLIED"

    async def balance(self, account: str) -> int:
        answer = await self._http.get("/_lck/balance", params={"account": account, "currency": "USD"})
        return int(answer.json()["subunits"])

    async def journal(self) -> list[dict[str, Any]]:
        return list((await self._http.get("/_lck/journal")).json())

    async def replayed(self, account: str) -> int:
        sides = {"CREDIT": 1, "DEBIT": -1}
        return sum(
            sides[line["type"]] * line["amountSubunits"]
            for line in await self.journal()
            if line["accountId"] == account and line["currency"] == "USD"
        )


@pytest.fixture
async def kit(mesh: ProcessSettings) -> AsyncIterator[Kit]:
    adapter, socket = Adapter(mesh), str(mesh.run_dir / "lck.sock")
    server = uvicorn.Server(uvicorn.Config(adapter.app(), uds=socket, log_config=None, lifespan="off", ws="none"))
    # `serve` would take the signal handlers of the test process over.
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    limits = httpx.Limits(max_connections=100)
    transport = httpx.AsyncHTTPTransport(uds=socket, limits=limits)
    async with httpx.AsyncClient(transport=transport, base_url="http://lck", timeout=60) as http:
        kit = Kit(http)
        await kit.reset()
        yield kit
    server.should_exit = True
    await serving
    await adapter.close()


async def test_the_adapter_is_one(kit: Kit) -> None:
    """What the kit makes sure of before it judges anything."""
    assert await kit.journal() == []
    await kit.seed("a", 12_345)
    assert await kit.balance("a") == 12_345, "in minor units"
    assert await kit.transfer("a", "b", 1000) == "APPLIED"
    assert await kit.transfer("a", "b", 900_000) == "REJECTED", "as an answer"
    before = await kit.journal()
    assert len(before) == 4
    await kit.transfer("a", "b", 700)
    after = await kit.journal()
    assert after[:4] == before
    assert [line["sequence"] for line in after] == sorted({line["sequence"] for line in after})
    await kit.reset()
    assert (await kit.journal(), await kit.balance("a")) == ([], 0)


async def test_every_transaction_balances_in_each_currency(kit: Kit) -> None:
    await kit.seed("a", 10_000)
    await kit.transfer("a", "b", 4000)
    sums: Counter[tuple[str, str]] = Counter()
    for line in await kit.journal():
        sign = 1 if line["type"] == "CREDIT" else -1
        sums[line["transactionId"], line["currency"]] += sign * line["amountSubunits"]
    assert set(sums.values()) == {0}
    crossed = ("a", "DEBIT", 1000, "USD"), ("b", "CREDIT", 1000, "EUR")
    assert await kit.post(*crossed, overdraft=True) == "REJECTED"
    for legs in ((("a", "DEBIT", 5, "USD"),), (("a", "DEBIT", 5, "USD"), ("b", "CREDIT", 6, "USD")), ()):
        assert await kit.post(*legs, overdraft=True) == "REJECTED"


async def test_duplicates_are_no_ops_one_after_the_other_and_64_at_once(kit: Kit) -> None:
    await kit.seed("a", 100_000)
    assert await kit.transfer("a", "b", 2500, "dup") == "APPLIED"
    assert await kit.transfer("a", "b", 2500, "dup") == "DUPLICATE"
    outcomes = await asyncio.gather(*(kit.transfer("a", "c", 2500, "race") for _ in range(64)))
    assert Counter(outcomes) == {"APPLIED": 1, "DUPLICATE": 63}
    assert (await kit.balance("b"), await kit.balance("c")) == (2500, 2500)


async def test_no_credit_of_many_on_a_hot_account_is_lost(kit: Kit) -> None:
    """500, as the kit asks for, in `make soak`; the ordinary run has that many in test_ledger.py."""
    count = so_many(100, long=500)
    credits_ = (kit.transfer("external:funding", "hot", 100, f"hot-{turn}", overdraft=True) for turn in range(count))
    assert set(await asyncio.gather(*credits_)) == {"APPLIED"}
    assert await kit.balance("hot") == await kit.replayed("hot") == count * 100


async def test_value_is_conserved_and_rebuilt_from_the_journal(kit: Kit) -> None:
    for number in range(8):
        await kit.seed(f"{number}", 10_000)
    turns = range(so_many(120, long=400))
    moves = (kit.transfer(f"{turn % 8}", f"{(turn + 3) % 8}", 100, f"mv-{turn}", overdraft=True) for turn in turns)
    await asyncio.gather(*moves)
    held = [await kit.balance(f"{number}") for number in range(8)]
    assert sum(held) == 80_000
    assert [await kit.replayed(f"{number}") for number in range(8)] == held
    sequences: dict[str, list[int]] = {}
    for line in await kit.journal():
        sequences.setdefault(line["accountId"], []).append(line["accountSequence"])
    assert all(found == sorted(set(found)) for found in sequences.values())


async def test_twenty_drains_take_ten_thousand_and_no_more(kit: Kit) -> None:
    await kit.seed("a", 10_000)
    outcomes = await asyncio.gather(*(kit.transfer("a", "b", 1000, f"drain-{turn}") for turn in range(20)))
    assert Counter(outcomes) == {"APPLIED": 10, "REJECTED": 10}
    assert (await kit.balance("a"), await kit.balance("b")) == (0, 10_000)


async def test_reversals_compensate(kit: Kit) -> None:
    await kit.seed("a", 10_000)
    await kit.transfer("a", "b", 3000)
    before = await kit.journal()
    await kit.transfer("b", "a", 3000)
    after = await kit.journal()
    assert (after[: len(before)], len(after)) == (before, len(before) + 2)
    assert await kit.balance("b") == 0


async def test_duplicates_of_what_is_refused_are_not_said_to_be_applied_and_its_key_works_again(kit: Kit) -> None:
    await kit.seed("a", 100)
    outcomes = await asyncio.gather(*(kit.transfer("a", "b", 5000, "stranded") for _ in range(32)))
    assert set(outcomes) == {"REJECTED"}
    assert await kit.balance("b") == 0
    await kit.seed("a", 10_000)
    assert await kit.transfer("a", "b", 4000, "stranded") == "APPLIED"


def test_it_serves_nothing_that_matters(tmp_path: object) -> None:
    with pytest.raises(NotScratch):
        Adapter(ProcessSettings())
