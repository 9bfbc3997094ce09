"""Looks sessions up, with all that is known about them, many at a time: whoever asks while others are being looked up is among the next.

At the start of a film thousands ask at once, and each alone would be a dozen queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.server import as_refusal
from services.kit.uncancelled import stopped
from services.policy import refusals, store
from services.policy.decision.facts import Facts
from services.policy.decision.found import Subject
from services.policy.decision.gathering import Gathering
from services.policy.decision.rules import RuleSet
from services.policy.domain import Session

log = structlog.stdlib.get_logger()

_AT_ONCE: Final = 250
"""As many as make the price of a query small beside that of its rows."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A session as it was found.

    Attributes:
        facts: with no other streams. A session that is silent has still its place until another one takes it; then the judge refuses it.
        rules: those of its organisation.
    """

    session: Session
    facts: Facts
    rules: RuleSet


Answer = Seen | Refusal | None
"""What came of a look: the session, why there is none, or nothing while the database is away."""


@dataclass(frozen=True, slots=True)
class _Asked:
    organisation_id: str
    session_id: str
    answer: asyncio.Future[Answer]


class LookUps:
    """Answers what is known of sessions.

    Args:
        keep: is handed each session that was found, unless something about it changed while it was read.
    """

    def __init__(self, database: Database, clock: Clock, gathering: Gathering, *, keep: Callable[[Seen], None]) -> None:
        self._keep = keep
        self._database = database
        self._clock = clock
        self._gathering = gathering
        self._waiting: list[_Asked] = []
        self._by_session: dict[str, asyncio.Future[Answer]] = {}
        self._at_work: asyncio.Task[None] | None = None

    def forget(self, session_id: str) -> None:
        """Something about a session changed: what is being read may be from before that, and is for nobody who asks from now on."""
        self._by_session.pop(session_id, None)

    def forget_all(self) -> None:
        """The same for all sessions."""
        self._by_session.clear()

    def ask(self, organisation_id: str, session_id: str) -> asyncio.Future[Answer]:
        """Looks a session up, once for all who ask at the same time. Whoever waits for it shields it: others may wait for it too."""
        answer = self._by_session.get(session_id)
        if answer is None:
            answer = self._by_session[session_id] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_seen)
            self._waiting.append(_Asked(organisation_id, session_id, answer))
            if self._at_work is None:
                self._at_work = asyncio.create_task(self._work())
        return answer

    async def until_stopped(self) -> None:
        """Waits to be cancelled, then stops what is being looked up: it holds a connection."""
        try:
            await asyncio.Event().wait()
        finally:
            if self._at_work is not None:
                await stopped(self._at_work)

    async def _work(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                await self._answer(asked)
        finally:
            self._at_work = None

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        found: Sequence[Answer | BaseException]
        try:
            found = await self._look(asked)
        except Exception as error:  # a defect: whoever waits hears of it
            found = [error] * len(asked)
        except BaseException as error:
            self._tell(asked, [error] * len(asked))
            raise
        self._tell(asked, found)

    def _tell(self, asked: Sequence[_Asked], found: Sequence[Answer | BaseException]) -> None:
        for one, answer in zip(asked, found, strict=True):
            if self._by_session.get(one.session_id) is one.answer:
                del self._by_session[one.session_id]
                if isinstance(answer, Seen):
                    self._keep(answer)
            if one.answer.done():
                continue
            if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    async def _look(self, asked: Sequence[_Asked]) -> Sequence[Answer]:
        try:
            async with self._database.transaction() as tx:
                sessions = await store.get_all(tx, [one.session_id for one in asked])
                theirs = [_owned(sessions.get(one.session_id), one) for one in asked]
                there = [session for session in theirs if session is not None]
                rules = await self._gathering.rules_of(tx, sorted({session.organisation_id for session in there}))
                subjects = [Subject.of(session) for session in there]
                now = self._clock.now()
                facts = await self._gathering.but_for_streams(tx, subjects, now, streams=0) if subjects else []
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is None or refusal.reason != "DEPENDENCY_UNAVAILABLE":
                raise
            log.warning("the database is away: open sessions go on", sessions=len(asked))
            return [None] * len(asked)
        seen = {
            session.session_id: Seen(session, about, rules[session.organisation_id])
            for session, about in zip(there, facts, strict=True)
        }
        return [
            refusals.session_not_found(one.session_id) if session is None else seen[one.session_id]
            for one, session in zip(asked, theirs, strict=True)
        ]


def _owned(session: Session | None, asked: _Asked) -> Session | None:
    return session if session is not None and session.organisation_id == asked.organisation_id else None


def _seen(answer: asyncio.Future[Answer]) -> None:
    """Whoever waited for it may be gone."""
    if not answer.cancelled():
        answer.exception()
