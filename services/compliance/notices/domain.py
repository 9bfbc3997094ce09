"""A case: where it stands, what may happen next, and when. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

from services.compliance import refusals
from services.compliance.notices.calendar import Calendar
from services.compliance.notices.rules import Kind, KindRules, Rules, dated

OURSELVES: Final = "service/compliance"
"""Who acts when a term ends."""


class State(IntEnum):
    """Where a case stands; the numbers are those of the contract (`NoticeState`)."""

    RECEIVED = 1
    TAKEN_DOWN = 2
    RESTRICTED = 3
    REJECTED = 4
    COUNTERED = 5
    SUIT_NOTICED = 6
    APPEALED = 7
    RESTORED = 8
    WITHDRAWN = 9


class Action(IntEnum):
    """What can be done; the numbers are those of the contract (`NoticeAction`)."""

    TAKE_DOWN = 1
    RESTRICT = 2
    RESTORE = 3
    REJECT = 4
    NOTE_SUIT = 5


class Party(IntEnum):
    """Who has a link; the numbers are those of the contract (`NoticeParty`)."""

    NOTIFIER = 1
    UPLOADER = 2

    @property
    def word(self) -> str:
        """As steps and events name it."""
        return self.name.lower()


class Answer(IntEnum):
    """How a party answers; the numbers are those of the contract (`NoticeAnswerKind`)."""

    COUNTER_NOTICE = 1
    APPEAL = 2
    SUIT = 3
    WITHDRAWAL = 4


_DOWN: Final = frozenset({State.TAKEN_DOWN, State.COUNTERED, State.SUIT_NOTICED})
FINAL: Final = frozenset({State.RESTORED, State.WITHDRAWN})
_NEXT: Final = {
    Action.TAKE_DOWN: (State.TAKEN_DOWN, frozenset({State.RECEIVED, State.RESTRICTED})),
    Action.RESTRICT: (State.RESTRICTED, frozenset({State.RECEIVED, State.TAKEN_DOWN})),
    Action.REJECT: (State.REJECTED, frozenset({State.RECEIVED})),
    Action.RESTORE: (
        State.RESTORED,
        frozenset({State.TAKEN_DOWN, State.RESTRICTED, State.COUNTERED, State.SUIT_NOTICED}),
    ),
    Action.NOTE_SUIT: (State.SUIT_NOTICED, frozenset({State.COUNTERED})),
}
"""The state that an action leads to, and those that it may be taken in."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What of the material may not be shown: nothing, some territories, or all."""

    down: bool = False
    territories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A notice and what became of it.

    Attributes:
        uploader: name of the principal that uploaded the material; empty when it is not known.
        rules_date: date of the rules that it began under.
        territories: where a restriction holds.
        standing: the decision that stands while an appeal runs.
        action: the last decision; 0 before the first.
        deciders: who decided, in their order; none of them decides about an appeal.
        due_time: when a decision is due; None while none is awaited.
        remind_time: when somebody has to be reminded of it; None when that is done, or nothing is due.
        escalate_time: when it was found overdue.
        late: whether any decision ever was.
        restore_after, restore_before: the term after a counter-notice.
        answer_before: until when the decision can be appealed.
        appellant: who appealed last; 0 while nobody did. Nobody appeals twice in a row.
    """

    notice_id: str
    organisation_id: str
    kind: Kind
    category: str
    asset_id: str
    uploader: str
    language: str
    rules_date: str
    receive_time: datetime
    change_time: datetime
    state: State = State.RECEIVED
    territories: tuple[str, ...] = ()
    standing: int = 0
    action: int = 0
    automated: bool = False
    explanation: str = ""
    decide_time: datetime | None = None
    deciders: tuple[str, ...] = ()
    due_time: datetime | None = None
    remind_time: datetime | None = None
    escalate_time: datetime | None = None
    late: bool = False
    restore_after: datetime | None = None
    restore_before: datetime | None = None
    answer_before: datetime | None = None
    appellant: int = 0

    @property
    def rules(self) -> Rules:
        """The rules that it began under."""
        return dated(self.rules_date)

    @property
    def kind_rules(self) -> KindRules:
        """Those of its kind."""
        return self.rules.kinds[self.kind]

    @property
    def hold(self) -> Hold:
        """What of the material may not be shown."""
        state = State(self.standing) if self.state is State.APPEALED else self.state
        if state in _DOWN:
            return Hold(down=True)
        return Hold(territories=self.territories) if state is State.RESTRICTED else Hold()

    @property
    def over(self) -> bool:
        """Whether the law awaits nothing of us any more, but for what comes new."""
        return self.due_time is None and self.state is not State.SUIT_NOTICED

    @property
    def next_time(self) -> datetime | None:
        """When a term ends next; None when none runs."""
        ends = [self.remind_time, self.restore_after if self.state is State.COUNTERED else None, self._act_time]
        if self.escalate_time is None:
            ends.append(self.due_time)
        return min((one for one in ends if one is not None), default=None)

    @property
    def _act_time(self) -> datetime | None:
        """When the material comes down by itself, if nobody decides before."""
        before = self.kind_rules.taken_down_before
        if before is None or self.due_time is None or self.state is not State.RECEIVED:
            return None
        return self.due_time - before.fixed

    def awaiting(self, due: datetime) -> Case:
        """The case with a decision due."""
        remind = due - self.kind_rules.remind_before.fixed
        return replace(self, due_time=due, remind_time=remind, escalate_time=None)

    def settled(self) -> Case:
        """The case with nothing due."""
        return replace(self, due_time=None, remind_time=None, escalate_time=None)

    def received(self, calendar: Calendar) -> Case:
        """The new case, with its first term."""
        return self.awaiting(calendar.after(self.receive_time, self.kind_rules.due))

    def decided(
        self,
        action: Action,
        actor: str,
        now: datetime,
        calendar: Calendar,
        *,
        explanation: str = "",
        territories: Sequence[str] = (),
    ) -> Case:
        """The case after a decision.

        Raises:
            Refusal: NOTICE_WRONG_STATE, or NOTICE_TERM_RUNNING where a counter-notice waits for its term.
        """
        state, allowed = _NEXT[action]
        if self.state not in allowed:
            raise self._wrong(action.name.lower())
        if action is Action.RESTORE and self.state is State.COUNTERED:
            assert self.restore_after is not None
            if now < self.restore_after:
                raise refusals.notice_term_running(self.restore_after)
        after = replace(
            self.settled(),
            state=state,
            action=int(action),
            territories=tuple(sorted(set(territories))) if action is Action.RESTRICT else (),
            automated=actor == OURSELVES,
            explanation=explanation,
            decide_time=now,
            deciders=(*self.deciders, actor),
            answer_before=calendar.after(now, self.kind_rules.appeal_within),
            change_time=now,
        )
        return replace(after, restore_after=None, restore_before=None) if state is not State.SUIT_NOTICED else after

    def answers(self, party: Party, now: datetime) -> tuple[Answer, ...]:
        """How a party can answer now."""
        found = []
        if party is Party.UPLOADER and self.kind_rules.counter and self.state is State.TAKEN_DOWN:
            found.append(Answer.COUNTER_NOTICE)
        if self._appealable(party) and self.answer_before is not None and now < self.answer_before:
            found.append(Answer.APPEAL)
        if party is Party.NOTIFIER and self.state is State.COUNTERED:
            found.append(Answer.SUIT)
        if party is Party.NOTIFIER and self.state not in FINAL | {State.REJECTED}:
            found.append(Answer.WITHDRAWAL)
        return tuple(found)

    def _appealable(self, party: Party) -> bool:
        """Whether the decision went against a party, and nobody appealed yet."""
        against = Party.NOTIFIER if self.state is State.REJECTED else Party.UPLOADER
        return (
            self.state in {State.TAKEN_DOWN, State.RESTRICTED, State.REJECTED}
            and party is against
            and self.appellant != party
        )

    def answered(self, answer: Answer, party: Party, now: datetime, calendar: Calendar) -> Case:
        """The case after a party answered.

        Raises:
            Refusal: NOTICE_WRONG_STATE or NOTICE_ANSWER_TOO_LATE.
        """
        if answer not in self.answers(party, now):
            if answer is Answer.APPEAL and self._appealable(party) and self.answer_before is not None:
                raise refusals.notice_answer_too_late(self.answer_before)
            raise self._wrong(answer.name.lower())
        moved = replace(self, change_time=now)
        match answer:
            case Answer.COUNTER_NOTICE:
                counter = self.kind_rules.counter
                assert counter is not None
                restore_before = calendar.after(now, counter.restore_before)
                return replace(
                    moved.awaiting(restore_before),
                    state=State.COUNTERED,
                    restore_after=calendar.after(now, counter.restore_after),
                    restore_before=restore_before,
                )
            case Answer.SUIT:
                return replace(moved.settled(), state=State.SUIT_NOTICED, action=int(Action.NOTE_SUIT))
            case Answer.APPEAL:
                appealed = replace(moved, state=State.APPEALED, standing=int(self.state), appellant=int(party))
                return appealed.awaiting(calendar.after(now, self.kind_rules.appeal_due))
            case Answer.WITHDRAWAL:
                return replace(
                    moved.settled(), state=State.WITHDRAWN, territories=(), restore_after=None, restore_before=None
                )

    def granted(self, action: Action | None) -> Action:
        """What is done when an appeal is right: of the uploader, the material comes back; of whoever gave the notice, what the decision says.

        Raises:
            Refusal: NOTICE_WRONG_STATE.
        """
        if self.state is not State.APPEALED:
            raise self._wrong("decide_appeal")
        if State(self.standing) is not State.REJECTED:
            return Action.RESTORE
        if action not in {Action.TAKE_DOWN, Action.RESTRICT}:
            raise self._wrong("grant_appeal without taking down or restricting")
        return action

    def appeal_decided(
        self,
        action: Action | None,
        actor: str,
        now: datetime,
        calendar: Calendar,
        *,
        explanation: str = "",
        territories: Sequence[str] = (),
    ) -> Case:
        """The case after somebody else decided about the appeal.

        Args:
            action: what is done; None lets the decision stand.
            actor: who decides.
            now: the present moment.
            calendar: of the organisation.
            explanation: why.
            territories: of a restriction.

        Raises:
            Refusal: NOTICE_WRONG_STATE, or NOTICE_SECOND_PERSON_NEEDED.
        """
        if self.state is not State.APPEALED:
            raise self._wrong("decide_appeal")
        if actor in self.deciders:
            raise refusals.notice_second_person_needed(self.notice_id)
        if action is not None and action is not self.granted(action):
            raise self._wrong(action.name.lower())
        told = replace(
            self.settled(), standing=0, explanation=explanation, decide_time=now, automated=False, change_time=now
        )
        if action is None:
            return replace(told, state=State(self.standing))
        places = tuple(sorted(set(territories))) if action is Action.RESTRICT else ()
        # It is their decision now; whom it goes against has an appeal of their own.
        return replace(
            told,
            state=_NEXT[action][0],
            action=int(action),
            territories=places,
            deciders=(*self.deciders, actor),
            answer_before=calendar.after(now, self.kind_rules.appeal_within),
        )

    def passed(self, now: datetime, calendar: Calendar) -> tuple[Case, str]:
        """The case after the next of the terms that ended by now, and what happened, such as `reminded`; empty when nothing did. Whoever calls goes on
        until nothing happens.
        """
        if self.due_time is not None and self.escalate_time is None and now >= self.due_time:
            return replace(self, escalate_time=now, late=True), "escalated"
        if self.state is State.COUNTERED and self.restore_after is not None and now >= self.restore_after:
            return self.decided(Action.RESTORE, OURSELVES, now, calendar), "restore"
        if self._act_time is not None and now >= self._act_time:
            return self.decided(Action.TAKE_DOWN, OURSELVES, now, calendar), "take_down"
        if self.remind_time is not None and now >= self.remind_time:
            return replace(self, remind_time=None), "reminded"
        return self, ""

    def _wrong(self, deed: str) -> Exception:
        return refusals.notice_wrong_state(self.state.name, deed)
