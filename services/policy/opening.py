"""Opens playbacks: decides, keeps the decision, and opens a session if it may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

import grpc
import sqlalchemy as sa
from reelmesh.policy.v1 import policy_pb2

from services.kit import events, telemetry
from services.kit.clock import Clock
from services.kit.database import Tx, after_commit
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.policy import refusals, store
from services.policy.announcements import creation, use
from services.policy.decision.engine import Decision, decide, latest_end
from services.policy.decision.entitling import lasts_until, taken_by
from services.policy.decision.facts import Entitlement, Facts, Viewer
from services.policy.decision.found import Subject
from services.policy.decision.gathering import Gathering
from services.policy.decision.record import Record
from services.policy.decision.rules import RuleKind, RuleSet
from services.policy.decision.store import add_decisions, take_play
from services.policy.domain import SILENT_AFTER, Package, Session, Wanted
from services.policy.judge import Known
from services.policy.revocations.store import while_opening
from services.policy.signals.watching import Watch

OF_TITLES: Final = frozenset(
    {RuleKind.STANDING, RuleKind.WINDOW, RuleKind.TERRITORY, RuleKind.CONSENT, RuleKind.AGE, RuleKind.MATURITY}
)
"""Rules that say something about a title without somebody who watches it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with what it plays."""

    session: Session
    package: Package
    title: str
    overlay: policy_pb2.Overlay | None = None


@dataclass(frozen=True, slots=True)
class _Play:
    """A play that was taken: the entitlement after it, and when its first one began."""

    entitlement: Entitlement
    begin_time: datetime


class Opening:
    """Opens playbacks."""

    def __init__(self, clock: Clock, known: Known, gathering: Gathering, watch: Watch) -> None:
        self._watch = watch
        self._clock = clock
        self._known = known
        self._gathering = gathering

    async def opened(self, tx: Tx, organisation_id: str, asset_id: str, wanted: Wanted) -> Opened | Refusal:
        """Opens a session on an asset's newest package. A refusal is returned, not raised: the decision is kept, so the caller commits
        before it refuses.

        Raises:
            Refusal: ASSET_NOT_PLAYABLE or ASSET_WITHDRAWN, about which nothing is kept.
        """
        package = await store.newest_package(tx, organisation_id, asset_id)
        title = await store.title_of(tx, asset_id)
        # The edge may have heard of a deletion before it is in the database: what one refuses the other must not open.
        if self._known.is_withdrawn(asset_id):
            raise refusals.asset_withdrawn(asset_id, grpc.StatusCode.FAILED_PRECONDITION)
        await while_opening(tx, organisation_id, viewer_id=wanted.viewer_id, device_id=wanted.device_id)
        subject, now = Subject(organisation_id, asset_id, wanted), self._clock.now()
        rules, facts, decision, play = await self._decided_and_taken(tx, subject, now)
        session = Session.opened(
            package,
            wanted,
            now,
            until=_until(facts, play, now + wanted.lifetime),
            territory=facts.place.territory or "",
        )
        await self._keep(tx, decision, facts, organisation_id, session.session_id if decision.allowed else "")
        if decision.refusal:
            return decision.refusal
        if play is not None:
            session = replace(session, entitlement_id=play.entitlement.entitlement_id)
            await events.announce(tx, use(session, play.entitlement.plays, play.begin_time))
        await store.add(tx, session)
        if limits_streams(rules, facts):
            await self._displace(tx, session, now)
        await events.announce(tx, creation(session))
        after_commit(tx, lambda: self._known.publish(package))
        after_commit(tx, partial(self._watch.asked, subject.kind, session, facts.place))
        return Opened(session, package, title)

    async def decided(self, tx: Tx, subject: Subject, now: datetime) -> tuple[RuleSet, Facts, Decision]:
        """What would be decided about opening a playback now."""
        rules = await self._gathering.rules(tx, subject.organisation_id)
        facts = await self._gathering.facts(tx, subject, rules, now)
        return rules, facts, decide(rules, subject.kind, facts)

    async def availability(
        self, tx: Tx, subject: Subject, territory: str, now: datetime, maturity: int | None
    ) -> tuple[Facts, Decision]:
        """What would be decided in a territory at a moment for who has bought it and proved nothing; `maturity`: limit of their profile."""
        rules = await self._gathering.rules(tx, subject.organisation_id)
        facts = await self._gathering.in_a_place(tx, subject, territory, now)
        facts = replace(facts, viewer=Viewer(maturity=maturity))
        asked = RuleSet(rules.version, tuple(rule for rule in rules.rules if rule.kind in OF_TITLES))
        return facts, decide(asked, subject.kind, facts)

    async def _decided_and_taken(
        self, tx: Tx, subject: Subject, now: datetime
    ) -> tuple[RuleSet, Facts, Decision, _Play | None]:
        """Decides, and takes a play where the decision rests on a limited entitlement. Whoever finds that somebody else took the last one
        decides anew: each time an entitlement fewer is good."""
        while True:
            rules, facts, decision = await self.decided(tx, subject, now)
            one = taken_by(rules, subject.kind, facts, now + subject.wanted.lifetime) if decision.allowed else None
            if one is None:
                return rules, facts, decision, None
            taken = await take_play(tx, one.entitlement_id, now)
            if taken is not None:
                plays, begin_time = taken
                return rules, facts, decision, _Play(replace(one, plays=plays, begin_time=begin_time), begin_time)

    async def _keep(self, tx: Tx, decision: Decision, facts: Facts, organisation_id: str, session_id: str) -> None:
        record = Record.of(
            decision,
            facts,
            decision_id=new_id("dec"),
            organisation_id=organisation_id,
            session_id=session_id,
            correlation_id=telemetry.correlation_id(),
        )
        await add_decisions(tx, [record])

    async def _displace(self, tx: Tx, session: Session, now: datetime) -> None:
        for silent in await displaced(tx, session, now):
            after_commit(tx, partial(self._known.displace, silent.session_id, silent.expire_time.timestamp()))


def _until(facts: Facts, play: _Play | None, wanted: datetime) -> datetime:
    """When a playback has to end: of a play, no later than the window that it is within, which another one may have begun meanwhile."""
    end = latest_end(facts, wanted)
    return end if play is None else min(end, lasts_until(play.entitlement, facts.now))


def limits_streams(rules: RuleSet, facts: Facts) -> bool:
    """Whether the viewer's tier has so many streams and no more."""
    rule = rules.rule(RuleKind.CONCURRENCY)
    return rule is not None and bool(facts.viewer.viewer_id) and rule.streams(facts.viewer.tier) is not None


async def displaced(tx: Tx, session: Session, now: datetime) -> Sequence[Session]:
    """Takes their place from the silent streams of a viewer, now that another one has it: else whoever sends no heartbeats would watch on
    any number of screens."""
    table = store.sessions
    statement = (
        sa.update(table)
        .where(
            table.c.organisation_id == session.organisation_id,
            table.c.viewer_id == session.viewer_id,
            table.c.session_id != session.session_id,
            table.c.revoke_time.is_(None),
            table.c.displace_time.is_(None),
            table.c.expire_time > now,
            table.c.beat_time <= now - SILENT_AFTER,
        )
        .values(displace_time=now, change_time=sa.func.now())
        .returning(*store.SESSION)
    )
    return [store.session_of(row) for row in await tx.execute(statement)]
