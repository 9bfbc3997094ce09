"""Sales and what becomes of them, on the real Postgres."""

from __future__ import annotations

from datetime import timedelta

from reelmesh.payments.v1 import events_pb2, sales_service_pb2, split_rules_service_pb2
from reelmesh.payments.v1 import ledger_service_pb2 as ledger

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.payments.scene import (
    CREATOR,
    FEE,
    PLATFORM,
    RECEIVABLE,
    RESERVE,
    T0,
    TAX,
    Books,
    books,
    money,
    once,
    refused,
    rental,
)


async def test_a_sale_is_divided_to_the_last_cent(here: Books) -> None:
    """19.99 EUR with 19 % tax, 5 % fee, 20 % for the platform, and 10 % of the creator's held back."""
    sale = await here.sell(1999)
    assert sum(part.minor_units for part in sale.parts) == 1999
    assert await here.balances() == {
        (RECEIVABLE, "ccbill", "EUR"): 1999,
        (TAX, "", "EUR"): 319,
        (FEE, "ccbill", "EUR"): 100,
        (PLATFORM, "", "EUR"): 316,
        (CREATOR, "ada", "EUR"): 1138,
        (RESERVE, "ada", "EUR"): 126,
    }
    event = await here.bus.hears(events_pb2.SaleRecorded)
    assert (event.sale_id, event.gross_minor_units, event.currency) == (sale.sale_id, 1999, "EUR")
    await here.in_order()


async def test_taxes_and_a_fee_that_somebody_worked_out_are_taken_as_they_are(here: Books) -> None:
    taxes = [
        sales_service_pb2.TaxAmount(jurisdiction="DE", amount=money(300)),
        sales_service_pb2.TaxAmount(jurisdiction="FR", amount=money(19)),
    ]
    await here.sell(1999, taxes=taxes, fee=money(0))
    held = await here.balances()
    assert (held[TAX, "DE", "EUR"], held[TAX, "FR", "EUR"]) == (300, 19)
    assert (FEE, "ccbill", "EUR") not in held
    await here.in_order()


async def test_without_a_creator_all_that_is_left_is_the_platforms(here: Books) -> None:
    await here.sell(1190, creators=[], fee=money(0))
    assert await here.balances() == {
        (RECEIVABLE, "ccbill", "EUR"): 1190,
        (TAX, "", "EUR"): 190,
        (PLATFORM, "", "EUR"): 1000,
    }


async def test_the_same_reference_again_is_the_same_sale_whatever_its_request_id(here: Books) -> None:
    order = here.order()
    first = (await here.sales.RecordSale(order)).sale
    order.request_id = once()
    await here.divide_by(platform_basis_points=9000)  # by which it is not divided anew
    assert (await here.sales.RecordSale(order)).sale == first
    assert (await here.in_order()).entries == 1


async def test_the_same_reference_for_something_else_is_refused(here: Books) -> None:
    order = here.order()
    await here.sales.RecordSale(order)
    order.request_id, order.gross.minor_units = once(), 5
    with refused("REFERENCE_REUSED") as caught:
        await here.sales.RecordSale(order)
    assert caught[0].metadata["reference"] == f"sale/ccbill/{order.reference}"
    order.processor = "epoch"  # whose references are its own
    await here.sales.RecordSale(order)


async def test_a_sale_needs_split_rules(mesh: ProcessSettings) -> None:
    async with books(mesh) as bare:
        with refused("SPLIT_RULES_MISSING"):
            await bare.sell()
        with refused("SPLIT_RULES_MISSING"):
            await bare.rules.GetSplitRules(split_rules_service_pb2.GetSplitRulesRequest())


async def test_refused_sales_leave_nothing(here: Books) -> None:
    with refused("CURRENCY_UNKNOWN"):
        await here.sell(100, "XAU")  # gold has no minor unit
    with refused("AMOUNT_INVALID"):
        await here.sell(0)
    with refused("AMOUNT_INVALID"):
        await here.sell(-5)
    with refused("CURRENCY_MIXED"):
        await here.sell(100, fee=money(1, "USD"))
    with refused("SPLIT_IMPOSSIBLE"):
        await here.sell(100, fee=money(101))
    with refused("GRANT_INVALID"):
        await here.sell(100, grant=rental())
    with refused("GRANT_INVALID"):
        end = timestamp(T0)
        await here.sell(100, viewer_id="bob", grant=rental(start_time=end, end_time=end))
    assert (await here.in_order()).entries == 0


