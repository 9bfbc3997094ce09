"""Currencies, and how prices are divided: rules without a database."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.payments.ledger.currencies import CURRENCIES, currency
from services.payments.ledger.domain import AccountKind
from services.payments.splits.domain import WHOLE, Part, Price, Rules, divided, shared_out, taken_back

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/iso4217/list-one.xml"
NO_RULES = Rules(platform=0, tax=0, fee=0, reserve=0, fee_kept_on_refund=False, chargeback_fee_on_creators=False)
LARGEST = 10**15

rates = st.integers(0, WHOLE)
rule_sets = st.builds(Rules, rates, rates, rates, rates, st.booleans(), st.booleans())
prices = st.builds(
    Price,
    gross=st.integers(1, LARGEST) | st.integers(1, 30),
    processor=st.just("ccbill"),
    creators=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, WHOLE)), max_size=6).map(tuple),
)


def test_currencies_are_those_of_the_published_list() -> None:
    if not VECTORS.exists():
        pytest.skip(f"the published list is not beside the repository: {VECTORS}")
    published = {}
    for entry in ET.parse(VECTORS).getroot().iter("CcyNtry"):
        code, exponent = entry.findtext("Ccy"), entry.findtext("CcyMnrUnts", "")
        if code and exponent.isdigit():
            published[code] = (entry.findtext("CcyNbr"), int(exponent))
    ours = {one.code: (one.number, one.exponent) for one in CURRENCIES.values() if one.number}
    assert ours == published


def test_minor_units_have_the_decimals_of_their_currency() -> None:
    exponents = {code: currency(code).exponent for code in ("EUR", "JPY", "KWD", "CLF", "BTC", "USDC")}
    assert exponents == {"EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4, "BTC": 8, "USDC": 6}
    for code in ("XAU", "XXX", "XTS", "EURO", "eur", ""):
        with pytest.raises(Refusal, match="CURRENCY_UNKNOWN"):
            currency(code)


@given(total=st.integers(0, LARGEST), weights=st.lists(st.integers(0, LARGEST), min_size=1).filter(any))
def test_shares_sum_to_the_total_and_none_is_off_by_one(total: int, weights: list[int]) -> None:
    shares = shared_out(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(total * weight, sum(weights))) < 1


def test_what_is_left_over_goes_to_those_who_lost_most_the_first_first() -> None:
    assert shared_out(100, [1, 1, 1]) == [34, 33, 33]
    assert shared_out(10, [Fraction(15, 10), Fraction(25, 10), 6]) == [2, 2, 6]
    assert shared_out(1, [1, 2, 3]) == [0, 0, 1]
    assert shared_out(0, [0, 0]) == [0, 0]
    with pytest.raises(ValueError, match="nobody"):
        shared_out(1, [0])


def possibly(rules: Rules, price: Price) -> list[Part]:
    """The parts; none where tax and fee are more than the price."""
    with contextlib.suppress(Refusal):
        return list(divided(rules, price))
    return []


@given(rules=rule_sets, price=prices)
def test_parts_sum_to_the_price(rules: Rules, price: Price) -> None:
    parts = possibly(rules, price)
    if not parts:
        return
    assert sum(part.minor_units for part in parts) == price.gross
    assert all(part.minor_units > 0 and part.remaining == part.minor_units for part in parts)
    assert len({(part.kind, part.owner_id) for part in parts}) == len(parts)


@given(gross=st.integers(1, 10**9), tax=st.integers(0, 10**9), fee=st.integers(0, 10**9))
def test_named_taxes_and_fees_are_not_rounded(gross: int, tax: int, fee: int) -> None:
    price = Price(gross, "ccbill", (("a", 1), ("b", 2)), (("DE", tax),) if tax else (), fee)
    rules = Rules(1234, 0, 9999, 777, fee_kept_on_refund=False, chargeback_fee_on_creators=False)
    if tax + fee > gross:
        with pytest.raises(Refusal, match="SPLIT_IMPOSSIBLE"):
            divided(rules, price)
        return
    held = {(part.kind, part.owner_id): part.minor_units for part in divided(rules, price)}
    assert held.get((AccountKind.TAX_PAYABLE, "DE"), 0) == tax
    assert held.get((AccountKind.PROCESSOR_FEE, "ccbill"), 0) == fee


def test_tax_is_of_the_price_without_it() -> None:
    rules = Rules(0, 1900, 0, 0, fee_kept_on_refund=False, chargeback_fee_on_creators=False)
    parts = divided(rules, Price(11_900, "ccbill", (("a", 1),)))
    assert [(part.kind, part.minor_units) for part in parts] == [
        (AccountKind.TAX_PAYABLE, 1900),
        (AccountKind.CREATOR_PENDING, 10_000),
    ]


@given(rules=rule_sets, price=prices, steps=st.lists(st.floats(0, 1), max_size=8))
def test_refunds_take_no_part_twice_and_end_at_nothing_whatever_their_sizes(
    rules: Rules, price: Price, steps: list[float]
) -> None:
    parts = possibly(rules, price)
    for step in [*steps, 1.0]:
        left = sum(part.remaining for part in parts)
        total = left if step == 1.0 else int(left * step)
        taken = taken_back(parts, total)
        assert sum(taken) == total
        assert all(0 <= units <= part.remaining for units, part in zip(taken, parts, strict=True))
        parts = [
            Part(part.kind, part.owner_id, part.minor_units, part.remaining - units)
            for units, part in zip(taken, parts, strict=True)
        ]
    assert all(part.remaining == 0 for part in parts)
    with pytest.raises(Refusal, match="AMOUNT_EXCEEDS_REMAINING"):
        taken_back(parts, 1)


def test_without_rules_that_take_anything_all_is_the_creators() -> None:
    parts = divided(NO_RULES, Price(3, "ccbill", (("a", 1), ("b", 1))))
    assert [(part.owner_id, part.minor_units) for part in parts] == [("a", 2), ("b", 1)]
