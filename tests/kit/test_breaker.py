"""Who fails again and again is left alone for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.kit.breaker import FAILURES, PAUSE, Breaker, Open
from services.kit.clock import FixedClock


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 28, tzinfo=UTC))


@pytest.fixture
def breaker(clock: FixedClock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.check()
        breaker.failed()


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    fail(breaker, FAILURES)
    with pytest.raises(Open) as caught:
        breaker.check()
    assert caught.value.retry_after == PAUSE


def test_one_success_between_keeps_it_shut(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.worked()
    fail(breaker, FAILURES - 1)
    breaker.check()


def test_after_the_pause_one_goes_through_and_the_others_wait_for_it(breaker: Breaker, clock: FixedClock) -> None:
    fail(breaker, FAILURES)
    clock.advance(PAUSE)
    breaker.check()
    for _ in range(3):
        with pytest.raises(Open):
            breaker.check()


def test_what_the_one_finds_decides(breaker: Breaker, clock: FixedClock) -> None:
    fail(breaker, FAILURES)
    clock.advance(PAUSE)
    breaker.check()
    breaker.failed()
    with pytest.raises(Open):
        breaker.check()
    clock.advance(PAUSE)
    breaker.check()
    breaker.worked()
    fail(breaker, FAILURES - 1)
    breaker.check()


def test_one_that_never_says_what_it_found_is_followed_by_another(breaker: Breaker, clock: FixedClock) -> None:
    """Its caller may have gone away."""
    fail(breaker, FAILURES)
    clock.advance(PAUSE)
    breaker.check()
    clock.advance(PAUSE)
    breaker.check()


def test_a_pause_that_is_asked_for_begins_at_once(breaker: Breaker, clock: FixedClock) -> None:
    breaker.check()
    breaker.failed(timedelta(seconds=7))
    with pytest.raises(Open) as caught:
        breaker.check()
    assert caught.value.retry_after == timedelta(seconds=7)
    clock.advance(timedelta(seconds=7))
    breaker.check()


def test_how_much_it_bears_and_how_long_it_pauses_can_be_said(clock: FixedClock) -> None:
    breaker = Breaker(clock, failures=1, pause=timedelta(hours=1))
    fail(breaker, 1)
    with pytest.raises(Open) as caught:
        breaker.check()
    assert caught.value.retry_after == timedelta(hours=1)
