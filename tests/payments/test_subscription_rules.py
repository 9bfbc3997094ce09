"""The rules of plans and subscriptions, without a database: the calendar, the states, and what a change costs."""

from __future__ import annotations

import calendar
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.payments.plans.calendar import Interval, Unit
from services.payments.plans.domain import Plan, Price, Terms
from services.payments.subscriptions.domain import Beginning, End, Payer, State, Subscription
from services.payments.subscriptions.periods import Charge, Deal, Period
from services.payments.subscriptions.proration import begun, change, unused
from tests.support.examples import fuzzed

START = datetime(2028, 1, 31, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHLY = Interval(Unit.MONTH, 1)


def deal(price: int = 1000, interval: Interval = MONTHLY, plan_id: str = "pln_a", tier: str = "basic") -> Deal:
    return Deal(plan_id, 1, tier, interval, price, 8, (1, 3, 5, 7))


def somebody(payer: Payer | None = None, agreed: Deal | None = None) -> Beginning:
    return Beginning("org", "ada", "DE", "EUR", payer or Payer("stripe", "main", "pm"), agreed or deal())


def due(one: Subscription, now: datetime) -> tuple[Subscription, Charge]:
    after, charge = one.fallen_due(now, one.deal)
    assert charge is not None
    return after, charge


def test_the_day_of_the_anchor_is_kept_through_short_months_and_leap_years() -> None:
    ends = [MONTHLY.after(START, times).date().isoformat() for times in range(1, 5)]
    assert ends == ["2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31"]
    leap = datetime(2028, 2, 29, tzinfo=UTC)
    years = [Interval(Unit.YEAR, 1).after(leap, times).date().isoformat() for times in (1, 4)]
    assert years == ["2029-02-28", "2032-02-29"]
    assert Interval(Unit.WEEK, 2).after(START, 3) == START + 42 * DAY
    assert Interval(Unit.DAY, 10).after(START, 2) == START + 20 * DAY


@fuzzed(60)
@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), st.integers(1, 14), st.integers(0, 60))  # noqa: DTZ001
def test_months_follow_each_other_without_gap_and_by_the_day_of_the_anchor(
    anchor: datetime, count: int, times: int
) -> None:
    interval = Interval(Unit.MONTH, count)
    this, following = interval.after(anchor, times), interval.after(anchor, times + 1)
    months = (following.year - this.year) * 12 + following.month - this.month
    assert months == count
    last = calendar.monthrange(following.year, following.month)[1]
    assert following.day == min(anchor.day, last)
    assert following.time() == anchor.time()


def test_a_period_begins_where_the_last_one_ended_however_late_it_is_paid() -> None:
    one = somebody().paid(START)
    after, charge = due(one, one.period.end)
    assert after.due_time is None, "nothing falls due while a charge is under way"
    declined = after.declined(charge, one.period.end, retryable=True)
    assert (declined.state, declined.due_time) == (State.PAST_DUE, one.period.end + DAY)
    assert declined.entitled_until == one.period.end + 8 * DAY
    again, charge = due(declined, one.period.end + DAY)
    paid = again.approved(charge)
    assert (paid.state, paid.period.start) == (State.ACTIVE, one.period.end)
    assert paid.period.end == MONTHLY.after(START, 2)


def test_dunning_ends_with_the_grace() -> None:
    one, now, tries = somebody().paid(START), MONTHLY.after(START, 1), []
    while one.state is not State.EXPIRED:
        assert one.due_time is not None
        now = max(now, one.due_time)
        one, charge = one.fallen_due(now, one.deal)
        if charge is not None:
            tries.append((now - MONTHLY.after(START, 1)).days)
            one = one.declined(charge, now, retryable=True)
    assert tries == [0, 1, 3, 5, 7]
    assert (one.end, one.end_time) == (End.UNPAID, MONTHLY.after(START, 1) + 8 * DAY)


