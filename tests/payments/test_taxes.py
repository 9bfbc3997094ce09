"""Tax by the table of rates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from reelmesh.payments.v1 import payments_pb2, sales_service_pb2
from reelmesh.payments.v1 import tax_rates_service_pb2 as api

from services.kit.clock import timestamp
from services.payments.taxes.domain import WHOLE, Rate, TaxableOrder, jurisdictions_of, to_pay, worked_out
from tests.payments.desk import Desk
from tests.payments.scene import TAX, money, once
from tests.support.examples import fuzzed

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def rate(jurisdiction: str, millionths: int, *, inclusive: bool = True) -> Rate:
    return Rate(jurisdiction, "VAT", millionths, inclusive, T0)


def order(minor_units: int, *, paid: bool) -> TaxableOrder:
    return TaxableOrder("org", "CA-QC", minor_units, "CAD", T0, paid)


rates = st.lists(
    st.builds(rate, st.sampled_from(["CA", "CA-QC"]), st.integers(0, WHOLE), inclusive=st.booleans()), max_size=3
)


@fuzzed(200)
@given(st.integers(1, 10**12), rates)
def test_what_was_paid_includes_every_tax_to_the_unit(gross: int, found: list[Rate]) -> None:
    lines = worked_out(order(gross, paid=True), found)
    taxes = sum(line.minor_units for line in lines)
    assert all(line.included for line in lines)
    assert 0 <= taxes <= gross
    exact = gross * sum(one.millionths for one in found) / (WHOLE + sum(one.millionths for one in found))
    assert abs(taxes - exact) <= len(found) + 1
    assert to_pay(order(gross, paid=True), lines) == gross


@fuzzed(200)
@given(st.integers(1, 10**12), rates)
def test_a_price_that_is_shown_with_some_taxes_gets_the_others_on_top(price: int, found: list[Rate]) -> None:
    asked = order(price, paid=False)
    lines = worked_out(asked, found)
    assert [line.included for line in lines] == [one.inclusive for one in found]
    whole = to_pay(asked, lines)
    again = worked_out(order(whole, paid=True), found)
    assert all(abs(one.minor_units - other.minor_units) <= 2 for one, other in zip(lines, again, strict=True))


def test_canada_has_two() -> None:
    """GST 5 % and QST 9.975 % on 100.00, both on top."""
    found = [rate("CA-QC", 99750, inclusive=False), rate("CA", 50000, inclusive=False)]
    lines = worked_out(order(10000, paid=False), found)
    assert [(line.jurisdiction, line.minor_units) for line in lines] == [("CA-QC", 998), ("CA", 500)]
    assert jurisdictions_of("CA-QC") == ("CA-QC", "CA")
    assert jurisdictions_of("DE") == ("DE",)


async def say(own: Desk, jurisdiction: str, millionths: int, **changes: Any) -> api.TaxRate:
    wanted = api.TaxRate(jurisdiction=jurisdiction, name="VAT", millionths=millionths, inclusive=True, **changes)
    return (await own.rates.AddTaxRate(api.AddTaxRateRequest(request_id=once(), rate=wanted))).rate


def taxes(sale: payments_pb2.Sale) -> dict[str, int]:
    return {part.owner_id: part.minor_units for part in sale.parts if part.kind == TAX}


async def test_a_sale_carries_the_rates_in_force_where_the_buyer_is(own_desk: Desk) -> None:
    await own_desk.books.divide_by(platform_basis_points=0, tax_basis_points=700, fee_basis_points=0)
    now = own_desk.clock.now()
    await say(own_desk, "DE", 190000)
    await say(own_desk, "DE", 160000, start_time=timestamp(now + timedelta(days=30)))
    await say(own_desk, "FR", 0)
    assert taxes(await own_desk.books.sell(1190, tax_territory="DE")) == {"DE": 190}
    assert taxes(await own_desk.books.sell(1190, tax_territory="FR")) == {}, "nothing is owed, and that is known"
    assert taxes(await own_desk.books.sell(1070, tax_territory="IT")) == {"": 70}, "nobody knows: the split rules say"
    said = [sales_service_pb2.TaxAmount(jurisdiction="DE", amount=money(1))]
    assert taxes(await own_desk.books.sell(1190, tax_territory="DE", taxes=said)) == {"DE": 1}
    later = timestamp(now + timedelta(days=31))
    assert taxes(await own_desk.books.sell(1160, tax_territory="DE", sell_time=later)) == {"DE": 160}
    await say(own_desk, "DE", 170000, start_time=timestamp(now + timedelta(days=30)))
    assert taxes(await own_desk.books.sell(1170, tax_territory="DE", sell_time=later)) == {"DE": 170}
    listed = (await own_desk.rates.ListTaxRates(api.ListTaxRatesRequest(jurisdiction="DE"))).rates
    assert [one.millionths for one in listed] == [170000, 160000, 190000]
    await own_desk.books.in_order()
