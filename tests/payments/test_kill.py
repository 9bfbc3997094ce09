"""Death in the middle: the process that posts is killed again and again, and the books are whole each time.

`make soak` tells of 1,000 sales, the ordinary run of a quarter as many.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import grpc
import pytest
import sqlalchemy as sa
from reelmesh.payments.v1 import sales_service_pb2, sales_service_pb2_grpc
from reelmesh.payments.v1.events_pb2 import SaleRecorded

from services.kit.database import Database, outbox
from services.kit.events import EVENTS_STREAM
from services.kit.settings import ProcessSettings
from services.payments.__main__ import CONTRACTS
from services.payments.ledger.verification import verified
from tests.payments.scene import RECEIVABLE, Books, books
from tests.support import service_forks
from tests.support.examples import so_many
from tests.support.running import connected
from tools.reelmesh_cli.supervisor.layout import REPOSITORY

SALES = so_many(250, long=1000)


@contextlib.contextmanager
def a_process(settings: ProcessSettings, **more: str) -> Iterator[service_forks.Forked]:
    """The payments service in a process of its own, with more of an environment."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen/python'}",
        "REELMESH_DATA_DIR": str(settings.data_dir),
        "REELMESH_RUN_DIR": str(settings.run_dir),
        "REELMESH_SECRETS_DIR": str(settings.secrets_dir),
        "REELMESH_DATABASE_HOST": settings.database_host,
        "REELMESH_NATS_URL": settings.nats_url,
        "REELMESH_NATS_TOKEN_FILE": str(settings.nats_token_file),
        **more,
    }
    log = (settings.data_dir / "logs/test-payments.log").open("ab")
    process = service_forks.started("payments", environment=environment, output=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


async def told(settings: ProcessSettings, orders: list[sales_service_pb2.RecordSaleRequest], done: set[str]) -> None:
    """Records all sales, each again until it is acknowledged, twenty at a time."""
    async with connected(settings, "payments", *CONTRACTS) as channel:
        sales = sales_service_pb2_grpc.SalesServiceStub(channel)
        waiting = list(reversed(orders))

        async def tell() -> None:
            while waiting:
                order = waiting.pop()
                while order.reference not in done:
                    try:
                        await sales.RecordSale(order, timeout=10, wait_for_ready=True)
                    except grpc.aio.AioRpcError as error:
                        if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                            raise
                        await asyncio.sleep(0.05)
                    else:
                        done.add(order.reference)

        await asyncio.gather(*(tell() for _ in range(20)))


async def acknowledged(done: set[str], least: int) -> None:
    while len(done) < least:
        await asyncio.sleep(0.002)


async def announced(till: Books) -> int:
    """How many sales were announced, once nothing is waiting to be."""
    async with asyncio.timeout(30):
        while True:
            async with till.database.transaction() as tx:
                if not (await tx.execute(sa.select(sa.func.count()).select_from(outbox))).scalar_one():
                    break
            await asyncio.sleep(0.05)
    subject = SaleRecorded.DESCRIPTOR.full_name
    found = await till.bus.client.jetstream().stream_info(EVENTS_STREAM, subjects_filter=subject)
    return int((found.state.subjects or {}).get(subject, 0))


@pytest.mark.timeout(300)
async def test_sales_survive_kill_9_in_their_midst(mesh: ProcessSettings) -> None:
    async with books(mesh) as till:
        await till.divide_by()
        orders = [till.order(100 + turn % 7) for turn in range(SALES)]
    database = Database.of("payments", mesh)
    done: set[str] = set()
    telling = asyncio.create_task(told(mesh, orders, done))
    for least in (SALES // 5, SALES // 2):
        with a_process(mesh):
            await acknowledged(done, least)
        # Whatever was acknowledged is there, and whatever was not is there as a whole or not at all.
        assert (await verified(database)).differences == ()
    with a_process(mesh):
        await telling
    await database.close()
    async with books(mesh) as till:
        report = await till.in_order()
        assert report.entries == SALES
        assert await announced(till) == SALES, "each once"
        held = await till.balances()
        assert held[RECEIVABLE, "ccbill", "EUR"] == sum(order.gross.minor_units for order in orders)
        assert sum(-units if kind == RECEIVABLE else units for (kind, _, _), units in held.items()) == 0