def test_a_card_that_never_will_is_not_tried_again() -> None:
    one, charge = due(somebody().paid(START), MONTHLY.after(START, 1))
    refused = one.declined(charge, MONTHLY.after(START, 1), retryable=False)
    assert refused.due_time == refused.grace_end
    over, charge_again = refused.fallen_due(refused.grace_end, refused.deal)
    assert (over.state, charge_again) == (State.EXPIRED, None)


def test_a_period_that_passed_as_a_whole_is_not_charged() -> None:
    one = somebody().paid(START)
    late = MONTHLY.after(START, 4)
    _, charge = due(one, late)
    assert charge.period == Period.first(late, MONTHLY)


def test_what_is_cancelled_is_good_to_its_end_and_no_longer() -> None:
    one = somebody().paid(START).cancelled(START + DAY)
    assert (one.state, one.entitled_until) == (State.CANCELLING, one.period.end)
    assert one.resumed(START + 2 * DAY).state is State.ACTIVE
    over, charge = one.fallen_due(one.period.end, one.deal)
    assert (over.state, over.end, charge) == (State.EXPIRED, End.CANCELLED, None)
    assert over.entitled_until is None
    with pytest.raises(Refusal, match="over"):
        over.resumed(one.period.end)


def test_a_plan_that_was_chosen_to_follow_still_does_after_a_pause_but_not_after_a_cancellation() -> None:
    chosen = replace(somebody().paid(START), next_plan_id="pln_cheaper", next_version=1)
    rested = chosen.paused().resumed(START + DAY)
    assert (rested.state, rested.next_plan_id) == (State.ACTIVE, "pln_cheaper")
    assert chosen.cancelled(START).resumed(START + DAY).next_plan_id == ""


def test_what_is_cancelled_while_its_charge_is_under_way_ends_with_what_is_paid_by_it() -> None:
    one, charge = due(somebody().paid(START), MONTHLY.after(START, 1))
    quitting = one.cancelled(MONTHLY.after(START, 1))
    paid = quitting.approved(charge)
    assert (paid.state, paid.entitled_until) == (State.CANCELLING, MONTHLY.after(START, 2))
    unpaid = quitting.declined(charge, MONTHLY.after(START, 1), retryable=True)
    assert (unpaid.state, unpaid.end) == (State.EXPIRED, End.CANCELLED)


def test_a_pause_outlasts_what_is_paid_and_a_new_period_begins_after_it() -> None:
    one = somebody().paid(START).paused()
    lapsed, charge = one.fallen_due(one.period.end, one.deal)
    assert (lapsed.state, lapsed.entitled_until, charge) == (State.PAUSED, None, None)
    back = lapsed.resumed(START + 100 * DAY)
    assert (back.state, back.entitled_until) == (State.PAST_DUE, None)
    _, charge = due(back, START + 100 * DAY)
    assert charge.period == Period.first(START + 100 * DAY, MONTHLY)


def test_a_trial_is_followed_by_a_period_that_is_counted_from_its_end() -> None:
    one = somebody().tried(START, 14)
    assert (one.state, one.entitled_until) == (State.TRIALING, START + 22 * DAY)
    _, charge = due(one, START + 14 * DAY)
    assert charge.period == Period.first(START + 14 * DAY, MONTHLY)


def test_who_renews_by_itself_is_never_charged() -> None:
    payer = Payer("ccbill", "main", reference="sub-1", renews_by_itself=True)
    one = somebody(payer).paid(START)
    waiting, charge = one.fallen_due(one.period.end, one.deal)
    assert (waiting.state, charge) == (State.PAST_DUE, None)
    renewed, _ = waiting.renewed(one.period.end + DAY, 1000)
    assert (renewed.state, renewed.period.end) == (State.ACTIVE, MONTHLY.after(START, 2))
    late, _ = renewed.renewed(START, 1000)
    assert late.period == renewed.period, "of a time that is paid already"
    over, _ = waiting.fallen_due(waiting.grace_end, one.deal)
    revived, _ = over.renewed(START + 60 * DAY, 1000)
    assert (revived.state, revived.period.start) == (State.ACTIVE, START + 60 * DAY)
    for wish in (one.paused, lambda: one.cancelled(START).resumed(START)):
        with pytest.raises(Refusal, match="by itself"):
            wish()


