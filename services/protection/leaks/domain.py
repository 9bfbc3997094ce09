"""Rules of a case's, a piece of evidence's and an action's life. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from services.protection.leaks import refusals


class Source(IntEnum):
    """How a report came; the numbers are those of the contract, as in all of these."""

    PERSON = 1
    PROGRAM = 2
    CRAWLER = 3


class CaseState(IntEnum):
    """Where a case stands."""

    REPORTED = 1
    DETECTING = 2
    UNNAMED = 3
    NAMED = 4
    CLOSED = 5


class EvidenceKind(IntEnum):
    """What evidence is."""

    FILM = 1
    CAPTURE = 2
    FINDING = 3


class ActionKind(IntEnum):
    """What is done."""

    REVOKE_SESSION = 1
    BLOCK_VIEWER = 2
    NOTIFY_VIEWER = 3


class ActionState(IntEnum):
    """Where an action stands."""

    PROPOSED = 1
    SECOND_NEEDED = 2
    APPROVED = 3
    REJECTED = 4
    REVERSED = 5
    EXPIRED = 6


class Verdict(IntEnum):
    """What can be decided."""

    APPROVE = 1
    REJECT = 2
    REVERSE = 3


OPEN: Final = frozenset({ActionState.PROPOSED, ActionState.SECOND_NEEDED})
"""Where nothing was done yet."""
HAPPENED: Final = frozenset({ActionState.APPROVED, ActionState.REVERSED, ActionState.EXPIRED})
"""What whoever it hits gets to see."""


@dataclass(frozen=True, slots=True)
class Case:
    """A place where a copy was found.

    Attributes:
        explanation: why it stands where it stands, for people.
    """

    case_id: str
    organisation_id: str
    title_asset_id: str
    url: str
    platform: str
    find_time: datetime
    source: Source
    reporter: str
    comment: str
    create_time: datetime
    state: CaseState = CaseState.REPORTED
    explanation: str = "there is no film yet to look for the session in"
    close_time: datetime | None = None

    def open(self) -> Case:
        """The case, if it is not closed.

        Raises:
            Refusal: LEAK_CASE_CLOSED.
        """
        if self.state is CaseState.CLOSED:
            raise refusals.case_closed(self.case_id)
        return self

    def detecting(self) -> Case:
        """The case while a session is looked for; one in which somebody was named already stays so."""
        if self.state is CaseState.NAMED:
            return self
        return replace(self, state=CaseState.DETECTING, explanation="the session is being looked for")

    def unnamed(self, explanation: str) -> Case:
        """The case once a search named nobody."""
        if self.state in (CaseState.NAMED, CaseState.CLOSED):
            return self
        return replace(self, state=CaseState.UNNAMED, explanation=explanation)

    def named(self, title_asset_id: str, explanation: str) -> Case:
        """The case once somebody was named."""
        if self.state is CaseState.CLOSED:
            return self
        title = title_asset_id or self.title_asset_id
        return replace(self, state=CaseState.NAMED, title_asset_id=title, explanation=explanation)

    def closed(self, comment: str, now: datetime) -> Case:
        """The case once it is closed; one that was stays as it was."""
        if self.state is CaseState.CLOSED:
            return self
        return replace(self, state=CaseState.CLOSED, explanation=comment or "it was closed", close_time=now)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that was preserved.

    Attributes:
        sha256: of the bytes, as hex; it is also their place in the object store.
        capture_time: when it was taken from `url`, as given.
        detection_id: search for the session in it; empty when none was begun.
    """

    evidence_id: str
    case_id: str
    organisation_id: str
    kind: EvidenceKind
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    url: str
    capture_time: datetime
    actor: str
    preserve_time: datetime
    detection_id: str = ""

    @property
    def object_key(self) -> str:
        """Where the bytes lie in the object store."""
        return evidence_key(self.organisation_id, self.sha256)

    def taken(self, url: str, capture_time: datetime, preserve_time: datetime) -> Evidence:
        """The same, taken from somewhere at some time."""
        return replace(self, url=url, capture_time=capture_time, preserve_time=preserve_time)


def evidence_key(organisation_id: str, sha256: str) -> str:
    """Where preserved bytes lie in the object store."""
    return f"leaks/evidence/{organisation_id}/{sha256}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided."""

    verdict: Verdict
    actor: str
    comment: str
    decide_time: datetime

    def row(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "verdict": int(self.verdict),
            "actor": self.actor,
            "comment": self.comment,
            "time": self.decide_time.isoformat(),
        }

    @classmethod
    def of(cls, row: dict[str, Any]) -> Decision:
        """As it was kept."""
        return cls(Verdict(row["verdict"]), row["actor"], row["comment"], datetime.fromisoformat(row["time"]))


