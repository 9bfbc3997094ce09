"""The gate before manifests, licences and keys: the whole decision, made anew at each, from facts that are looked up once and kept.

Segments do not come here. Whoever loses the right to watch loses the session, and the judge refuses what has none.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.server import as_refusal
from services.policy import store
from services.policy.decision.engine import decide
from services.policy.decision.facts import Facts, Kind, Standing
from services.policy.decision.gathering import Gathering, Subject
from services.policy.decision.record import Record
from services.policy.decision.recorder import Recorder
from services.policy.decision.rules import RuleSet
from services.policy.domain import Session, Wanted
from services.policy.signals.watching import Watch

log = structlog.stdlib.get_logger()

_KEPT: Final = 20_000
_KEPT_FOR: Final = 30.0
"""Seconds. Only a backstop: a change that takes somebody's right away ends their sessions, of which every replica hears at once."""


@dataclass(frozen=True, slots=True)
class _Known:
    session: Session
    facts: Facts
    rules: RuleSet
    until: float


@dataclass(frozen=True, slots=True)
class _Shown:
    facts: Facts
    rules: RuleSet
    until: float


class Gate:
    """Decides about sessions that are open, and about previews, which need none."""

    def __init__(
        self, database: Database, clock: Clock, *, gathering: Gathering, recorder: Recorder, watch: Watch
    ) -> None:
        self._database = database
        self._watch = watch
        self._clock = clock
        self._gathering = gathering
        self._recorder = recorder
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._looking: dict[str, asyncio.Task[_Known | None]] = {}
        self._shown: OrderedDict[str, _Shown] = OrderedDict()

    def forget(self, session_id: str) -> None:
        """Something about a session changed: it is looked up again."""
        self._known.pop(session_id, None)
        self._looking.pop(session_id, None)  # what is being read may be from before the change

    def forget_all(self) -> None:
        """Something about rules or terms changed."""
        self._known.clear()
        self._looking.clear()
        self._shown.clear()

    def knows(self, session_id: str) -> bool:
        """Whether a session needs not be looked up."""
        known = self._known.get(session_id)
        return known is not None and time.monotonic() < known.until

    async def admit(
        self, kind: Kind, organisation_id: str, session_id: str, *, address: str = "", user_agent: str = ""
    ) -> Session | None:
        """Goes on when the rules let the session through. Returns the session; None while it cannot be looked up.

        Args:
            kind: what is asked for.
            organisation_id: owner of the session, as its ticket says.
            session_id: the session, which the judge let through.
            address: IP address of who asks; empty where it is not known, as between services.
            user_agent: what the player says of itself.

        Raises:
            Refusal: of the first rule that refuses.
        """
        known = self._known.get(session_id)
        if known is None or time.monotonic() >= known.until:
            looked_up = await self._looked_up(organisation_id, session_id)
            if looked_up is None:
                return None
            known = looked_up
        now = self._clock.now()
        place = self._gathering.place(address, known.session.territory)
        if address:
            self._watch.asked(kind, known.session, place, user_agent)
        facts = replace(known.facts, now=now, place=place, standing=Standing(expire_time=known.session.expire_time))
        decision = decide(known.rules, kind, facts)
        if decision.refusal is None:
            return known.session
        self._recorder.note(
            Record.of(
                decision,
                facts,
                decision_id=new_id("dec"),
                organisation_id=organisation_id,
                session_id=session_id,
                correlation_id=telemetry.correlation_id(),
            )
        )
        raise decision.refusal

    async def show(self, organisation_id: str, asset_id: str, address: str) -> None:
        """Goes on when the rules let a preview of an asset be seen.

        Raises:
            Refusal: of the first rule that refuses; UNAVAILABLE while the database is away and the asset is not known by heart.
        """
        known = self._shown.get(asset_id)
        if known is None or time.monotonic() >= known.until:
            subject, now = Subject(organisation_id, asset_id, Wanted()), self._clock.now()
            async with self._database.transaction() as tx:
                rules = await self._gathering.rules(tx, organisation_id)
                facts = await self._gathering.facts(tx, subject, rules, now)
            known = self._shown[asset_id] = _Shown(facts, rules, time.monotonic() + _KEPT_FOR)
            if len(self._shown) > _KEPT:
                self._shown.popitem(last=False)
        facts = replace(known.facts, now=self._clock.now(), place=self._gathering.place(address))
        decide(known.rules, Kind.PREVIEW, facts).required()

    async def _looked_up(self, organisation_id: str, session_id: str) -> _Known | None:
        """As `_look`, once for all who ask for it at the same time."""
        looking = self._looking.get(session_id)
        if looking is None:
            looking = self._looking[session_id] = asyncio.create_task(self._look(organisation_id, session_id))
            looking.add_done_callback(partial(self._looked, session_id))
        return await asyncio.shield(looking)

    def _looked(self, session_id: str, done: asyncio.Task[_Known | None]) -> None:
        if self._looking.get(session_id) is done:
            del self._looking[session_id]
        if not done.cancelled():
            done.exception()  # seen: whoever waited for it may be gone

    async def _look(self, organisation_id: str, session_id: str) -> _Known | None:
        """What is known of a session; None while the database is away, when the judge alone decides, for as long as it may."""
        try:
            async with self._database.transaction() as tx:
                session = await store.get(tx, organisation_id, session_id)
                rules = await self._gathering.rules(tx, organisation_id)
                facts = await self._gathering.facts(tx, Subject.of(session), rules, self._clock.now())
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is None or refusal.reason != "DEPENDENCY_UNAVAILABLE":
                raise
            log.warning("the database is away: open sessions go on", session_id=session_id)
            stale = self._known.get(session_id)
            return stale and replace(stale, until=time.monotonic() + 1)
        # A session that is silent has still its place until another one takes it; then the judge refuses it.
        known = _Known(session, replace(facts, streams=0), rules, time.monotonic() + _KEPT_FOR)
        self._known[session_id] = known
        self._known.move_to_end(session_id)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return known
