"""Rules of leak cases, tried with whatever may come: nobody is hit without evidence, without people who decide, or for ever without a way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import ValidationError

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.protection.leaks import takedowns
from services.protection.leaks.domain import (
    Action,
    ActionKind,
    ActionState,
    Case,
    CaseState,
    Decision,
    Evidence,
    EvidenceKind,
    Source,
    Verdict,
)
from services.protection.leaks.platforms import Platforms
from services.protection.leaks.proposing import proposals, suspects, unnamed
from services.protection.leaks.rules import RuleBook
from services.protection.leaks.takedowns import Carrier, Counter, Kind, Takedown
from services.protection.leaks.wording import UNSIGNED, Notifier, worded
from tests.support.examples import fuzzed

Made = TypeVar("Made")
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
RULES = RuleBook.read().at(NOW)
ANN, BOB, EVE = "user/ann", "user/bob", "user/eve"
CASE = Case("lkc_1", "org_1", "", "https://video.example/1", "video.example", NOW, Source.PERSON, ANN, "", NOW)

bounds = st.one_of(st.floats(), st.sampled_from([0.0, 1e-300, 1e-9, 1.1e-9, 1e-6, 1.0001e-6, 1.0, -1.0]))
a_suspect = st.fixed_dictionaries(
    {},
    optional={
        "session_id": st.sampled_from(["", "pbs_1", "pbs_2"]),
        "viewer_id": st.sampled_from(["", "ann"]),
        "false_positive": bounds,
    },
)
a_finding = st.fixed_dictionaries(
    {},
    optional={
        "outcome": st.sampled_from(
            ["OUTCOME_ACCUSED", "OUTCOME_NOBODY_ACCUSED", "OUTCOME_NOT_ENOUGH_EVIDENCE", "OUTCOME_TITLE_NOT_FOUND", "?"]
        ),
        "suspects": st.lists(a_suspect, max_size=4),
    },
)


@fuzzed(100)
@given(a_finding, st.integers(0, 5))
def test_only_an_accusation_that_is_good_enough_leads_to_proposals(finding: dict[str, Any], earlier: int) -> None:
    found = suspects(finding, RULES)
    made = proposals(CASE, found, {"ann": earlier}, RULES, NOW)
    if finding.get("outcome") != "OUTCOME_ACCUSED":
        assert not made
    assert bool(made) == bool(found)
    if not found:
        assert unnamed(finding, RULES)
    for action in made:
        assert action.state is ActionState.PROPOSED
        assert 0 < action.false_positive <= RULES.accusation.proposed_up_to
        assert action.session_id
        assert action.explanation
        assert action.viewer_id or action.kind is ActionKind.REVOKE_SESSION
        assert action.strike == (earlier + 1 if action.viewer_id else 1)
        assert (action.kind is ActionKind.BLOCK_VIEWER) == bool(action.revocation_id)


def test_the_ladder_grows_with_the_strikes_and_ends_at_its_last_rung() -> None:
    finding = {
        "outcome": "OUTCOME_ACCUSED",
        "suspects": [{"session_id": "s", "viewer_id": "v", "false_positive": 1e-8}],
    }
    found = suspects(finding, RULES)
    kinds = [{one.kind for one in proposals(CASE, found, {"v": earlier}, RULES, NOW)} for earlier in range(4)]
    assert ActionKind.BLOCK_VIEWER not in kinds[0]
    assert all(ActionKind.BLOCK_VIEWER in one for one in kinds[1:])
    assert RULES.block_end(1, NOW) is None
    assert RULES.block_end(2, NOW) == NOW + timedelta(days=30)
    assert RULES.block_end(9, NOW) is None


def an_action(bound: float) -> Action:
    return Action(
        action_id=new_id("lka"),
        case_id="lkc_1",
        organisation_id="org_1",
        kind=ActionKind.BLOCK_VIEWER,
        session_id="pbs_1",
        viewer_id="ann",
        false_positive=bound,
        alone_up_to=RULES.accusation.alone_up_to,
        strike=2,
        explanation="why",
        rules=RULES.version,
        revocation_id="rvk_1",
        create_time=NOW,
    )


def tried(step: Callable[[], Made]) -> tuple[Made | None, str]:
    """What a step makes, or the reason why it is refused."""
    try:
        return step(), ""
    except Refusal as refusal:
        return None, refusal.reason


class ActionMachine(RuleBasedStateMachine):
    """Whatever people do to an action, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.action = an_action(1e-8)
        self.said: set[str] = set()
        self.ended: ActionState | None = None

    @rule(bound=st.sampled_from([1e-300, 1e-9, 1.01e-9, 1e-7, 1e-6, float("nan")]))
    def begin(self, bound: float) -> None:
        self.action, self.said, self.ended = an_action(bound), set(), None

    @rule(verdict=st.sampled_from(list(Verdict)), actor=st.sampled_from([ANN, BOB, EVE]))
    def decide(self, verdict: Verdict, actor: str) -> None:
        before = self.action
        after, reason = tried(lambda: before.decided(Decision(verdict, actor, "", self.now)))
        if after is None:
            assert reason in {"LEAK_ACTION_STATE_WRONG", "LEAK_SECOND_PERSON_NEEDED"}
            return
        if verdict is Verdict.APPROVE:
            self.said.add(actor)
        if after.state is ActionState.APPROVED:
            after = after.approved_until(None, self.now + timedelta(days=RULES.appeals.within_days))
        self.action = after

    @rule(days=st.integers(0, 200), text=st.sampled_from(["not me", "really not me"]))
    def appeal(self, days: int, text: str) -> None:
        self.now += timedelta(days=days)
        before = self.action
        after, reason = tried(lambda: before.appealed(text, self.now))
        self.action = after or before
        if after is None:
            assert reason == "LEAK_APPEAL_IMPOSSIBLE"
            late = before.appeal_until is None or self.now > before.appeal_until
            assert late or before.appeal_time is not None or before.state is not ActionState.APPROVED

    @rule(actor=st.sampled_from([ANN, BOB, EVE]), uphold=st.booleans())
    def decide_appeal(self, actor: str, *, uphold: bool) -> None:
        before = self.action
        after, reason = tried(lambda: before.appeal_decided(actor, "", self.now, uphold=uphold))
        if after is None:
            assert reason in {"LEAK_APPEAL_IMPOSSIBLE", "LEAK_SECOND_PERSON_NEEDED"}
            return
        assert actor not in self.said
        assert not uphold or after.state is not ActionState.APPROVED
        self.action = after

    @invariant()
    def nothing_holds_without_enough_people(self) -> None:
        if self.action.state in (ActionState.APPROVED, ActionState.REVERSED):
            weak = not self.action.false_positive <= RULES.accusation.alone_up_to
            assert len(self.said) >= (2 if weak else 1)
            assert set(self.action.approvers) == self.said

    @invariant()
    def what_is_over_stays_so(self) -> None:
        if self.ended is not None:
            assert self.action.state is self.ended
        if self.action.state in (ActionState.REJECTED, ActionState.REVERSED):
            self.ended = self.action.state


