"""The gate before manifests, licences and keys: the whole decision, made anew at each, from facts that are looked up once and kept.

Segments do not come here. Whoever loses the right to watch loses the session, and the judge refuses what has none.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.policy.decision.engine import decide
from services.policy.decision.facts import Facts, Kind, Standing
from services.policy.decision.found import Subject
from services.policy.decision.gathering import Gathering
from services.policy.decision.record import Record
from services.policy.decision.recorder import Recorder
from services.policy.decision.rules import RuleSet
from services.policy.domain import Session, Wanted
from services.policy.looking import LookUps, Seen
from services.policy.signals.watching import Watch

_KEPT: Final = 20_000
_KEPT_FOR: Final = 30.0
"""Seconds. Only a backstop: a change that takes somebody's right away ends their sessions, of which every replica hears at once."""


@dataclass(frozen=True, slots=True)
class _Known:
    seen: Seen
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
        self._look_ups = LookUps(database, clock, gathering, keep=self._keep)
        self._shown: OrderedDict[str, _Shown] = OrderedDict()

    def forget(self, session_id: str) -> None:
        """Something about a session changed: it is looked up again."""
        self._known.pop(session_id, None)
        self._look_ups.forget(session_id)

    def forget_all(self) -> None:
        """Something about rules or terms changed."""
        self._known.clear()
        self._look_ups.forget_all()
        self._shown.clear()

    def knows(self, session_id: str) -> bool:
        """Whether a session needs not be looked up."""
        known = self._known.get(session_id)
        return known is not None and time.monotonic() < known.until

    def expect(self, session: Session) -> None:
        """A session was just opened, and is committed: it is looked up before its player asks for anything.

        What its opening saw is not taken for what a look would see. A change that was committed between the two had this session not before
        it, and so ended it not; whoever looks now sees that change, or is told to forget by the next.
        """
        if not self.knows(session.session_id):
            self._look_ups.ask(session.organisation_id, session.session_id)

    async def until_stopped(self) -> None:
        """Waits to be cancelled, then leaves nothing behind."""
        await self._look_ups.until_stopped()

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
        seen, now = known.seen, self._clock.now()
        place = self._gathering.place(address, seen.session.territory)
        if address:
            self._watch.asked(kind, seen.session, place, user_agent)
        facts = replace(seen.facts, now=now, place=place, standing=Standing(expire_time=seen.session.expire_time))
        decision = decide(seen.rules, kind, facts)
        if decision.refusal is None:
            return seen.session
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
        """What is known of a session; None while the database is away, when the judge alone decides, for as long as it may.

        Raises:
            Refusal: SESSION_NOT_FOUND.
        """
        answer = await asyncio.shield(self._look_ups.ask(organisation_id, session_id))
        match answer:
            case Refusal():
                raise answer
            case None:
                stale = self._known.get(session_id)
                return stale and replace(stale, until=time.monotonic() + 1)
            case _:
                return _Known(answer, time.monotonic() + _KEPT_FOR)

    def _keep(self, seen: Seen) -> None:
        session_id = seen.session.session_id
        self._known[session_id] = _Known(seen, time.monotonic() + _KEPT_FOR)
        self._known.move_to_end(session_id)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