@dataclass(frozen=True, slots=True)
class Action:
    """Something that is proposed or done.

    Attributes:
        false_positive: bound on the chance that anybody innocent looks so guilty.
        alone_up_to: up to which bound one person may approve.
        rules: version that proposed it.
        revocation_id: that a block gets; empty for anything else.
        effect_time: when the edge's own service announced that it holds.
    """

    action_id: str
    case_id: str
    organisation_id: str
    kind: ActionKind
    session_id: str
    viewer_id: str
    false_positive: float
    alone_up_to: float
    strike: int
    explanation: str
    rules: str
    revocation_id: str
    create_time: datetime
    state: ActionState = ActionState.PROPOSED
    decisions: tuple[Decision, ...] = ()
    end_time: datetime | None = None
    effect_time: datetime | None = None
    appeal_until: datetime | None = None
    appeal_text: str = ""
    appeal_time: datetime | None = None
    appeal_upheld: bool = False
    appeal_comment: str = ""
    appeal_actor: str = ""
    appeal_decide_time: datetime | None = None

    @property
    def approvers(self) -> list[str]:
        """Who approved."""
        return [one.actor for one in self.decisions if one.verdict is Verdict.APPROVE]

    @property
    def needs_second(self) -> bool:
        """Whether one person alone may not approve it."""
        return not self.false_positive <= self.alone_up_to

    @property
    def counts(self) -> bool:
        """Whether a strike rests on it."""
        return self.kind is not ActionKind.NOTIFY_VIEWER and self.state in (ActionState.APPROVED, ActionState.EXPIRED)

    def decided(self, decision: Decision) -> Action:
        """The action after somebody decided.

        Raises:
            Refusal: LEAK_ACTION_STATE_WRONG, LEAK_SECOND_PERSON_NEEDED.
        """
        match decision.verdict, self.state:
            case Verdict.APPROVE, ActionState.PROPOSED:
                state = ActionState.SECOND_NEEDED if self.needs_second else ActionState.APPROVED
            case Verdict.APPROVE, ActionState.SECOND_NEEDED:
                if decision.actor in self.approvers:
                    raise refusals.second_person_needed(self.action_id)
                state = ActionState.APPROVED
            case Verdict.REJECT, ActionState.PROPOSED | ActionState.SECOND_NEEDED:
                state = ActionState.REJECTED
            case Verdict.REVERSE, ActionState.APPROVED:
                state = ActionState.REVERSED
            case _:
                raise refusals.action_state_wrong(self.state.name)
        return replace(self, state=state, decisions=(*self.decisions, decision))

    def approved_until(self, end_time: datetime | None, appeal_until: datetime) -> Action:
        """The action with the days that run from its approval."""
        return replace(self, end_time=end_time, appeal_until=appeal_until)

    def in_effect(self, now: datetime) -> Action:
        """The action once it holds."""
        return self if self.effect_time else replace(self, effect_time=now)

    def expired(self) -> Action:
        """The action once it is over by itself."""
        return replace(self, state=ActionState.EXPIRED)

    def appealed(self, text: str, now: datetime) -> Action:
        """The action with an appeal.

        Raises:
            Refusal: LEAK_APPEAL_IMPOSSIBLE.
        """
        if self.appeal_time is not None and self.appeal_text == text:
            return self
        standing = self.state is ActionState.APPROVED and self.appeal_until is not None and now <= self.appeal_until
        if not standing or self.appeal_time is not None:
            raise refusals.appeal_impossible(self.action_id)
        return replace(self, appeal_text=text, appeal_time=now)

    def appeal_decided(self, actor: str, comment: str, now: datetime, *, uphold: bool) -> Action:
        """The action once its appeal is decided; one that is upheld takes it back.

        Raises:
            Refusal: LEAK_APPEAL_IMPOSSIBLE, LEAK_SECOND_PERSON_NEEDED.
        """
        if self.appeal_time is None or self.appeal_decide_time is not None:
            raise refusals.appeal_impossible(self.action_id)
        if actor in self.approvers:
            raise refusals.second_person_needed(self.action_id)
        told = replace(self, appeal_upheld=uphold, appeal_comment=comment, appeal_actor=actor, appeal_decide_time=now)
        if uphold and self.state is ActionState.APPROVED:
            return told.decided(Decision(Verdict.REVERSE, actor, comment, now))
        return told
