"""Consent is complete if, and only if, everybody who is seen has records that were found good, are good still, and were not taken back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compliance.performers.domain import (
    Consent,
    IdentityDocument,
    Production,
    Release,
    Reviewed,
    State,
    consent_of,
    consent_of_all,
    gaps_of,
    is_adult,
    is_expired,
)

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
FILMED = date(2026, 11, 1)
PERFORMERS = ("pfm_a", "pfm_b", "pfm_c")
EXPIRE_DATES = st.one_of(st.none(), st.sampled_from([date(2026, 11, 27), date(2026, 11, 28), date(2031, 1, 1)]))
BIRTHS = st.one_of(
    st.none(), st.sampled_from([date(1990, 1, 1), date(2008, 11, 1), date(2008, 11, 2), date(2012, 1, 1)])
)


def reviewed(state: State) -> Reviewed:
    return Reviewed(state, "somebody", NOW)


@st.composite
def documents(draw: st.DrawFn) -> IdentityDocument:
    state = draw(st.sampled_from([State.SUBMITTED, State.APPROVED, State.REJECTED]))
    return IdentityDocument(
        "idd", draw(st.sampled_from(PERFORMERS)), "org", 1, "GB", draw(EXPIRE_DATES), reviewed(state)
    )


@st.composite
def releases(draw: st.DrawFn) -> Release:
    production = draw(st.sampled_from(["prd", "prd_other"]))
    performer = draw(st.sampled_from(PERFORMERS))
    state = draw(st.sampled_from(State))
    return Release("rel", production, performer, "org", FILMED, draw(EXPIRE_DATES), reviewed(state))


@given(
    seen=st.lists(st.sampled_from(PERFORMERS), unique=True),
    state=st.sampled_from([State.SUBMITTED, State.APPROVED, State.REJECTED]),
    births=st.dictionaries(st.sampled_from(PERFORMERS), BIRTHS),
    papers=st.lists(documents(), max_size=8),
    given_by=st.lists(releases(), max_size=8),
)
def test_complete_means_that_everybodys_records_are_in_force(
    seen: list[str],
    state: State,
    births: dict[str, date | None],
    papers: list[IdentityDocument],
    given_by: list[Release],
) -> None:
    production = Production("prd", "org", 1, "A film", FILMED, (), tuple(seen), (), reviewed(state))
    known = {performer: born for performer, born in births.items() if born is not None}
    consent = consent_of(gaps_of(production, known, papers, given_by, NOW))

    def good(paper: IdentityDocument | Release) -> bool:
        return paper.reviewed.state is State.APPROVED and (paper.expire_date is None or paper.expire_date >= NOW.date())

    theirs = {
        performer: [one for one in given_by if (one.performer_id, one.production_id) == (performer, "prd")]
        for performer in seen
    }
    in_order = all(
        performer in known
        and known[performer] <= date(2008, 11, 1)
        and any(good(one) for one in papers if one.performer_id == performer)
        and any(good(one) for one in theirs[performer])
        for performer in seen
    )
    taken_back = any(
        any(one.reviewed.state is State.WITHDRAWN for one in theirs[performer])
        and not any(good(one) for one in theirs[performer])
        for performer in seen
    )
    assert (consent is Consent.COMPLETE) == (state is State.APPROVED and in_order)
    assert (consent is Consent.WITHDRAWN) == taken_back


@given(st.lists(st.sampled_from([Consent.COMPLETE, Consent.MISSING, Consent.WITHDRAWN])))
def test_an_asset_is_worth_what_the_worst_of_its_productions_is(consents: list[Consent]) -> None:
    together = consent_of_all(consents)
    assert (together is Consent.COMPLETE) == (bool(consents) and set(consents) == {Consent.COMPLETE})
    assert (together is Consent.WITHDRAWN) == (Consent.WITHDRAWN in consents)


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_one_is_18_from_ones_18th_birthday_on(born: date, on: date) -> None:
    year = born.year + 18
    leap_day = (born.month, born.day) == (2, 29)
    birthday = date(year, 3, 1) if leap_day and year % 4 else born.replace(year=year)
    assert is_adult(born, on) == (on >= birthday) or (leap_day and year % 100 == 0)


@pytest.mark.parametrize(("moment", "over"), [(timedelta(), False), (timedelta(microseconds=1), True)])
def test_a_record_is_good_until_its_last_day_has_ended(moment: timedelta, *, over: bool) -> None:
    last = datetime(2026, 11, 28, 23, 59, 59, 999999, tzinfo=UTC)
    assert is_expired(date(2026, 11, 28), last + moment) is over
    assert not is_expired(None, last + timedelta(days=100_000))