TestActions = ActionMachine.TestCase
TestActions.settings = settings(fuzzed(40), stateful_step_count=12)


def a_takedown(kind: Kind, carrier: Carrier) -> Takedown:
    return Takedown(
        "tkd_1", "lkc_1", "org_1", kind, "video.example", CASE.url, "", "“A film”", carrier, "", "", "", NOW
    )


class TakedownMachine(RuleBasedStateMachine):
    """Whatever happens to a notice, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.notice = a_takedown(Kind.DMCA, Carrier.EMAIL)
        self.signed = 0

    @rule(kind=st.sampled_from(list(Kind)), carrier=st.sampled_from(list(Carrier)))
    def begin(self, kind: Kind, carrier: Carrier) -> None:
        self.notice, self.signed = a_takedown(kind, carrier), 0

    @rule(hours=st.integers(1, 900))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def sign(self) -> None:
        before = self.notice
        after, reason = tried(lambda: before.signed("Ann Holder", f"msg_{self.signed}", ANN, self.now))
        if after is None:
            assert reason == "TAKEDOWN_STATE_WRONG"
            return
        self.notice = after
        self.signed += 1

    @rule(hopeless=st.booleans())
    def fail(self, *, hopeless: bool) -> None:
        if self.notice.next_try_time is not None:
            again = self.now + timedelta(minutes=1)
            self.notice = self.notice.given_up("no", self.now) if hopeless else self.notice.put_off("busy", again)

    @rule(state=st.sampled_from(list(takedowns.State)))
    def record(self, state: takedowns.State) -> None:
        before = self.notice
        counter = None
        if state is takedowns.State.COUNTERED:
            counter = Counter.received("Uploader", "mine", self.now, RULES)
        after, reason = tried(lambda: before.recorded(state, ANN, "", self.now, RULES, counter=counter))
        if after is None:
            assert reason == "TAKEDOWN_STATE_WRONG"
            assert state not in takedowns.NEXT[before.state]
            return
        assert state in takedowns.NEXT[before.state] or state is before.state
        assert state is not takedowns.State.SIGNED
        assert after.check_time is None or after.check_time >= self.now
        if state is takedowns.State.REMOVED and state is not before.state:
            assert after.remove_time == self.now
        self.notice = after

    @invariant()
    def nothing_is_with_a_platform_unsigned(self) -> None:
        unsigned = (takedowns.State.DRAFT, takedowns.State.WITHDRAWN)
        if self.notice.state not in unsigned:
            assert self.signed
            assert self.notice.signature
        if self.notice.send_time is not None:
            assert self.signed

    @invariant()
    def whatever_is_awaited_is_looked_at(self) -> None:
        waiting = {*takedowns.AWAITED, takedowns.State.COUNTERED} - {takedowns.State.REFUSED}
        if self.notice.state in waiting:
            assert self.notice.check_time is not None
        if self.notice.state is takedowns.State.SIGNED:
            assert self.notice.check_time is not None or self.notice.next_try_time is not None
        if not takedowns.NEXT[self.notice.state]:
            assert self.notice.check_time is None

    @invariant()
    def forty_eight_hours_are_kept_count_of(self) -> None:
        if self.notice.kind is Kind.TAKE_IT_DOWN and self.notice.state is takedowns.State.SENT:
            sent = [step.step_time for step in self.notice.steps if step.state is takedowns.State.SENT]
            looks = self.notice.checks
            assert self.notice.due_time == sent[-1 - looks] + timedelta(hours=48)
            assert self.notice.overdue(self.now) == (self.now > self.notice.due_time)


TestTakedowns = TakedownMachine.TestCase
TestTakedowns.settings = settings(fuzzed(40), stateful_step_count=20)


@pytest.mark.parametrize(
    ("received", "first", "last"),
    [
        # Thanksgiving is the 26th of November, Christmas a Friday, New Year's Day a Friday.
        (date(2026, 11, 16), date(2026, 12, 1), date(2026, 12, 7)),
        (date(2026, 12, 18), date(2027, 1, 5), date(2027, 1, 11)),
        # Independence Day 2026 is a Saturday and kept on Friday the 3rd.
        (date(2026, 7, 1), date(2026, 7, 16), date(2026, 7, 22)),
        # New Year's Day 2028 is a Saturday and kept in the year before; Christmas 2027 is one too.
        (date(2027, 12, 20), date(2028, 1, 5), date(2028, 1, 11)),
    ],
)
def test_business_days_of_counter_notices(received: date, first: date, last: date) -> None:
    moment = datetime(received.year, received.month, received.day, 15, tzinfo=UTC)
    counter = Counter.received("Uploader", "", moment, RULES)
    assert (counter.restore_from.date(), counter.restore_by.date()) == (first, last)


@fuzzed(100)
@given(st.dates(date(2025, 1, 1), date(2035, 12, 31)), st.integers(-20, 20))
def test_business_days_are_counted_there_and_back(day: date, many: int) -> None:
    calendar = RULES.calendar
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = calendar.after(start, many)
    between = [min(start, end) + timedelta(days=number) for number in range(abs((end - start).days) + 1)]
    others = [one for one in between if one != start]
    assert sum(calendar.is_business_day(one.date()) for one in others) == abs(many)
    assert not many or calendar.is_business_day(end.date())


def test_a_case_in_which_somebody_was_named_is_not_unnamed_by_a_worse_film() -> None:
    named = CASE.detecting().named("ast_1", "named")
    assert named.detecting().state is CaseState.NAMED
    assert named.unnamed("too short").state is CaseState.NAMED
    assert CASE.unnamed("too short").named("ast_1", "named").state is CaseState.NAMED
    closed = named.closed("", NOW)
    assert closed.named("ast_2", "x") == closed.unnamed("x") == closed.closed("again", NOW) == closed
    with pytest.raises(Refusal, match="LEAK_CASE_CLOSED"):
        closed.open()


NOTIFIER = Notifier(
    "Kinowerk GmbH", "Ann Holder", "Head of legal", "Road 1, 10115 Berlin", "+49 30 1", "legal@kino.example"
)


@pytest.mark.parametrize(
    ("kind", "must"),
    [
        (
            Kind.DMCA,
            ["512(c)(3)", "good faith belief", "under penalty of perjury", "not authorized by the copyright owner"],
        ),
        (Kind.DSA, ["Article 16", "bona fide belief", "exact electronic location", "accurate and complete"]),
        (Kind.TAKE_IT_DOWN, ["48 hours", "good faith belief", "without the consent", "identical copies"]),
    ],
)
def test_notices_say_what_the_law_asks_for(kind: Kind, must: list[str]) -> None:
    piece = Evidence("lke_1", "lkc_1", "org_1", EvidenceKind.FILM, "a", "", 3, "ab" * 32, "", NOW, ANN, NOW)
    draft = worded(kind, CASE, [piece], NOTIFIER, work="“A film” $1", signature="", now=NOW)
    signed = worded(kind, CASE, [piece], NOTIFIER, work="“A film” $1", signature="Ann Holder", now=NOW)
    plain = " ".join(signed.text.split()).lower()
    for words in [*must, CASE.url, "“A film” $1", piece.sha256, "/s/ Ann Holder", *vars_of(NOTIFIER), CASE.case_id]:
        assert words.lower() in plain
    assert UNSIGNED in draft.text
    assert "/s/" not in draft.text
    assert "${" not in signed.text
    assert UNSIGNED not in signed.text


def vars_of(notifier: Notifier) -> list[str]:
    return [
        notifier.rights_holder,
        notifier.signatory,
        notifier.capacity,
        notifier.address,
        notifier.phone,
        notifier.email,
    ]


@pytest.mark.parametrize(
    ("url", "named", "name", "carrier"),
    [
        ("https://www.youtube.com/watch?v=1", "", "youtube", Carrier.FORM),
        ("https://m.youtube.com/1", "", "youtube", Carrier.FORM),
        ("https://t.me/films/7", "", "telegram", Carrier.EMAIL),
        ("https://notyoutube.com/1", "", "notyoutube.com", Carrier.FORM),
        ("https://Pirate.Example:8443/x", "", "pirate.example", Carrier.FORM),
        ("https://pirate.example/x", "youtube", "youtube", Carrier.FORM),
        ("", "a-stall", "a-stall", Carrier.FORM),
        ("http://[::1]/x", "", "1", Carrier.FORM),
        ("https://" + "a" * 200 + ".example/x", "", "a" * 63, Carrier.FORM),
        ("https://münchen.example/x", "", "xn--mnchen-3ya.example", Carrier.FORM),
    ],
)
def test_the_platform_is_told_by_the_host(url: str, named: str, name: str, carrier: Carrier) -> None:
    found = Platforms.read().of(url, named)
    assert (found.name, found.carried_by) == (name, carrier)


def test_lists_and_rules_of_the_operators_are_read_and_wrong_ones_refused(tmp_path: Path) -> None:
    more = tmp_path / "platforms.yaml"
    more.write_text("- {name: youtube, hosts: [youtube.com], carrier: EMAIL, destination: copyright@youtube.example}\n")
    assert Platforms.read(more).of("https://youtube.com/1").carried_by is Carrier.EMAIL
    for wrong in (
        "- {name: a, carrier: EMAIL}",
        "- {name: a, carrier: API, destination: 'http://a.example'}",
        "- {nam: a}",
    ):
        more.write_text(wrong)
        with pytest.raises(ValidationError):
            Platforms.read(more)
    rules = tmp_path / "rules.yaml"
    text = (Path(takedowns.__file__).with_name("rules.yaml")).read_text(encoding="utf-8")
    later = text.replace("2026-11-28", "2027-01-01").replace("expire_after_days: 365", "expire_after_days: 10")
    rules.write_text(text + later)
    book = RuleBook.read(rules)
    assert book.at(NOW).version == "2026-11-28"
    assert book.at(NOW.replace(year=2020)).version == "2026-11-28"
    assert book.at(NOW + timedelta(days=90)).strikes.expire_after_days == 10
    rules.write_text(text.replace("REVOKE_SESSION", "SHOOT"))
    with pytest.raises(ValidationError):
        RuleBook.read(rules)
    with pytest.raises(ValueError, match="at least one"):
        RuleBook([])


def test_an_appeal_is_in_time_to_the_last_moment() -> None:
    decided = an_action(1e-12).decided(Decision(Verdict.APPROVE, ANN, "", NOW)).approved_until(None, NOW)
    assert decided.appealed("not me", NOW).appeal_time == NOW
    with pytest.raises(Refusal, match="LEAK_APPEAL_IMPOSSIBLE"):
        decided.appealed("not me", NOW + timedelta(microseconds=1))
    assert replace(decided, state=ActionState.EXPIRED).expired().state is ActionState.EXPIRED
