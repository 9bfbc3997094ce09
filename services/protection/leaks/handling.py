"""What happens to cases and actions, each within the transaction that it is told in.

What is ordered here is done by others who hear of it: `policy` ends sessions and blocks viewers, `identity` writes to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from reelmesh.protection.v1.events_pb2 import LeakSourceNamed

from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.events import announce, enqueue
from services.kit.ids import new_id
from services.protection import store as marked
from services.protection.domain import Detection, State
from services.protection.leaks import announcements, refusals, store
from services.protection.leaks.domain import (
    OPEN,
    Action,
    ActionKind,
    ActionState,
    Case,
    Decision,
    Evidence,
    EvidenceKind,
    Verdict,
)
from services.protection.leaks.proposing import Suspect, proposals, suspects, unnamed
from services.protection.leaks.rules import RuleBook, Rules
from services.protection.leaks.takedowns import OURSELVES
from services.protection.working import QUEUE

log = structlog.stdlib.get_logger()


class Handling:
    """Moves cases and actions on."""

    def __init__(self, clock: Clock, rules: RuleBook) -> None:
        self._clock = clock
        self._rules = rules

    async def report(self, tx: Tx, case: Case) -> None:
        """Keeps a new case."""
        await store.add_case(tx, case)
        await announce(tx, announcements.reported(case))

    async def preserve(self, tx: Tx, case: Case, evidence: Evidence, *, asset_id: str = "") -> Evidence:
        """Keeps evidence, and begins to look for the session in a film, of which `asset_id` was made when it was uploaded. `case` is locked."""
        if evidence.kind is EvidenceKind.FILM:
            evidence = await self._searched(tx, case, evidence, asset_id)
        await store.add_evidence(tx, evidence)
        await announce(tx, announcements.preserved(evidence))
        return evidence

    async def _searched(self, tx: Tx, case: Case, film: Evidence, asset_id: str) -> Evidence:
        """Begins the search, unless the title that was reported has no watermark to look for."""
        title = case.title_asset_id
        if title and not await marked.marked_titles(tx, title, organisation_id=case.organisation_id):
            why = "the title that was reported is not watermarked, so nobody can be named"
            await store.put_case(tx, case.unnamed(why))
            return film
        now = self._clock.now()
        detection = Detection(
            detection_id=new_id("dtc"),
            organisation_id=case.organisation_id,
            asset_id=asset_id,
            title_asset_id=title,
            object_key=film.object_key,
            filename=film.filename,
            create_time=now,
            ask_time=now,
        )
        await marked.add_detection(tx, detection)
        await enqueue(tx, QUEUE.subject, detection.detection_id.encode())
        await store.put_case(tx, case.detecting())
        return replace(film, detection_id=detection.detection_id)

    async def detection_ended(self, tx: Tx, detection: Detection) -> None:
        """A search ended: its case learns of it in the same transaction, and the rules propose what follows, if anything does."""
        film = await store.evidence_by_detection(tx, detection.detection_id)
        if film is None:
            return
        case = await store.case_of(tx, film.organisation_id, film.case_id, for_update=True)
        now = self._clock.now()
        rules = self._rules.at(now)
        if detection.state is not State.COMPLETED:
            await store.put_case(tx, case.unnamed(f"the search failed: {detection.failure_message}"))
            return
        found = suspects(detection.finding, rules)
        if not found:
            await store.put_case(tx, case.unnamed(unnamed(detection.finding, rules)))
            return
        title = str(detection.finding.get("title_asset_id", ""))
        bound = max(one.false_positive for one in found)
        many = "one session was" if len(found) == 1 else f"{len(found)} sessions were"
        after = case.named(title, f"{many} named; the chance that it was anybody else is at most {bound:.1e}")
        await store.put_case(tx, after)
        for one in found:
            await announce(tx, _named(after, detection.detection_id, one, now))
        if case.close_time is None:
            await self._propose(tx, after, found, rules, now)

    async def _propose(self, tx: Tx, case: Case, found: Sequence[Suspect], rules: Rules, now: datetime) -> None:
        viewers = [one.viewer_id for one in found if one.viewer_id]
        before = await store.strikes_of(tx, case.organisation_id, viewers, now, but_for=case.case_id)
        for action in proposals(case, found, before, rules, now):
            if await store.add_action(tx, action):
                await announce(tx, announcements.changed(action, "", now))

    async def decide(self, tx: Tx, organisation_id: str, action_id: str, decision: Decision) -> Action:
        """Somebody decides of an action.

        Raises:
            Refusal: LEAK_ACTION_NOT_FOUND, LEAK_ACTION_STATE_WRONG, LEAK_SECOND_PERSON_NEEDED, LEAK_CASE_CLOSED.
        """
        before = await store.action_of(tx, organisation_id, action_id)
        after = before.decided(decision)
        if decision.verdict is Verdict.APPROVE:
            (await store.case_of(tx, organisation_id, before.case_id)).open()
        now = decision.decide_time
        if after.state is ActionState.APPROVED:
            rules = self._rules.at(now)
            end = rules.block_end(after.strike, now) if after.kind is ActionKind.BLOCK_VIEWER else None
            after = after.approved_until(end, now + timedelta(days=rules.appeals.within_days))
            if after.viewer_id and after.kind is not ActionKind.NOTIFY_VIEWER:
                expire = now + timedelta(days=rules.strikes.expire_after_days)
                await store.strike(tx, after, now, expire)
            await announce(tx, announcements.ordered(after, now))
            if after.kind is ActionKind.NOTIFY_VIEWER:
                after = after.in_effect(now)  # there is nothing that holds; it is on its way
        return await self._kept(tx, before, after, decision.actor, now)

    async def appeal(self, tx: Tx, account_id: str, action_id: str, text: str) -> Action:
        """Whoever it hit appeals.

        Raises:
            Refusal: LEAK_ACTION_NOT_FOUND, LEAK_APPEAL_IMPOSSIBLE.
        """
        before, now = await store.own_action(tx, account_id, action_id), self._clock.now()
        after = before.appealed(text, now)
        if after is not before:
            await store.put_action(tx, after)
            await announce(tx, announcements.appeal(after, f"user/{account_id}", now))
        return after

    async def decide_appeal(  # all that is decided
        self, tx: Tx, organisation_id: str, action_id: str, actor: str, comment: str, *, uphold: bool
    ) -> Action:
        """An appeal is decided; one that is upheld takes back everything that was done to the viewer in the case.

        Raises:
            Refusal: LEAK_ACTION_NOT_FOUND, LEAK_APPEAL_IMPOSSIBLE, LEAK_SECOND_PERSON_NEEDED.
        """
        before, now = await store.action_of(tx, organisation_id, action_id), self._clock.now()
        after = before.appeal_decided(actor, comment, now, uphold=uphold)
        await announce(tx, announcements.appeal(after, actor, now))
        kept = await self._kept(tx, before, after, actor, now)
        if uphold:
            why = "an appeal in this case was upheld"
            for other in await store.actions_of_case(tx, before.case_id, for_update=True):
                if other.action_id == action_id or other.viewer_id != before.viewer_id:
                    continue
                verdict = Verdict.REJECT if other.state in OPEN else Verdict.REVERSE
                if other.state in OPEN or other.state is ActionState.APPROVED:
                    decision = Decision(verdict, actor, why, now)
                    await self._kept(tx, other, other.decided(decision), actor, now)
            await store.strike_out(tx, before.case_id, before.viewer_id)
        return kept

    async def close(self, tx: Tx, organisation_id: str, case_id: str, actor: str, comment: str) -> Case:
        """Closes a case; what nobody decided is dropped.

        Raises:
            Refusal: LEAK_CASE_NOT_FOUND.
        """
        before, now = await store.case_of(tx, organisation_id, case_id, for_update=True), self._clock.now()
        after = before.closed(comment, now)
        if after is not before:
            await store.put_case(tx, after)
            for action in await store.actions_of_case(tx, case_id, for_update=True):
                if action.state in OPEN:
                    decision = Decision(Verdict.REJECT, actor, "the case was closed", now)
                    await self._kept(tx, action, action.decided(decision), actor, now)
        return after

    async def took_effect(
        self, tx: Tx, organisation_id: str, when: datetime, *, session_id: str = "", revocation_id: str = ""
    ) -> None:
        """The edge's own service announced that a session or a viewer is revoked."""
        for action in await store.waiting_for_effect(
            tx, organisation_id, session_id=session_id, revocation_id=revocation_id
        ):
            await store.put_action(tx, action.in_effect(when))

    async def end_blocks(self, tx: Tx) -> None:
        """Blocks whose end has come are lifted."""
        now = self._clock.now()
        for action in await store.over(tx, now):
            await self._kept(tx, action, action.expired(), OURSELVES, now)
        await store.forget_strikes(tx, now)

    async def _kept(self, tx: Tx, before: Action, after: Action, actor: str, now: datetime) -> Action:
        """Keeps an action, and tells of it."""
        await store.put_action(tx, after)
        if after.state is before.state:
            return after
        await announce(tx, announcements.changed(after, actor, now))
        if after.state in (ActionState.REVERSED, ActionState.EXPIRED):
            await announce(tx, announcements.reversed_(after, actor, now))
        if after.state is ActionState.REVERSED:
            others = await store.actions_of_case(tx, after.case_id)
            if not any(one.viewer_id == after.viewer_id and one.counts for one in others):
                await store.strike_out(tx, after.case_id, after.viewer_id)
        return after


def _named(case: Case, detection_id: str, one: Suspect, now: datetime) -> LeakSourceNamed:
    return LeakSourceNamed(
        case_id=case.case_id,
        organisation_id=case.organisation_id,
        detection_id=detection_id,
        title_asset_id=case.title_asset_id,
        session_id=one.session_id,
        viewer_id=one.viewer_id,
        false_positive=one.false_positive,
        accuse_time=timestamp(now),
    )


def checked_past(field: str, moment: datetime | None, now: datetime) -> datetime:
    """A moment that somebody gives, or now.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID` for one that is still to come.
    """
    if moment is None:
        return now
    if moment > now + timedelta(minutes=5):
        raise refusals.invalid(field, "this is still to come")
    return moment
