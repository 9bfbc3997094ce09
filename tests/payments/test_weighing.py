"""By what a pool of money is divided among creators."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.payments.payouts.weighing import BySales, pool_shares
from tests.payments.desk import Desk
from tests.support.examples import fuzzed


@fuzzed(100)
@given(st.integers(0, 10**12), st.dictionaries(st.sampled_from("abcde"), st.integers(1, 10**9)))
def test_shares_sum_to_the_pool(total: int, weights: dict[str, int]) -> None:
    shares = pool_shares(total, weights)
    assert sum(shares.values()) == (total if weights else 0)
    for creator, share in shares.items():
        assert abs(share - total * weights[creator] / sum(weights.values())) <= 1 + total * 1e-12


async def test_sales_weigh_by_what_is_left_of_them_in_the_period(own_desk: Desk) -> None:
    await own_desk.earn(900, "ada")
    start = await own_desk.wait(1)
    await own_desk.earn(300, "ada")
    await own_desk.earn(100, "ben")
    returned = await own_desk.earn(500, "cyd")
    await own_desk.books.refund(returned)
    end = start + timedelta(days=1)
    async with own_desk.office.database.transaction() as tx:
        weights = await BySales().of(tx, own_desk.organisation_id, "EUR", start, end)
    assert weights == {"ada": 300, "ben": 100}
    assert pool_shares(1001, weights) == {"ada": 751, "ben": 250}
