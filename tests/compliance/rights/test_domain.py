"""Rules of requests, without anything else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.compliance.rights.domain import (
    DataRequest,
    Kind,
    Proof,
    State,
    check_recent,
    checked_limits,
    days_left,
    months_after,
    next_reminder,
)
from services.kit.clock import SystemClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.personal import DataSubject, years_after

T0 = datetime(2026, 11, 29, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def asked(kind: Kind = Kind.ERASURE, state: State = State.OPEN) -> DataRequest:
    due_time = months_after(T0, 1)
    return DataRequest(
        "drq_1", "", b"digest", DataSubject("", "usr_1"), kind, state, T0, due_time, next_reminder(due_time, T0), T0
    )


@pytest.mark.parametrize(
    ("moment", "months", "then"),
    [
        ((2026, 11, 29), 1, (2026, 12, 29)),
        ((2027, 1, 31), 1, (2027, 2, 28)),
        ((2028, 1, 31), 1, (2028, 2, 29)),
        ((2026, 12, 31), 2, (2027, 2, 28)),
        ((2026, 12, 1), 3, (2027, 3, 1)),
    ],
)
def test_months_end_on_the_same_day_or_the_last_of_the_month(
    moment: tuple[int, int, int], months: int, then: tuple[int, int, int]
) -> None:
    assert months_after(datetime(*moment, tzinfo=UTC), months) == datetime(*then, tzinfo=UTC)


def test_years_after_a_leap_day_end_on_the_28th() -> None:
    assert years_after(datetime(2028, 2, 29, tzinfo=UTC), 10) == datetime(2038, 2, 28, tzinfo=UTC)


def test_staff_is_reminded_a_week_and_a_day_before_on_the_day_and_then_every_week() -> None:
    due = T0 + 30 * DAY
    assert next_reminder(due, T0) == due - 7 * DAY
    assert next_reminder(due, due - 7 * DAY) == due - DAY
    assert next_reminder(due, due - DAY) == due
    assert next_reminder(due, due) == due + 7 * DAY
    assert [days_left(due, moment) for moment in (T0, due - DAY, due, due + DAY)] == [30, 1, 0, -1]


def test_a_request_is_extended_once_by_two_months_before_it_is_due() -> None:
    extended = asked().extended("many of them", T0 + DAY)
    assert extended.due_time == datetime(2027, 2, 28, 9, tzinfo=UTC)
    assert extended.remind_time == extended.due_time - 7 * DAY
    assert extended.extended("many of them", T0 + 2 * DAY) is extended
    with pytest.raises(Refusal, match="DATA_REQUEST_WRONG_STATE"):
        extended.extended("even more", T0 + DAY)
    with pytest.raises(Refusal, match="DATA_REQUEST_WRONG_STATE"):
        asked().extended("too late", asked().due_time)


def test_what_was_begun_cannot_be_refused() -> None:
    refused = asked().refused("not you", T0)
    assert refused.state is State.REFUSED
    assert refused.refused("not you", T0 + DAY) is refused
    with pytest.raises(Refusal, match="DATA_REQUEST_WRONG_STATE"):
        asked().begun(T0).refused("changed our mind", T0)
    with pytest.raises(Refusal, match="DATA_REQUEST_WRONG_STATE"):
        asked().begun(T0).held(["hld_1"], T0).refused("nor while it is held", T0)


def test_an_erasure_goes_twice_over_all_services_and_nothing_else_does() -> None:
    first = asked().begun(T0)
    assert first.round == 1
    second = first.round_done(T0, timedelta(hours=1))
    assert (second.state, second.round, second.next_time) == (State.RUNNING, 2, T0 + timedelta(hours=1))
    done = second.begun(T0 + DAY).round_done(T0 + DAY, timedelta(hours=1))
    assert (done.state, done.round, done.end_time) == (State.COMPLETED, 2, T0 + DAY)
    assert asked(Kind.RESTRICTION).begun(T0).round_done(T0, DAY).state is State.COMPLETED


def test_a_hold_in_the_middle_leaves_the_round_as_it_is() -> None:
    held = asked().begun(T0).held(["hld_1"], T0 + DAY)
    assert (held.state, held.round, held.waits_for) == (State.HELD, 1, ("hld_1",))
    assert (held.begun(T0).round, held.begun(T0).waits_for) == (1, ())


def test_proof_opens_a_request_once() -> None:
    waiting = asked(state=State.AWAITING_PROOF)
    opened = waiting.proved(Proof.MAILED_CODE, T0)
    assert (opened.state, opened.proof) == (State.OPEN, Proof.MAILED_CODE)
    assert opened.proved(Proof.CHECKED_BY_STAFF, T0) is opened
    assert waiting.expired(T0).ended


def test_only_objections_say_to_what() -> None:
    limits = (personal.PROCESSING_LIMIT_NO_MARKETING, personal.PROCESSING_LIMIT_NO_PROFILING)
    assert checked_limits(Kind.OBJECTION, limits) == tuple(sorted(limits))
    assert checked_limits(Kind.RESTRICTION, ()) == (personal.PROCESSING_LIMIT_STORAGE_ONLY,)
    assert checked_limits(Kind.ERASURE, ()) == ()
    for kind, wrong in ((Kind.OBJECTION, ()), (Kind.ERASURE, limits), (Kind.RESTRICTION, limits)):
        with pytest.raises(Refusal, match="LIMITS_MISPLACED"):
            checked_limits(kind, wrong)


def test_a_sign_in_proves_who_asks_for_a_quarter_of_an_hour() -> None:
    session_id, now = new_id("ses"), SystemClock().now()
    check_recent(session_id, now + timedelta(minutes=14))
    for stale, moment in ((session_id, now + timedelta(minutes=16)), ("", now)):
        with pytest.raises(Refusal, match="SIGN_IN_TOO_OLD"):
            check_recent(stale, moment)
