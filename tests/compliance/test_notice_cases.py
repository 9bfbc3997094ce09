"""The state machine of cases: whatever people do in whatever order, no case goes where it may not, and each deadline is kept or escalated."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.compliance.notices import rules
from services.compliance.notices.calendar import Calendar
from services.compliance.notices.domain import OURSELVES, Action, Answer, Case, Hold, Party, State
from services.compliance.notices.rules import Kind
from services.kit.errors import Refusal
from tests.support.examples import fuzzed

T0 = datetime(2026, 11, 30, 12, tzinfo=UTC)
CALENDAR = Calendar.of("America/New_York", (6, 7), (date(2026, 12, 25),))
MAY: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.TAKEN_DOWN, State.RESTRICTED, State.REJECTED, State.WITHDRAWN}),
    State.TAKEN_DOWN: frozenset({State.RESTRICTED, State.RESTORED, State.COUNTERED, State.APPEALED, State.WITHDRAWN}),
    State.RESTRICTED: frozenset({State.TAKEN_DOWN, State.RESTORED, State.APPEALED, State.WITHDRAWN}),
    State.REJECTED: frozenset({State.APPEALED}),
    State.COUNTERED: frozenset({State.RESTORED, State.SUIT_NOTICED, State.WITHDRAWN}),
    State.SUIT_NOTICED: frozenset({State.RESTORED, State.WITHDRAWN}),
    State.APPEALED: frozenset({State.TAKEN_DOWN, State.RESTRICTED, State.REJECTED, State.RESTORED, State.WITHDRAWN}),
    State.RESTORED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
"""Where a case may go, written down apart from the code."""
PEOPLE = st.sampled_from(["user/a", "user/b", "user/c"])


def case(kind: Kind = Kind.COPYRIGHT, now: datetime = T0) -> Case:
    new = Case(
        notice_id="ntc_1",
        organisation_id="org_1",
        kind=kind,
        category="",
        asset_id="ast_1",
        uploader="user/u",
        language="",
        rules_date=rules.at(now).since.isoformat(),
        receive_time=now,
        change_time=now,
    )
    return new.received(CALENDAR)


class Cases(RuleBasedStateMachine):
    """One case, people who do things to it, and a watch that is not always awake."""

    @initialize(kind=st.sampled_from(Kind))
    def received(self, kind: Kind) -> None:
        self.now, self.case = T0, case(kind)
        self.looked = T0

    def go(self, after: Case, deed: str = "") -> None:
        before = self.case
        if after.state is not before.state:
            assert after.state in MAY[before.state], f"{before.state.name} went to {after.state.name}"
        if before.state is State.COUNTERED and after.state is State.RESTORED:
            assert before.restore_after is not None
            assert self.now >= before.restore_after
        if before.state is State.RECEIVED and after.state is State.TAKEN_DOWN and deed:
            assert before.kind is Kind.INTIMATE_IMAGE
            assert after.automated
        assert self.now >= after.change_time
        self.case = after

    @staticmethod
    def refused(refusal: Refusal, *reasons: str) -> None:
        assert refusal.reason in reasons

    @rule(hours=st.sampled_from([1, 5, 24, 47, 48, 24 * 7, 24 * 15, 24 * 40]), awake=st.booleans())
    def time_passes(self, hours: int, awake: bool) -> None:
        self.now += timedelta(hours=hours)
        if awake:
            self.look()

    @rule()
    def look(self) -> None:
        for _ in range(10):
            after, deed = self.case.passed(self.now, CALENDAR)
            if not deed:
                break
            self.go(after, deed)
        else:
            raise AssertionError("terms end without an end")
        self.looked = self.now

    @rule(action=st.sampled_from(Action), actor=PEOPLE, places=st.sampled_from([("DE",), ("US-TX", "DE")]))
    def decide(self, action: Action, actor: str, places: tuple[str, ...]) -> None:
        try:
            after = self.case.decided(action, actor, self.now, CALENDAR, territories=places)
        except Refusal as refusal:
            self.refused(refusal, "NOTICE_WRONG_STATE", "NOTICE_TERM_RUNNING")
        else:
            self.go(after)

    @rule(answer=st.sampled_from(Answer), party=st.sampled_from(Party))
    def reply(self, answer: Answer, party: Party) -> None:
        offered = answer in self.case.answers(party, self.now)
        try:
            after = self.case.answered(answer, party, self.now, CALENDAR)
        except Refusal as refusal:
            self.refused(refusal, "NOTICE_WRONG_STATE", "NOTICE_ANSWER_TOO_LATE")
            assert not offered
        else:
            assert offered
            self.go(after)

    @rule(granted=st.booleans(), restrict=st.booleans(), actor=PEOPLE)
    def decide_appeal(self, granted: bool, restrict: bool, actor: str) -> None:
        before = self.case
        try:
            action = before.granted(Action.RESTRICT if restrict else Action.TAKE_DOWN) if granted else None
            after = before.appeal_decided(action, actor, self.now, CALENDAR, territories=("DE",))
        except Refusal as refusal:
            self.refused(refusal, "NOTICE_SECOND_PERSON_NEEDED", "NOTICE_WRONG_STATE")
            assert actor in before.deciders or before.state is not State.APPEALED
        else:
            assert actor not in before.deciders
            assert granted or after.hold == before.hold
            self.go(after)

    @invariant()
    def every_deadline_is_kept_or_escalated(self) -> None:
        if not hasattr(self, "case"):
            return
        found = self.case
        awaited = found.state in {State.RECEIVED, State.COUNTERED, State.APPEALED}
        assert (found.due_time is not None) == awaited
        if awaited and found.due_time is not None and found.due_time <= self.looked:
            assert found.escalate_time is not None
            assert found.late
        # Whatever is awaited wakes the watch, unless all that could be told was told.
        if awaited and found.escalate_time is None:
            assert found.next_time is not None

    @invariant()
    def what_is_held_follows_from_the_state(self) -> None:
        if not hasattr(self, "case"):
            return
        state = State(self.case.standing) if self.case.state is State.APPEALED else self.case.state
        down = state in {State.TAKEN_DOWN, State.COUNTERED, State.SUIT_NOTICED}
        assert self.case.hold == (Hold(down=True) if down else Hold(territories=self.case.territories))
        assert bool(self.case.territories) == (state is State.RESTRICTED)


def test_no_case_goes_where_it_may_not_and_each_deadline_is_kept_or_escalated() -> None:
    run_state_machine_as_test(Cases, settings=fuzzed(150, long=3000))


def test_what_nobody_decides_about_comes_down_before_the_48_hours_are_over() -> None:
    new = case(Kind.INTIMATE_IMAGE)
    assert new.due_time == T0 + timedelta(hours=48)
    after, deed = new.passed(T0 + timedelta(hours=46), CALENDAR)
    assert (after.state, deed, after.automated, after.deciders) == (State.TAKEN_DOWN, "take_down", True, (OURSELVES,))


def test_a_counter_notice_brings_the_material_back_after_ten_business_days_and_before_fourteen() -> None:
    down = case().decided(Action.TAKE_DOWN, "user/a", T0, CALENDAR)
    countered = down.answered(Answer.COUNTER_NOTICE, Party.UPLOADER, T0, CALENDAR)
    # From Monday 30 November: ten business days are up with 14 December, fourteen with the 18th; New York is five hours behind.
    assert countered.restore_after == datetime(2026, 12, 15, 5, tzinfo=UTC)
    assert countered.restore_before == datetime(2026, 12, 19, 5, tzinfo=UTC)
    with pytest.raises(Refusal, match="NOTICE_TERM_RUNNING"):
        countered.decided(Action.RESTORE, "user/a", T0 + timedelta(days=3), CALENDAR)
    back, _ = countered.passed(datetime(2026, 12, 15, 5, tzinfo=UTC), CALENDAR)
    assert (back.state, back.late) == (State.RESTORED, False)
    sued = countered.answered(Answer.SUIT, Party.NOTIFIER, T0 + timedelta(days=3), CALENDAR)
    assert sued.passed(T0 + timedelta(days=400), CALENDAR) == (sued, "")
    assert sued.hold == Hold(down=True)


def test_nobody_appeals_twice_in_a_row_nor_after_the_time_for_it() -> None:
    rejected = case().decided(Action.REJECT, "user/a", T0, CALENDAR)
    appealed = rejected.answered(Answer.APPEAL, Party.NOTIFIER, T0, CALENDAR)
    denied = appealed.appeal_decided(None, "user/b", T0, CALENDAR)
    assert (denied.state, denied.answers(Party.NOTIFIER, T0)) == (State.REJECTED, ())
    granted = appealed.appeal_decided(Action.TAKE_DOWN, "user/b", T0, CALENDAR)
    assert Answer.APPEAL in granted.answers(Party.UPLOADER, T0)
    again = granted.answered(Answer.APPEAL, Party.UPLOADER, T0, CALENDAR)
    # Both who decided so far are out.
    for actor in ("user/a", "user/b"):
        with pytest.raises(Refusal, match="NOTICE_SECOND_PERSON_NEEDED"):
            again.appeal_decided(None, actor, T0, CALENDAR)
    assert again.appeal_decided(Action.RESTORE, "user/c", T0, CALENDAR).state is State.RESTORED
    with pytest.raises(Refusal, match="NOTICE_ANSWER_TOO_LATE"):
        rejected.answered(Answer.APPEAL, Party.NOTIFIER, T0 + timedelta(days=200), CALENDAR)
