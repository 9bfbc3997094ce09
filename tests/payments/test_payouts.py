"""Payouts: who is paid what, two people, and where the money is meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from reelmesh.payments.v1 import events_pb2
from reelmesh.payments.v1 import payouts_service_pb2 as api

from services.kit.clock import timestamp
from services.payments.payouts.releasing import Releasing
from services.payments.payouts.transfers import Manual
from tests.payments.desk import IBAN, Desk, Office, desk
from tests.payments.scene import CREATOR, RESERVE, money, once, refused

CLEARING, SETTLED = 10, 11


async def test_money_is_payable_once_it_is_old_enough(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(5)
    await own_desk.earn(500)
    ada = (await own_desk.judged())["ada"]
    assert (ada.balance_minor_units, ada.held_minor_units, ada.payable_minor_units) == (1500, 1500, 0)
    assert ada.withheld == api.WITHHELD_REASON_ON_HOLD
    await own_desk.wait(2)
    assert (await own_desk.judged())["ada"].payable_minor_units == 1000
    await own_desk.wait(5)
    assert (await own_desk.judged())["ada"].payable_minor_units == 1500
    earlier = timestamp(own_desk.clock.now() - timedelta(days=5))
    assert (await own_desk.judged(payable_time=earlier))["ada"].payable_minor_units == 1000


async def test_what_goes_back_of_a_young_sale_is_taken_of_what_is_held(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(7)
    young = await own_desk.earn(500)
    await own_desk.books.refund(young, 200)
    ada = (await own_desk.judged())["ada"]
    assert (ada.balance_minor_units, ada.held_minor_units, ada.payable_minor_units) == (1300, 300, 1000)
    await own_desk.books.charge_back(young, 400)  # the fee is the platform's
    assert (await own_desk.judged())["ada"].payable_minor_units == 1000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"suspended": True}, api.WITHHELD_REASON_SUSPENDED),
        ({"tax_form": api.TAX_FORM_STATUS_NONE}, api.WITHHELD_REASON_TAX_FORM_MISSING),
        ({"tax_form": api.TAX_FORM_STATUS_SUBMITTED}, api.WITHHELD_REASON_TAX_FORM_UNVERIFIED),
        ({"tax_form": api.TAX_FORM_STATUS_EXPIRED}, api.WITHHELD_REASON_TAX_FORM_EXPIRED),
        ({"iban": ""}, api.WITHHELD_REASON_DESTINATION_MISSING),
        ({"minimums": [money(1001)]}, api.WITHHELD_REASON_BELOW_MINIMUM),
    ],
)
async def test_payouts_are_withheld_for_a_reason(own_desk: Desk, changes: dict[str, object], reason: int) -> None:
    await own_desk.earn(1000)
    assert (await own_desk.judged())["ada"].withheld == api.WITHHELD_REASON_PAYEE_MISSING
    await own_desk.wait(8)
    await own_desk.payee(**changes)  # type: ignore[arg-type]
    assert (await own_desk.judged())["ada"].withheld == reason
    with refused("NOTHING_PAYABLE"):
        await own_desk.prepare()


async def test_a_form_ends_by_itself(own_desk: Desk) -> None:
    await own_desk.earn(1000)
    ends = timestamp(own_desk.clock.now() + timedelta(days=10))
    await own_desk.payee(tax_form_expire_time=ends)
    await own_desk.wait(9)
    assert (await own_desk.judged())["ada"].payable_minor_units == 1000
    await own_desk.wait(1)
    assert (await own_desk.judged())["ada"].withheld == api.WITHHELD_REASON_TAX_FORM_EXPIRED


async def test_who_prepared_does_not_approve(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(8)
    batch = await own_desk.prepare()
    assert (batch.preparer, batch.total, batch.payout_count) == ("ann", money(1000), 1)
    request = api.ApprovePayoutBatchRequest(payout_batch_id=batch.payout_batch_id)
    with refused("SECOND_PERSON_NEEDED"):
        await own_desk.payouts.ApprovePayoutBatch(request)
    approved = await own_desk.approve(batch)
    assert (approved.state, approved.approver) == (api.PAYOUT_BATCH_STATE_APPROVED, "bob")
    assert await own_desk.approve(batch) == approved
    with refused("PAYOUT_BATCH_WRONG_STATE"):
        await own_desk.payouts.CancelPayoutBatch(api.CancelPayoutBatchRequest(payout_batch_id=batch.payout_batch_id))
    event = await own_desk.books.bus.hears(events_pb2.PayoutBatchApproved)
    assert (event.preparer, event.approver) == ("ann", "bob")


async def test_money_goes_by_clearing_to_settled(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(8)
    batch = await own_desk.approved()
    (payout,) = await own_desk.paid(batch)
    assert payout.state == api.PAYOUT_STATE_PENDING
    assert [await own_desk.held(kind) for kind in (CREATOR, CLEARING, SETTLED)] == [0, 1000, 0]
    confirm = api.ConfirmPayoutRequest(payout_id=payout.payout_id, bank_reference="BANK 1")
    with refused("PAYOUT_WRONG_STATE"):
        await own_desk.payouts.ConfirmPayout(confirm)
    await own_desk.send(batch)
    await own_desk.office.transferring(Manual()).once()
    assert (await own_desk.paid(batch))[0].state == api.PAYOUT_STATE_SENT
    posted = (await own_desk.payouts.ConfirmPayout(confirm)).payout
    assert (posted.state, posted.bank_reference) == (api.PAYOUT_STATE_POSTED, "BANK 1")
    assert (await own_desk.payouts.ConfirmPayout(confirm)).payout == posted
    assert [await own_desk.held(kind) for kind in (CREATOR, CLEARING, SETTLED)] == [0, 0, 1000]
    assert (await own_desk.batch(batch)).state == api.PAYOUT_BATCH_STATE_COMPLETED
    with refused("PAYOUT_WRONG_STATE"):
        await own_desk.payouts.VoidPayout(api.VoidPayoutRequest(payout_id=payout.payout_id, reason="late"))
    await own_desk.books.in_order()


async def test_a_failed_transfer_gives_the_money_back_and_it_is_payable_at_once(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(8)
    batch = await own_desk.approved()
    (payout,) = await own_desk.paid(batch)
    void = api.VoidPayoutRequest(payout_id=payout.payout_id, reason="the account is closed")
    voided = (await own_desk.payouts.VoidPayout(void)).payout
    assert (voided.state, voided.void_reason) == (api.PAYOUT_STATE_VOID, "the account is closed")
    assert (await own_desk.payouts.VoidPayout(void)).payout == voided
    assert [await own_desk.held(kind) for kind in (CREATOR, CLEARING, SETTLED)] == [1000, 0, 0]
    assert (await own_desk.batch(batch)).state == api.PAYOUT_BATCH_STATE_COMPLETED
    assert (await own_desk.prepare()).total == money(1000)


async def test_what_was_taken_back_after_a_payout_is_recouped_of_what_comes(own_desk: Desk) -> None:
    await own_desk.payee()
    sale = await own_desk.earn(1000)
    await own_desk.wait(8)
    await own_desk.approved()
    await own_desk.books.charge_back(sale)
    assert (await own_desk.judged())["ada"].balance_minor_units == -1000
    await own_desk.earn(1500)
    await own_desk.wait(8)
    assert (await own_desk.judged())["ada"].payable_minor_units == 500


async def test_two_batches_never_pay_the_same_money(own_desk: Desk) -> None:
    for creator in ("ada", "ben"):
        await own_desk.payee(creator)
        await own_desk.earn(1000, creator)
    await own_desk.wait(8)
    batches = [await own_desk.prepare() for _ in range(4)]
    ends = await asyncio.gather(*(own_desk.approve(batch) for batch in batches), return_exceptions=True)
    assert sum(not isinstance(end, BaseException) for end in ends) == 1
    assert [await own_desk.held(CLEARING, creator) for creator in ("ada", "ben")] == [1000, 1000]
    assert [await own_desk.held(CREATOR, creator) for creator in ("ada", "ben")] == [0, 0]
    left = next(batch for batch, end in zip(batches, ends, strict=True) if isinstance(end, BaseException))
    with refused("PAYOUT_NOT_PAYABLE"):
        await own_desk.approve(left)
    cancel = api.CancelPayoutBatchRequest(payout_batch_id=left.payout_batch_id)
    assert (await own_desk.payouts.CancelPayoutBatch(cancel)).batch.state == api.PAYOUT_BATCH_STATE_CANCELLED
    assert {payout.state for payout in await own_desk.paid(left)} == {api.PAYOUT_STATE_CANCELLED}
    await own_desk.books.in_order()


@pytest.mark.parametrize("what", ["refund", "destination", "suspension"])
async def test_a_batch_is_judged_anew_when_it_is_approved(own_desk: Desk, what: str) -> None:
    await own_desk.payee()
    sale = await own_desk.earn(1000)
    await own_desk.wait(8)
    batch = await own_desk.prepare()
    if what == "refund":
        await own_desk.books.refund(sale, 1)
    elif what == "destination":
        await own_desk.destination("ada", "FR1420041010050500013M02606")
    else:
        await own_desk.payee(suspended=True)
    with refused("PAYOUT_NOT_PAYABLE") as caught:
        await own_desk.approve(batch)
    assert caught[0].metadata["creator_id"] == "ada"


async def test_reserves_are_released_when_they_are_old_enough_and_once_a_day(shared_office: Office) -> None:
    async with desk(shared_office, reserve_basis_points=1000) as own:
        await own.payee()
        await own.earn(1000)
        await own.wait(60)
        younger = await own.earn(500)
        await own.books.refund(younger, 250)
        releasing = Releasing(shared_office.database, shared_office.clock)
        await releasing.once()
        assert await own.held(RESERVE) == 125
        await own.wait(30)
        await asyncio.gather(*(releasing.once() for _ in range(3)))
        assert await own.held(RESERVE) == 25
        assert await own.held(CREATOR) == 900 + 225 + 100
        assert (await own.judged())["ada"].payable_minor_units == 900 + 225 + 100
        event = await own.books.bus.hears(events_pb2.ReserveReleased)
        assert (event.creator_id, event.minor_units) == ("ada", 100)


async def test_bank_accounts_are_sealed_and_masked(own_desk: Desk) -> None:
    await own_desk.payee()
    shown = (await own_desk.payouts.GetPayee(api.GetPayeeRequest(creator_id="ada"))).payee
    assert shown.destination_hint == "DE89 …3000"
    settings = own_desk.office.settings
    connection = await asyncpg.connect(host=settings.database_host, user="payments", database=settings.database_name)
    rows = await connection.fetch("SELECT * FROM payments.bank_accounts")
    await connection.close()
    assert rows
    assert all(IBAN.encode() not in row["sealed"] and b"Lovelace" not in row["sealed"] for row in rows)
    account = api.BankAccount(holder_name="Ada", iban="DE88370400440532013000")
    with refused("BANK_ACCOUNT_INVALID"):
        await own_desk.payouts.SetPayeeDestination(
            api.SetPayeeDestinationRequest(request_id=once(), creator_id="ada", account=account)
        )


async def test_one_organisation_sees_nothing_of_another(own_desk: Desk, shared_office: Office) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(8)
    batch = await own_desk.prepare()
    async with desk(shared_office) as other:
        with refused("PAYOUT_BATCH_NOT_FOUND"):
            await other.approve(batch)
        with refused("PAYEE_NOT_FOUND"):
            await other.payouts.GetPayee(api.GetPayeeRequest(creator_id="ada"))
        assert await other.judged() == {}
        assert await other.paid(batch) == []


TABLES = (
    "payee_versions",
    "bank_accounts",
    "payout_batches",
    "payouts",
    "invoices",
    "reconciliation_cases",
    "tax_rates",
)


@pytest.mark.parametrize("table", TABLES)
async def test_nothing_is_changed_that_was_written(shared_office: Office, table: str) -> None:
    settings = shared_office.settings
    for user, why in (("payments", "permission denied"), (settings.database_admin, "append-only")):
        connection = await asyncpg.connect(host=settings.database_host, user=user, database=settings.database_name)
        for statement in (f"DELETE FROM payments.{table}", f"UPDATE payments.{table} SET organisation_id = 'org_x'"):
            with pytest.raises(asyncpg.PostgresError, match=why):
                await connection.execute(statement)
        await connection.close()