async def test_partial_refunds_take_from_everybody_in_proportion_and_end_at_nothing(here: Books) -> None:
    sale = await here.sell(1999)
    for units in (1, 700, 33, 3):
        left = (await here.refund(sale, units)).sale
        assert left.refunded_minor_units == 1999 - sum(part.remaining_minor_units for part in left.parts)
        for part in left.parts:
            gone = part.minor_units - part.remaining_minor_units
            assert abs(gone - part.minor_units * left.refunded_minor_units / 1999) < 3
    last = (await here.refund(sale)).sale
    assert last.refunded_minor_units == 1999
    assert await here.balances() == {}
    with refused("AMOUNT_EXCEEDS_REMAINING") as caught:
        await here.refund(sale)
    assert caught[0].metadata["remaining"] == "0"
    assert (await here.bus.hears(events_pb2.RefundRecorded, count=5)).remaining_minor_units == 0
    await here.in_order()


async def test_no_more_is_refunded_than_is_left(here: Books) -> None:
    sale = await here.sell(1000)
    await here.refund(sale, 400)
    with refused("AMOUNT_EXCEEDS_REMAINING"):
        await here.refund(sale, 601)
    with refused("CURRENCY_MIXED"):
        await here.refund(sale, amount=money(1, "USD"))
    with refused("AMOUNT_INVALID"):
        await here.refund(sale, 0)
    await here.refund(sale, 600)
    await here.in_order()


async def test_a_refund_again_is_the_same_refund(here: Books) -> None:
    sale = await here.sell(1000)
    first = await here.refund(sale, 400, reference="r1")
    again = await here.refund(sale, 400, reference="r1")
    assert (again.entry_id, again.sale.refunded_minor_units) == (first.entry_id, 400)
    with refused("REFERENCE_REUSED"):
        await here.refund(sale, 300, reference="r1")
    with refused("REFERENCE_REUSED"):
        await here.refund(await here.sell(1000), 400, reference="r1")


async def test_a_fee_that_the_processor_keeps_is_the_platforms_loss(here: Books) -> None:
    await here.divide_by(fee_kept_on_refund=True)
    sale = await here.sell(1000)
    await here.refund(sale)
    assert await here.balances() == {(FEE, "ccbill", "EUR"): 50, (PLATFORM, "", "EUR"): -50}
    await here.in_order()


async def test_a_chargeback_costs_and_may_leave_a_creator_below_nothing(here: Books) -> None:
    await here.divide_by(chargeback_fee_on_creators=True, reserve_basis_points=0)
    shares = [("ada", 2), ("bob", 1)]
    creators = [sales_service_pb2.CreatorShare(creator_id=name, weight=weight) for name, weight in shares]
    sale = await here.sell(1071, fee=money(0), creators=creators)
    await here.charge_back(sale, fee=3000)
    assert await here.balances() == {
        (FEE, "ccbill", "EUR"): 3000,
        (CREATOR, "ada", "EUR"): -2000,
        (CREATOR, "bob", "EUR"): -1000,
    }
    await here.sell(10_000, fee=money(0), creators=creators[:1])
    held = (await here.balances())[CREATOR, "ada", "EUR"]
    assert held > 0, "what is earned next makes good for it"
    event = await here.bus.hears(events_pb2.ChargebackRecorded)
    assert (event.minor_units, event.fee_minor_units, event.remaining_minor_units) == (1071, 3000, 0)
    await here.in_order()


async def test_a_chargeback_that_is_won_gives_everybody_their_share_again_but_not_the_fee(here: Books) -> None:
    sale = await here.sell(1000)
    before = await here.balances()
    await here.refund(sale, 300)
    lost = await here.charge_back(sale, fee=1500)
    with refused("NOT_A_CHARGEBACK"):
        await here.win(sale, sale.entry_id)
    won = await here.win(sale, lost.entry_id)
    assert (won.sale.charged_back_minor_units, won.sale.refunded_minor_units) == (0, 300)
    with refused("ALREADY_REVERSED"):
        await here.win(sale, lost.entry_id)
    with refused("ALREADY_REVERSED"):
        await here.reverse(lost.entry_id)
    with refused("NOT_REVERSIBLE"):
        await here.reverse(won.entry_id)
    held = await here.balances()
    assert held[FEE, "ccbill", "EUR"] == 1500 + before[FEE, "ccbill", "EUR"] - 15
    assert held[RECEIVABLE, "ccbill", "EUR"] == 700
    assert (await here.bus.hears(events_pb2.ChargebackReversed)).minor_units == 700
    await here.in_order()


async def test_mistakes_are_reversed_by_entries_and_only_once(here: Books) -> None:
    sale = await here.sell(1000)
    refund = await here.refund(sale, 400)
    with refused("NOT_REVERSIBLE"):
        await here.reverse(sale.entry_id)
    entry = await here.reverse(refund.entry_id)
    assert (entry.kind, entry.reverses_entry_id) == (ledger.ENTRY_KIND_REVERSAL, refund.entry_id)
    with refused("ALREADY_REVERSED"):
        await here.reverse(refund.entry_id)
    await here.reverse(sale.entry_id)
    with refused("ALREADY_REVERSED"):
        await here.reverse(sale.entry_id)
    with refused("AMOUNT_EXCEEDS_REMAINING"):
        await here.refund(sale)
    with refused("ENTRY_NOT_FOUND"):
        await here.reverse(new_id("jnl"))
    assert await here.balances() == {}
    shown = (await here.sales.GetSale(sales_service_pb2.GetSaleRequest(sale_id=sale.sale_id))).sale
    assert shown.reversed
    assert (await here.in_order()).entries == 4


