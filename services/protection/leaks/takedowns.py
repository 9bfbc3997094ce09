"""Rules of a notice's life at another platform. No input, no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from services.protection.leaks import refusals

if TYPE_CHECKING:
    from services.protection.leaks.rules import Rules

OURSELVES: Final = "service/protection"


class Kind(IntEnum):
    """What a notice is founded on; the numbers are those of the contract, as in all of these."""

    DMCA = 1
    DSA = 2
    TAKE_IT_DOWN = 3


class Carrier(IntEnum):
    """How a platform takes notices."""

    EMAIL = 1
    FORM = 2
    API = 3


class State(IntEnum):
    """Where a notice stands."""

    DRAFT = 1
    SIGNED = 2
    SENT = 3
    ACKNOWLEDGED = 4
    REMOVED = 5
    REFUSED = 6
    REAPPEARED = 7
    COUNTERED = 8
    SUED = 9
    RESTORED = 10
    WITHDRAWN = 11


_LOOKED_AT: Final = frozenset(
    {State.SENT, State.ACKNOWLEDGED, State.REMOVED, State.REFUSED, State.REAPPEARED, State.COUNTERED}
)
"""Where somebody may look and find that nothing changed."""
NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.DRAFT: frozenset({State.WITHDRAWN}),
    State.SIGNED: frozenset({State.SENT, State.WITHDRAWN}),
    State.SENT: frozenset({State.ACKNOWLEDGED, State.REMOVED, State.REFUSED, State.COUNTERED, State.WITHDRAWN}),
    State.ACKNOWLEDGED: frozenset({State.REMOVED, State.REFUSED, State.COUNTERED, State.WITHDRAWN}),
    State.REMOVED: frozenset({State.REAPPEARED, State.COUNTERED}),
    State.REFUSED: frozenset({State.ACKNOWLEDGED, State.REMOVED, State.WITHDRAWN}),
    State.REAPPEARED: frozenset({State.REMOVED, State.REFUSED, State.WITHDRAWN}),
    State.COUNTERED: frozenset({State.SUED, State.RESTORED, State.REMOVED, State.WITHDRAWN}),
    State.SUED: frozenset(),
    State.RESTORED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
"""What may be recorded of a notice, besides that nothing changed. Signing leads from DRAFT, REAPPEARED and a SIGNED that failed to SIGNED."""
AWAITED: Final = frozenset({State.SENT, State.ACKNOWLEDGED, State.REFUSED, State.REAPPEARED})
"""Where the copy is up although the platform was told."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to a notice."""

    state: State
    actor: str
    comment: str
    step_time: datetime

    def row(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "state": int(self.state),
            "actor": self.actor,
            "comment": self.comment,
            "time": self.step_time.isoformat(),
        }

    @classmethod
    def of(cls, row: dict[str, Any]) -> Step:
        """As it was kept."""
        return cls(State(row["state"]), row["actor"], row["comment"], datetime.fromisoformat(row["time"]))


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter-notice: the platform may put the copy back from `restore_from` on, and has to by `restore_by`, unless it hears of a suit."""

    name: str
    statement: str
    receive_time: datetime
    restore_from: datetime
    restore_by: datetime

    @classmethod
    def received(cls, name: str, statement: str, receive_time: datetime, rules: Rules) -> Counter:
        """One that a platform passed on, with its business days (17 U.S.C. 512(g)(2)(C))."""
        days, following = rules.calendar, rules.takedowns
        return cls(
            name,
            statement,
            receive_time,
            days.after(receive_time, following.restore_from_business_days),
            days.after(receive_time, following.restore_by_business_days),
        )


@dataclass(frozen=True, slots=True)
class Takedown:
    """A notice.

    Attributes:
        destination: e-mail address, page of the form, or endpoint.
        work: the title, as its public knows it.
        message_id: under which it is handed to whoever carries it; anew each time that it is signed.
        next_try_time: when it is tried to be sent next; None when it is not.
        check_time: when somebody should look at it next.
        checks: how often somebody looked since it came where it stands.
        remind_time: the `check_time` of which somebody was reminded last.
        first_remove_time: when it was removed the first time.
    """

    takedown_id: str
    case_id: str
    organisation_id: str
    kind: Kind
    platform: str
    url: str
    title_asset_id: str
    work: str
    carrier: Carrier
    destination: str
    text: str
    document_sha256: str
    create_time: datetime
    state: State = State.DRAFT
    signature: str = ""
    message_id: str = ""
    tries: int = 0
    next_try_time: datetime | None = None
    failure: str = ""
    reference: str = ""
    check_time: datetime | None = None
    checks: int = 0
    remind_time: datetime | None = None
    due_time: datetime | None = None
    counter: Counter | None = None
    reappearances: int = 0
    send_time: datetime | None = None
    first_remove_time: datetime | None = None
    remove_time: datetime | None = None
    steps: tuple[Step, ...] = field(default=())

    @property
    def document_key(self) -> str:
        """Where its PDF lies in the object store."""
        return document_key(self.organisation_id, self.document_sha256)

    def overdue(self, now: datetime) -> bool:
        """Whether the platform's term has passed."""
        return self.state in AWAITED and self.due_time is not None and now > self.due_time

    def signed(self, signature: str, message_id: str, actor: str, now: datetime) -> Takedown:
        """The notice once it is signed, to be sent.

        Raises:
            Refusal: TAKEDOWN_STATE_WRONG.
        """
        failed = self.state is State.SIGNED and bool(self.failure) and self.next_try_time is None
        if self.state not in (State.DRAFT, State.REAPPEARED) and not failed:
            raise refusals.takedown_state_wrong(self.state.name)
        by_hand = self.carrier is Carrier.FORM
        return replace(
            self._stepped(State.SIGNED, actor, "", now),
            signature=signature,
            message_id=message_id,
            tries=0,
            failure="",
            next_try_time=None if by_hand else now,
            check_time=now if by_hand else None,
        )

    def put_off(self, why: str, until: datetime) -> Takedown:
        """The notice that could not be sent now."""
        return replace(self, tries=self.tries + 1, failure=why, next_try_time=until)

    def given_up(self, why: str, now: datetime) -> Takedown:
        """The notice that cannot be sent so; somebody has to look at it."""
        return replace(self, failure=why, next_try_time=None, check_time=now)

    def recorded(  # all that a step says
        self,
        state: State,
        actor: str,
        comment: str,
        now: datetime,
        rules: Rules,
        *,
        reference: str = "",
        counter: Counter | None = None,
    ) -> Takedown:
        """The notice after something happened, or after somebody looked and nothing had.

        Raises:
            Refusal: TAKEDOWN_STATE_WRONG.
        """
        if state is self.state and state in _LOOKED_AT:
            looked = replace(self._stepped(state, actor, comment, now), checks=self.checks + 1)
            return replace(looked, check_time=looked.next_check(now, rules), reference=reference or self.reference)
        if state not in NEXT[self.state]:
            raise refusals.takedown_state_wrong(self.state.name)
        told = replace(
            self._stepped(state, actor, comment, now),
            checks=0,
            reference=reference or self.reference,
            counter=counter or self.counter,
            next_try_time=None,
            failure="",
        )
        match state:
            case State.SENT:
                hours = rules.takedowns.following(self.kind).remove_within_hours
                due = None if hours is None else now + timedelta(hours=hours)
                told = replace(told, send_time=self.send_time or now, due_time=due)
            case State.REMOVED:
                told = replace(told, remove_time=now, first_remove_time=self.first_remove_time or now)
            case State.REAPPEARED:
                told = replace(told, reappearances=self.reappearances + 1)
            case _:
                pass
        return replace(told, check_time=told.next_check(now, rules))

    def reminded(self) -> Takedown:
        """The notice once somebody was reminded of it."""
        return replace(self, remind_time=self.check_time)

    def _stepped(self, state: State, actor: str, comment: str, now: datetime) -> Takedown:
        return replace(self, state=state, steps=(*self.steps, Step(state, actor, comment, now)))

    def _sent_last(self, now: datetime) -> datetime:
        """When it was sent, the last time that it was signed."""
        sent = now
        for step in reversed(self.steps):
            if step.state is State.SIGNED:
                break
            if step.state is State.SENT:
                sent = step.step_time
        return sent

    def next_check(self, now: datetime, rules: Rules) -> datetime | None:
        """When somebody should look next, after `checks` looks."""
        match self.state:
            case State.SENT | State.ACKNOWLEDGED:
                hours = rules.takedowns.following(self.kind).check_after_hours
                if self.checks < len(hours):
                    return max(self._sent_last(now) + timedelta(hours=hours[self.checks]), now)
                return now + timedelta(hours=hours[-1])
            case State.REMOVED:
                days = rules.takedowns.recheck_after_days
                return (
                    (self.remove_time or now) + timedelta(days=days[self.checks]) if self.checks < len(days) else None
                )
            case State.REAPPEARED:
                return now + timedelta(days=self.checks)
            case State.COUNTERED if self.counter is not None:
                ahead = -rules.takedowns.suit_reminder_business_days
                moments = [rules.calendar.after(self.counter.restore_from, ahead), self.counter.restore_by]
                return max(moments[self.checks], now) if self.checks < len(moments) else now + timedelta(days=1)
            case _:
                return None


def document_key(organisation_id: str, sha256: str) -> str:
    """Where the PDF of a notice lies in the object store."""
    return f"leaks/takedowns/{organisation_id}/{sha256}.pdf"
