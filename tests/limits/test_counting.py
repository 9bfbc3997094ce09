"""The counting itself, without anything around it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.limits.domain import MICROSECONDS, Ask, Limit, outcome, taken

NOW = 1_700_000_000 * MICROSECONDS
LIMITS = st.builds(
    Limit,
    count=st.integers(1, 1000),
    seconds=st.sampled_from([1, 10, 60, 3600]),
    burst=st.integers(1, 50),
)
# Microseconds between one call and the next.
PAUSES = st.lists(st.one_of(st.just(0), st.integers(0, 1000), st.integers(0, 120 * MICROSECONDS)), max_size=200)


def passed(limit: Limit, moments: list[int]) -> list[int]:
    """The moments at which calls were let through."""
    full_at, through = 0, []
    for now in moments:
        found = taken(full_at, Ask(b"", limit), now)
        full_at = found.full_at
        through += [now] * found.granted
    return through


def at(pauses: list[int]) -> list[int]:
    moments, now = [], NOW
    for pause in pauses:
        now += pause
        moments.append(now)
    return moments


@given(LIMITS, PAUSES)
def test_over_any_span_no_more_pass_than_the_burst_and_what_it_refills(limit: Limit, pauses: list[int]) -> None:
    through = passed(limit, at(pauses))
    for first in range(len(through)):
        for last in range(first, len(through)):
            span = through[last] - through[first]
            assert last - first + 1 <= limit.burst + span // limit.interval


@given(LIMITS, st.integers(1, 100))
def test_who_keeps_to_the_rate_is_never_refused(limit: Limit, calls: int) -> None:
    moments = at([limit.interval] * calls)
    assert passed(limit, moments) == moments


@given(LIMITS, PAUSES)
def test_whoever_waits_as_long_as_told_may_pass_and_not_before(limit: Limit, pauses: list[int]) -> None:
    full_at = 0
    for now in at(pauses):
        found = taken(full_at, Ask(b"", limit), now)
        full_at = found.full_at
        if found.granted == 0:
            wait = outcome(limit, full_at, now, allowed=False).retry_in
            assert taken(full_at, Ask(b"", limit), now + wait).granted == 1
            assert taken(full_at, Ask(b"", limit), now + wait - 1).granted == 0


@given(LIMITS, st.integers(0, 100), st.integers(0, 100))
def test_what_is_said_to_be_left_can_be_taken_and_no_more(limit: Limit, first: int, second: int) -> None:
    found = taken(0, Ask(b"", limit, first), NOW)
    left = outcome(limit, found.full_at, NOW, allowed=True).remaining
    assert found.granted + left == limit.burst
    assert taken(found.full_at, Ask(b"", limit, second), NOW).granted == min(second, left)


@given(LIMITS, st.integers(1, 50))
def test_what_is_given_back_can_be_taken_again(limit: Limit, calls: int) -> None:
    found = taken(0, Ask(b"", limit, calls), NOW)
    back = taken(found.full_at, Ask(b"", limit, -found.granted), NOW)
    assert taken(back.full_at, Ask(b"", limit, limit.burst), NOW).granted == limit.burst


@given(LIMITS, st.integers(-(10**15), 10**15))
def test_a_clock_that_jumps_locks_nobody_out_for_longer_than_an_empty_bucket_would(limit: Limit, jump: int) -> None:
    full_at = taken(0, Ask(b"", limit, limit.burst), NOW).full_at
    now = NOW + jump
    found = taken(full_at, Ask(b"", limit), now)
    told = outcome(limit, found.full_at, now, allowed=bool(found.granted))
    assert told.retry_in <= limit.interval
    assert taken(found.full_at, Ask(b"", limit), now + limit.interval).granted == 1


@given(LIMITS)
def test_the_interval_never_allows_more_than_the_rate(limit: Limit) -> None:
    assert limit.interval * limit.count >= limit.seconds * MICROSECONDS


def test_the_burst_comes_back_call_by_call() -> None:
    limit = Limit(count=5, seconds=60, burst=5)
    through = passed(limit, [NOW] * 10 + [NOW + second * MICROSECONDS for second in range(1, 61)])
    assert through.count(NOW) == 5
    assert {later - earlier for earlier, later in pairwise(through[5:])} == {12 * MICROSECONDS}