async def test_what_was_bought_is_granted_and_taken_back_with_the_money(here: Books) -> None:
    asset_id, end = new_id("ast"), timestamp(T0 + timedelta(days=2))
    grant = rental(asset_id=asset_id, end_time=end, territories=["DE"])
    sale = await here.sell(1000, viewer_id="viewer-1", grant=grant)
    assert sale.entitled
    granted = await here.bus.hears(events_pb2.EntitlementGranted)
    assert (granted.entitlement_id, granted.viewer_id, granted.asset_id) == (sale.entitlement_id, "viewer-1", asset_id)
    assert (granted.end_time, list(granted.territories), granted.HasField("start_time")) == (end, ["DE"], False)
    assert granted.organisation_id == here.organisation_id
    assert (await here.refund(sale, 999)).sale.entitled, "a part of the price is still there"
    assert not (await here.refund(sale, 1)).sale.entitled
    revoked = await here.bus.hears(events_pb2.EntitlementRevoked)
    assert revoked.entitlement_id == sale.entitlement_id
    assert revoked.change_time.ToDatetime() > granted.change_time.ToDatetime(), "even while the clock stands still"


async def test_a_refund_may_end_what_was_granted_though_something_is_left(here: Books) -> None:
    sale = await here.sell(1000, viewer_id="viewer-1", grant=rental())
    part = await here.refund(sale, 1, revoke=True)
    assert not part.sale.entitled
    await here.reverse(part.entry_id)
    again = await here.bus.hears(events_pb2.EntitlementGranted, count=2)
    revoked = await here.bus.hears(events_pb2.EntitlementRevoked)
    assert again.change_time.ToDatetime() > revoked.change_time.ToDatetime()


async def test_a_chargeback_ends_what_was_granted_until_it_is_won(here: Books) -> None:
    sale = await here.sell(1000, viewer_id="viewer-1", grant=rental())
    lost = await here.charge_back(sale, amount=money(10))
    assert not lost.sale.entitled
    assert (await here.win(sale, lost.entry_id)).sale.entitled


async def test_sales_are_found_by_who_bought_and_by_the_processors_reference(here: Books) -> None:
    made = [await here.sell(100 + turn, viewer_id=f"viewer-{turn % 2}") for turn in range(5)]
    request = sales_service_pb2.ListSalesRequest(page_size=2, viewer_id="viewer-0")
    first = await here.sales.ListSales(request)
    request.page_token = first.next_page_token
    second = await here.sales.ListSales(request)
    found = [sale.sale_id for sale in [*first.sales, *second.sales]]
    assert found == sorted((sale.sale_id for sale in made[::2]), reverse=True)
    assert second.next_page_token == ""
    by_reference = sales_service_pb2.ListSalesRequest(processor="ccbill", reference=made[3].reference)
    assert [sale.sale_id for sale in (await here.sales.ListSales(by_reference)).sales] == [made[3].sale_id]
    with refused("SALE_NOT_FOUND"):
        await here.sales.GetSale(sales_service_pb2.GetSaleRequest(sale_id=new_id("sal")))


async def test_split_rules_have_versions_and_a_sale_says_by_which_it_was_divided(here: Books) -> None:
    old = await here.sell(1000)
    newer = await here.divide_by(platform_basis_points=10_000, comment="all of it")
    assert (newer.version, newer.active, old.split_rules_version) == (2, True, 1)
    assert (await here.sell(1000)).split_rules_version == 2
    await here.refund(old)  # by the rules of then
    answer = await here.rules.ListSplitRules(split_rules_service_pb2.ListSplitRulesRequest())
    assert [(rules.version, rules.active) for rules in answer.rules] == [(2, True), (1, False)]
    assert answer.rules[0].comment == "all of it"
    with refused("SPLIT_RULES_NOT_FOUND"):
        await here.rules.ActivateSplitRules(split_rules_service_pb2.ActivateSplitRulesRequest(version=3))
    assert (await here.bus.hears(events_pb2.SplitRulesActivated, count=2)).version == 2


async def test_currencies_have_their_own_accounts(here: Books) -> None:
    for code in ("EUR", "JPY", "KWD", "BTC"):
        await here.sell(1000, code)
    held = await here.balances()
    assert {code for _, _, code in held} == {"EUR", "JPY", "KWD", "BTC"}
    assert all(held[RECEIVABLE, "ccbill", code] == 1000 for code in ("EUR", "JPY", "KWD", "BTC"))
