"""Finds the facts that a decision may look at, in the service's own tables: what others announced, and what was set here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.kit.database import Tx
from services.policy.decision import messages, people, store, tiers
from services.policy.decision.facts import Device, Facts, Kind, Place, Standing, Viewer
from services.policy.decision.rules import RuleKind, RuleSet
from services.policy.decision.territories import Territories, read_address
from services.policy.domain import SILENT_AFTER, Session, Wanted
from services.policy.revocations.store import Target, standing
from services.policy.signals.store import risk_of, sign_in_of
from services.policy.store import packages as packages_table
from services.policy.store import sessions

_VIEWER_LOCK: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('streams:' || :organisation_id || ':' || :viewer_id, 0))"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is decided about.

    Attributes:
        organisation_id: owner of the asset.
        asset_id: the asset.
        wanted: who wants it, and how.
        session: None where none is open yet.
    """

    organisation_id: str
    asset_id: str
    wanted: Wanted
    session: Session | None = None

    @classmethod
    def of(cls, session: Session) -> Subject:
        """A session that is open."""
        wanted = Wanted(
            viewer_id=session.viewer_id,
            device_id=session.device_id,
            profile_id=session.profile_id,
            download=session.download,
        )
        return cls(session.organisation_id, session.asset_id, wanted, session)

    @property
    def kind(self) -> Kind:
        """What it means to open it."""
        return Kind.DOWNLOAD if self.wanted.download else Kind.PLAYBACK


class Gathering:
    """Gathers facts.

    Args:
        territories: tells where an address is.
    """

    def __init__(self, territories: Territories) -> None:
        self._territories = territories

    async def rules(self, tx: Tx, organisation_id: str) -> RuleSet:
        """The rules that decide for an organisation now."""
        return messages.unpacked(await store.rules_of(tx, organisation_id))

    async def facts(self, tx: Tx, subject: Subject, rules: RuleSet, now: datetime) -> Facts:
        """All that is known about a subject. Where streams are limited the viewer is locked until the transaction ends, so that of two
        that start at the same time one sees the other."""
        wanted, session = subject.wanted, subject.session
        terms, _ = await store.terms_of(tx, subject.asset_id)
        viewer = await self._viewer(tx, subject, now)
        facts = Facts(
            now=now,
            asset_id=subject.asset_id,
            session_id=session.session_id if session else "",
            terms=terms,
            consent=await store.consent_of(tx, subject.asset_id),
            standing=Standing(
                revoked=session is not None and session.revoke_time is not None,
                expire_time=session.expire_time if session else None,
                barred=await self._barred(tx, subject),
            ),
            viewer=viewer,
            device=await self._device(tx, subject),
            place=self.place(wanted.address, session.territory if session else ""),
            counted_on=session.entitlement_id if session else "",
        )
        concurrency = rules.rule(RuleKind.CONCURRENCY)
        if concurrency is not None and concurrency.streams(viewer.tier) is not None and not wanted.download:
            facts = replace(facts, streams=await self._streams(tx, subject, now))
        return facts

    def place(self, address: str, territory: str = "") -> Place:
        """Where somebody is: where the address is, or where the session was opened."""
        read = read_address(address) if address else None
        return Place(read, self._territories.of(read) or territory or None)

    async def _barred(self, tx: Tx, subject: Subject) -> str:
        # Of the package that is played, or that would be: one whose keys were changed says nothing about its successor.
        played = sa.select(packages_table.c.key_ids).where(
            packages_table.c.asset_id == subject.asset_id, packages_table.c.organisation_id == subject.organisation_id
        )
        if subject.session is not None:
            played = played.where(packages_table.c.package_id == subject.session.package_id)
        newest = played.order_by(packages_table.c.publish_time.desc(), packages_table.c.package_id.desc()).limit(1)
        asked: dict[Target, list[str]] = {
            Target.ASSET: [subject.asset_id],
            Target.KEY: list((await tx.execute(newest)).scalar_one_or_none() or ()),
        }
        if subject.wanted.viewer_id:
            asked[Target.VIEWER] = [subject.wanted.viewer_id]
        if subject.wanted.device_id:
            asked[Target.DEVICE] = [subject.wanted.device_id]
        return await standing(tx, subject.organisation_id, asked)

    async def _viewer(self, tx: Tx, subject: Subject, now: datetime) -> Viewer:
        viewer_id, organisation_id = subject.wanted.viewer_id, subject.organisation_id
        if not viewer_id:
            session_id = subject.session.session_id if subject.session else ""
            found = await risk_of(tx, organisation_id, session_id) if session_id else None
            return Viewer(risk=found.at(now) if found else 0)
        risk = await risk_of(tx, organisation_id, viewer_id)
        sign_ins = [subject.wanted.sign_in_time, await sign_in_of(tx, viewer_id)]
        account = await store.account(tx, viewer_id)
        return Viewer(
            viewer_id=viewer_id,
            tier=await tiers.tier_of(tx, organisation_id, viewer_id, now) or (account.tier if account else None),
            locked=account.locked if account else None,
            entitlements=await store.entitlements_of(tx, organisation_id, viewer_id, subject.asset_id),
            age_proof=await store.age_proof_of(tx, organisation_id, viewer_id),
            maturity=await self._limit(tx, subject),
            risk=risk.at(now) if risk else 0,
            sign_in_time=max((moment for moment in sign_ins if moment is not None), default=None),
        )

    async def _device(self, tx: Tx, subject: Subject) -> Device:
        """What identity says of the device. One that belongs to somebody else than the viewer is not registered for them."""
        device_id, viewer_id = subject.wanted.device_id, subject.wanted.viewer_id
        if not device_id:
            return Device()
        known = await people.device(tx, device_id, kept=subject.session is None)
        if known is None:
            return Device(device_id)
        return Device(device_id, revoked=known.revoked, registered=viewer_id in {"", known.account_id})

    async def _limit(self, tx: Tx, subject: Subject) -> int | None:
        """Limit of the profile that was chosen; None when none was."""
        profile_id, viewer_id = subject.wanted.profile_id, subject.wanted.viewer_id
        return await people.limit(tx, profile_id, viewer_id, kept=subject.session is None) if profile_id else None

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
