"""Business days, the dated rules, and what they are counted from."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compliance.notices import rules
from services.compliance.notices.calendar import Calendar, Span, Unit
from services.compliance.notices.rules import Kind
from tests.support.examples import fuzzed

BERLIN = Calendar.of("Europe/Berlin", (6, 7), (date(2026, 12, 25),))


@pytest.mark.parametrize(
    ("start", "span", "end"),
    [
        # A Monday, so the week after it ends on the Wednesday of the next but one.
        ("2026-11-30T12:00", "7 business days", "2026-12-09T23:00"),
        ("2026-12-04T12:00", "1 business days", "2026-12-07T23:00"),
        # Half past eleven in the evening of UTC is the next day already.
        ("2026-11-30T23:30", "1 business days", "2026-12-02T23:00"),
        # A holiday on a Friday, then a weekend.
        ("2026-12-24T09:00", "1 business days", "2026-12-28T23:00"),
        ("2026-11-28T12:00", "48 hours", "2026-11-30T12:00"),
        ("2026-11-28T12:00", "2 days", "2026-11-30T12:00"),
    ],
)
def test_business_days_end_with_the_last_of_them_where_the_organisation_is(start: str, span: str, end: str) -> None:
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)]
    assert BERLIN.after(moments[0], Span.of(span)) == moments[1]


@fuzzed(100)
@given(
    st.integers(0, 4 * 365 * 24).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
    st.integers(1, 30),
    st.sets(st.dates(date(2026, 1, 1), date(2030, 12, 31)), max_size=60),
)
def test_a_term_of_business_days_holds_just_so_many(start: datetime, count: int, holidays: set[date]) -> None:
    calendar = Calendar.of("America/New_York", (6, 7), holidays)
    end = calendar.after(start, Span(count, Unit.BUSINESS_DAYS))
    first, last = start.astimezone(calendar.zone).date(), (end - timedelta(hours=1)).astimezone(calendar.zone).date()
    days = [first + timedelta(days=number) for number in range(1, (last - first).days + 1)]
    assert sum(calendar.is_business_day(day) for day in days) == count
    assert calendar.is_business_day(last)


@pytest.mark.parametrize("text", ["", "0 days", "3 weeks", "48hours", "-1 hours"])
def test_what_is_no_span_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="no span"):
        Span.of(text)


@pytest.mark.parametrize(("zone", "weekend"), [("Nowhere/At_All", (6, 7)), ("UTC", (0,)), ("UTC", range(1, 8))])
def test_a_calendar_without_a_zone_or_without_a_day_of_work_is_none(zone: str, weekend: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"zone|weekend"):
        Calendar.of(zone, weekend, ())


def test_the_rules_have_every_kind_and_what_the_law_says_of_it() -> None:
    held = rules.at(datetime(2026, 12, 1, tzinfo=UTC))
    assert set(held.kinds) == set(Kind)
    assert held.kinds[Kind.INTIMATE_IMAGE].due == Span(48, Unit.HOURS)
    assert held.kinds[Kind.DEPICTED_PERSON].due == Span(7, Unit.BUSINESS_DAYS)
    counter = held.kinds[Kind.COPYRIGHT].counter
    assert counter is not None
    assert (counter.restore_after.count, counter.restore_before.count) == (10, 14)
    required = {one.name for one in held.kinds[Kind.COPYRIGHT].elements if one.required}
    assert {"notifier.signature", "work", "location", "good_faith", "accurate_under_perjury"} <= required
    assert rules.dated("2026-11-28") is held
