"""Watches what is asked for, off the hot path: a request is noted in memory, and what was found is written a batch at a time, with the score
that it makes and what follows from that. What is lost when the process is killed is a second of findings."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from reelmesh.policy.v1 import events_pb2

from services.kit import events, telemetry
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.policy import store as sessions_store
from services.policy.announcements import revocation
from services.policy.decision.facts import Kind, Place
from services.policy.decision.gathering import Gathering
from services.policy.decision.rules import Rule, RuleKind
from services.policy.decision.territories import Territories
from services.policy.domain import Session
from services.policy.judge import Known
from services.policy.objections import objects_to_profiling
from services.policy.signals import store
from services.policy.signals.announcements import announcement
from services.policy.signals.findings import Finding
from services.policy.signals.kinds import SignalKind
from services.policy.signals.score import NEVER, Action, Risk, acted
from services.policy.signals.windows import Asked, Observation, Windows

log = structlog.stdlib.get_logger()

_WRITTEN_EVERY: Final = 0.5
_MOST_WAITING: Final = 5_000
_ONLY_KEPT: Final = replace(
    Rule.plain(RuleKind.RISK), warn_from=NEVER, step_up_from=NEVER, throttle_from=NEVER, refused_from=NEVER
)
"""For an organisation that asks for no rule RISK."""
_ASKED: Final = {
    Kind.PLAYBACK: Asked.PLAYBACK,
    Kind.DOWNLOAD: Asked.PLAYBACK,
    Kind.MANIFEST: Asked.MANIFEST,
    Kind.LICENCE: Asked.KEYS,
}


@dataclass(frozen=True, slots=True)
class _Found:
    """A finding that is not written yet; `viewer_id` is empty when only the session is known."""

    finding: Finding
    organisation_id: str
    session_id: str
    viewer_id: str
    moment: datetime


class Watch:
    """Notes requests, and acts on what it finds.

    Args:
        look: looks into the database for what must be known by heart.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        known: Known,
        *,
        gathering: Gathering,
        territories: Territories,
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._known = known
        self._gathering = gathering
        self._territories = territories
        self._look = look
        self._windows = Windows()
        self._waiting: list[_Found] = []
        self._forget_facts: Callable[[], None] = lambda: None

    def when_changed(self, forget: Callable[[], None]) -> None:
        """Calls `forget` whenever a score was set back."""
        self._forget_facts = forget

    async def listen(self, bus: NatsClient) -> None:
        """Hears from other replicas whose score was set back."""
        await bus.subscribe(events_pb2.ViewerRiskCleared.DESCRIPTOR.full_name, cb=self._cleared)

    def asked(self, kind: Kind, session: Session, place: Place, user_agent: str = "") -> None:
        """Somebody asks for something of a session."""
        asked = _ASKED.get(kind)
        if asked is None:
            return
        now = self._clock.now()
        one = Observation(
            asked,
            session.organisation_id,
            session.viewer_id or session.session_id,
            session.session_id,
            session.asset_id,
            now,
            network=network_of(place.address),
            point=self._territories.point(place.address),
            territory=place.territory or "",
            device=session.device_id or _digest(user_agent),
        )
        for finding in self._windows.observe(one):
            self._note(_Found(finding, one.organisation_id, one.session_id, one.viewer_id, now))

    def segment(self, organisation_id: str, session_id: str) -> None:
        """Somebody asks for a segment of a session at `policy`."""
        now = self._clock.now()
        finding = self._windows.segment(session_id, now)
        if finding is not None:
            self._note(_Found(finding, organisation_id, session_id, "", now))

    def tampered(self, organisation_id: str, session_id: str) -> None:
        """The page that plays a session says that its overlay was removed or hidden."""
        now = self._clock.now()
        finding = self._windows.tampered(session_id, now)
        if finding is not None:
            self._note(_Found(finding, organisation_id, session_id, "", now))

    def forget(self, organisation_id: str, viewer_id: str) -> None:
        """The score of a viewer was set back: what they did until now counts no longer."""
        self._windows.forget(organisation_id, viewer_id)
        self._forget_facts()

    async def run(self) -> None:
        """Writes what was found, until cancelled. Trouble is waited out."""
        while True:
            await asyncio.sleep(_WRITTEN_EVERY)
            try:
                await self.write()
            except Exception as error:  # the database may be away for a moment
                log.warning("signals put off", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])

    async def write(self) -> None:
        """Writes what was found since the last time, and acts on it."""
        throttled = False
        while self._waiting:
            first = self._waiting[0]
            same = [one for one in self._waiting if one.session_id == first.session_id]
            async with self._database.transaction() as tx:
                throttled |= Action.THROTTLE in await self._written(tx, same)
            self._waiting = [one for one in self._waiting if one not in same]
        if throttled:
            await self._look()

    def _note(self, found: _Found) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(found)

    async def _written(self, tx: Tx, found: Sequence[_Found]) -> Sequence[Action]:
        """Keeps what was found in one session, and returns what begins to be done about it."""
        organisation_id, session_id = found[0].organisation_id, found[0].session_id
        viewer_id = await self._viewer_of(tx, found)
        if await objects_to_profiling(tx, organisation_id, viewer_id):
            return ()
        rules = await self._gathering.rules(tx, organisation_id)
        rule, now = rules.rule(RuleKind.RISK) or _ONLY_KEPT, self._clock.now()
        signals = [
            _signal(one, viewer_id, weight) for one in found if (weight := rule.weight(SignalKind(one.finding.kind)))
        ]
        if not signals:
            return ()
        await store.add(tx, signals)
        half_life = rule.half_life.total_seconds()
        before = await store.locked_risk(tx, organisation_id, viewer_id)
        risk = before or Risk(organisation_id, viewer_id, 0.0, now, half_life)
        for signal in signals:
            risk = risk.added(signal.weight, now, rule.half_life)
        after, begun = acted(rule, before.at(now) if before else 0, risk, now)
        await store.put_risk(tx, after)
        why = "; ".join(signal.explanation for signal in signals)
        log.info("unusual activity", session_id=session_id, score=after.at(now), why=why)
        ended = await self._ended(tx, after, why, now) if after.at(now) >= rule.refused_from else 0
        for action in begun:
            await events.announce(tx, announcement(action, after, why, now, ended))
        return begun

    @staticmethod
    async def _viewer_of(tx: Tx, found: Sequence[_Found]) -> str:
        named = next((one.viewer_id for one in found if one.viewer_id), "")
        if named:
            return named
        try:
            session = await sessions_store.get(tx, found[0].organisation_id, found[0].session_id)
        except Refusal:  # its ticket was good, so it was there once
            return found[0].session_id
        return session.viewer_id or session.session_id

    async def _ended(self, tx: Tx, risk: Risk, why: str, now: datetime) -> int:
        comment = f"unusual activity, score {risk.at(now)}: {why}"[:500]
        ended = await store.end_sessions(tx, risk.organisation_id, risk.viewer_id, now, comment)
        for session in ended:
            await events.announce(tx, revocation(session))
            after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))
        return len(ended)

    async def _cleared(self, message: Msg) -> None:
        event = events_pb2.ViewerRiskCleared.FromString(message.data)
        self.forget(event.organisation_id, event.viewer_id)


def network_of(address: IPv4Address | IPv6Address | None) -> str:
    """The network that an address is counted by, /24 or /48; empty for none."""
    if address is None:
        return ""
    kept = 24 if address.version == 4 else 48
    beyond = address.max_prefixlen - kept
    # `ip_network` takes four times as long, and this is asked for each manifest.
    return f"{type(address)(int(address) >> beyond << beyond)}/{kept}"


def _digest(user_agent: str) -> str:
    return hashlib.sha256(user_agent.encode()).hexdigest()[:16] if user_agent else ""


def _signal(one: _Found, viewer_id: str, weight: int) -> store.Signal:
    return store.Signal(
        signal_id=new_id("sig"),
        organisation_id=one.organisation_id,
        viewer_id=viewer_id,
        session_id=one.session_id,
        kind=int(one.finding.kind),
        weight=weight,
        explanation=one.finding.explanation,
        facts=one.finding.facts,
        observe_time=one.moment,
    )
