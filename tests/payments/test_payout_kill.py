"""Death in the middle of paying: the process that approves, settles and gives back is killed again and again, and no money is lost or paid twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest
from reelmesh.payments.v1 import payouts_service_pb2 as api

from services.kit.settings import ProcessSettings
from services.payments.payouts.transfers import Manual
from tests.payments.desk import Desk, desk, office
from tests.payments.scene import CREATOR
from tests.payments.test_kill import a_process

CREATORS = [f"creator-{number}" for number in range(6)]
CLEARING, SETTLED = 10, 11
AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


async def insisted(call: object, request: object) -> None:
    """Calls until it is acknowledged, or refused because it was done before."""
    while True:
        try:
            await call(request, timeout=10, wait_for_ready=True)  # type: ignore[operator]
        except grpc.aio.AioRpcError as error:
            if error.code() not in AWAY:
                raise
            await asyncio.sleep(0.02)
        else:
            return


async def ended(own: Desk, batch: api.PayoutBatch, payouts: list[api.Payout], done: Counter[str]) -> None:
    """Approves the batch and ends every payout of it: every third is void."""
    await insisted(
        own.approver.ApprovePayoutBatch, api.ApprovePayoutBatchRequest(payout_batch_id=batch.payout_batch_id)
    )
    done["approved"] += 1
    await insisted(own.payouts.SendPayoutBatch, api.SendPayoutBatchRequest(payout_batch_id=batch.payout_batch_id))
    await own.office.transferring(Manual()).once()
    for number, payout in enumerate(payouts):
        if number % 3 == 0:
            await insisted(own.payouts.VoidPayout, api.VoidPayoutRequest(payout_id=payout.payout_id, reason="closed"))
        else:
            request = api.ConfirmPayoutRequest(payout_id=payout.payout_id, bank_reference=f"B {number}")
            await insisted(own.payouts.ConfirmPayout, request)
        done["ended"] += 1


async def until(done: Counter[str], what: str, least: int) -> None:
    while done[what] < least:
        await asyncio.sleep(0.002)


@pytest.mark.timeout(300)
async def test_payouts_survive_kill_9_in_their_midst(mesh: ProcessSettings) -> None:
    async with office(mesh) as where, desk(where) as own:
        for creator in CREATORS:
            await own.payee(creator)
            await own.earn(1000, creator)
        await own.wait(8)
        batch = await own.prepare()
        payouts = sorted(await own.paid(batch), key=lambda payout: payout.creator_id)
        await where.stop()
        done: Counter[str] = Counter()
        ending = asyncio.create_task(ended(own, batch, payouts, done))
        for what, least in (("approved", 1), ("ended", 3)):
            with a_process(mesh):
                await until(done, what, least)
            await own.books.in_order()
        with a_process(mesh):
            await ending
            states = Counter(payout.state for payout in await own.paid(batch))
            assert states == {api.PAYOUT_STATE_POSTED: 4, api.PAYOUT_STATE_VOID: 2}
            assert (await own.batch(batch)).state == api.PAYOUT_BATCH_STATE_COMPLETED
            held = await own.books.balances()
        for number, creator in enumerate(sorted(CREATORS)):
            settled = 0 if number % 3 == 0 else 1000
            found = [held.get((kind, creator, "EUR"), 0) for kind in (CREATOR, CLEARING, SETTLED)]
            assert found == [1000 - settled, 0, settled]
        await own.books.in_order()
