"""Finds the facts that a decision may look at, in the service's own tables: what others announced, and what was set here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.policy.decision import messages, store
from services.policy.decision.facts import Facts, Place
from services.policy.decision.found import Subject, found_about
from services.policy.decision.jurisdictions import Tables
from services.policy.decision.rules import RuleKind, RuleSet
from services.policy.decision.territories import Territories, read_address
from services.policy.domain import SILENT_AFTER, Session
from services.policy.store import sessions

_VIEWER_LOCK: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('streams:' || :organisation_id || ':' || :viewer_id, 0))"
)


class Gathering:
    """Gathers facts.

    Args:
        territories: tells where an address is.
    """

    def __init__(self, territories: Territories) -> None:
        self._territories = territories
        self._tables = Tables()

    async def rules(self, tx: Tx, organisation_id: str) -> RuleSet:
        """The rules that decide for an organisation now."""
        return messages.unpacked(await store.rules_of(tx, organisation_id))

    async def rules_of(self, tx: Tx, organisation_ids: Sequence[str]) -> Mapping[str, RuleSet]:
        """The same for many organisations."""
        found = await store.active_rules(tx, organisation_ids)
        return {name: messages.unpacked(found.get(name)) for name in organisation_ids}

    async def facts(self, tx: Tx, subject: Subject, rules: RuleSet, now: datetime) -> Facts:
        """All that is known about a subject. Where streams are limited the viewer is locked until the transaction ends, so that of two
        that start at the same time one sees the other."""
        facts = (await self.but_for_streams(tx, [subject], now))[0]
        concurrency = rules.rule(RuleKind.CONCURRENCY)
        if (
            concurrency is not None
            and concurrency.streams(facts.viewer.tier) is not None
            and not subject.wanted.download
        ):
            facts = replace(facts, streams=await self._streams(tx, subject, now))
        return facts

    async def but_for_streams(
        self, tx: Tx, subjects: Sequence[Subject], now: datetime, streams: int | None = None
    ) -> list[Facts]:
        """What is known about each of many subjects, with as many queries as for one. Other streams of their viewers are not counted: there are
        as many as is said."""
        found = await found_about(tx, subjects, self._tables)
        return [found.facts(subject, now, self._place_of(subject), streams) for subject in subjects]

    async def in_a_place(self, tx: Tx, subject: Subject, territory: str, now: datetime) -> Facts:
        """What would be known about a subject if it were in a territory at a moment."""
        found = await found_about(tx, [subject], self._tables)
        return found.facts(subject, now, Place(None, territory))

    def _place_of(self, subject: Subject) -> Place:
        return self.place(subject.wanted.address, subject.session.territory if subject.session else "")

    def place(self, address: str, territory: str = "") -> Place:
        """Where somebody is: where the address is, or where the session was opened."""
        read = read_address(address) if address else None
        return Place(read, self._territories.of(read) or territory or None)

    async def _streams(self, tx: Tx, subject: Subject, now: datetime) -> int:
        """How many other streams of the viewer are alive; 0 for a session that has its place."""
        session, viewer_id = subject.session, subject.wanted.viewer_id
        if session is not None and holds_place(session, now):
            return 0
        key = {"organisation_id": subject.organisation_id, "viewer_id": viewer_id}
        await tx.execute(sa.text(_VIEWER_LOCK), key)
        query = sa.select(sa.func.count()).where(
            sessions.c.organisation_id == subject.organisation_id,
            sessions.c.viewer_id == viewer_id,
            sessions.c.session_id != (session.session_id if session else ""),
            sessions.c.revoke_time.is_(None),
            sessions.c.displace_time.is_(None),
            sessions.c.expire_time > now,
            sessions.c.beat_time > now - SILENT_AFTER,
        )
        return int((await tx.execute(query)).scalar_one())


def holds_place(session: Session, now: datetime) -> bool:
    """Whether a session is one of the streams that its viewer has at a time, or counts as none."""
    if session.displace_time is not None:
        return False
    return session.beat_time is None or session.beat_time > now - SILENT_AFTER