def test_money_that_was_taken_after_all_is_served() -> None:
    one, charge = due(somebody().paid(START), MONTHLY.after(START, 1))
    over = one.ended(End.CHARGED_BACK, MONTHLY.after(START, 1))
    assert over.entitled_until is None
    alive = over.approved(charge)
    assert (alive.state, alive.entitled_until) == (State.CANCELLING, MONTHLY.after(START, 2))


def test_a_refund_of_an_old_period_changes_nothing() -> None:
    one = somebody().paid(START)
    after, charge = due(one, one.period.end)
    paid = after.approved(charge)
    assert paid.refunded(one.period, paid.period.start) is paid
    assert paid.refunded(paid.period, paid.period.start).end is End.REFUNDED


@fuzzed(60)
@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 31 * 86400))
def test_a_dearer_plan_costs_the_difference_for_the_rest_to_the_minor_unit(price: int, more: int, seconds: int) -> None:
    one = somebody(agreed=deal(price)).paid(START)
    now = min(START + timedelta(seconds=seconds), one.period.end)
    wanted = change(one, deal(price + more, plan_id="pln_b"), now)
    assert wanted.at_once
    rest = (one.period.end - now) / (one.period.end - one.period.start)
    assert abs(wanted.due_now - more * rest) <= 1 + more * 1e-9
    assert 0 <= wanted.credit <= price
    passed = price - unused(price, one.period, now)
    assert passed >= 0
    after, charge = begun(one, wanted)
    paid = after.approved(charge) if charge else after
    assert (paid.deal.price, paid.period) == (price + more, one.period)


def test_another_interval_begins_a_new_period_and_a_cheaper_plan_waits() -> None:
    one = somebody().paid(START)
    yearly = change(one, deal(9000, Interval(Unit.YEAR, 1), "pln_y"), START + 15 * DAY)
    assert (yearly.at_once, yearly.cost, yearly.period.start) == (True, 9000, START + 15 * DAY)
    cheaper = change(one, deal(500, plan_id="pln_c"), START)
    assert (cheaper.at_once, cheaper.due_now, cheaper.effect_time) == (False, 0, one.period.end)
    after, charge = begun(one, cheaper)
    assert (after.next_plan_id, charge) == ("pln_c", None)
    taken_back, _ = begun(after, change(after, after.deal, START))
    assert taken_back.next_plan_id == ""


def test_a_subscriber_keeps_their_price_until_they_are_moved() -> None:
    def terms(version: int, units: int, move: datetime | None) -> Terms:
        prices = (Price("", "EUR", units), Price("DE", "EUR", units + 1))
        return Terms(version, "basic", MONTHLY, 0, 8, (), prices, move, START)

    plan = Plan("pln_a", "org", "A", None, START, [terms(1, 100, None), terms(2, 200, None), terms(3, 300, START)])
    assert plan.newest.price("DE-BY", "EUR") == 301
    assert plan.newest.price("FR", "EUR") == 300
    assert plan.newest.price("FR", "USD") is None
    assert plan.moved(1, "DE", "EUR", START - DAY).version == 1
    assert plan.moved(1, "DE", "EUR", START).version == 3
    assert plan.moved(1, "", "USD", START).version == 1


@pytest.mark.parametrize(
    ("days", "grace", "field"), [((3, 1), 8, "dunning_days"), ((1, 9), 8, "dunning_days"), ((), 0, "prices")]
)
def test_terms_that_contradict_themselves_are_refused(days: tuple[int, ...], grace: int, field: str) -> None:
    prices = (Price("", "EUR", 1), Price("", "EUR", 2)) if field == "prices" else (Price("", "EUR", 1),)
    with pytest.raises(Refusal) as caught:
        Terms(1, "basic", MONTHLY, 0, grace, days, prices, None, START).checked()
    assert caught.value.metadata["field"] == field
