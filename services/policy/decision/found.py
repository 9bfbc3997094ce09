"""What the service's own tables say about subjects of decisions: each table is asked once, about all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.kit.database import Tx
from services.policy.decision import people, store, tiers
from services.policy.decision.facts import (
    OPEN_TERMS,
    AgeProof,
    Device,
    Entitlement,
    Facts,
    Kind,
    Place,
    Standing,
    Viewer,
)
from services.policy.decision.jurisdictions import Said, Tables
from services.policy.domain import Session, Wanted
from services.policy.holds import NO_HOLD, Hold, holds_on
from services.policy.revocations.store import Barred, Target, barred
from services.policy.signals.score import Risk
from services.policy.signals.store import risks_of, sign_ins_of
from services.policy.store import keys_of_packages, newest_keys

Person = tuple[str, str]
"""A viewer, as an organisation names them: its id, and theirs."""


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

    @property
    def played(self) -> str:
        """What is played: a session's package, or the newest package of an asset."""
        return self.session.package_id if self.session else self.asset_id

    @property
    def person(self) -> Person:
        """Who wants it. Of a viewer who is not named, risk is kept by the session."""
        return self.organisation_id, self.wanted.viewer_id or (self.session.session_id if self.session else "")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        said: of the assets: terms, classifications, and what is asked for by place.
        holds: what notices and leaks do not let be shown, of assets that any does.
        keys: content keys of what is played.
        tiers: that each person is in by subscriptions, the one heard of last first.
        entitlements: of each person, for any of the assets.
        limits: of profiles, by profile and account.
    """

    said: Said
    consents: store.Consents
    holds: Mapping[str, Hold]
    keys: Mapping[str, Sequence[str]]
    barred: Barred
    risks: Mapping[Person, Risk]
    sign_ins: Mapping[str, datetime]
    accounts: Mapping[str, store.KnownAccount]
    tiers: Mapping[Person, Sequence[tiers.SubscribedTier]]
    entitlements: Mapping[Person, Sequence[Entitlement]]
    age_proofs: Mapping[Person, Sequence[AgeProof]]
    devices: Mapping[str, people.KnownDevice]
    limits: Mapping[tuple[str, str], int]

    def facts(self, subject: Subject, now: datetime, place: Place, streams: int | None = None) -> Facts:
        """What of it a decision about one subject may look at; `streams`: how many others of the viewer are running, if that is known."""
        session, terms = subject.session, self.said.terms.get(subject.asset_id, OPEN_TERMS)
        if subject.organisation_id in self.consents.requiring:
            terms = replace(terms, consent_required=True)
        hold = self.holds.get(subject.asset_id, NO_HOLD)
        table = self.said.table(subject.organisation_id)
        return Facts(
            now=now,
            asset_id=subject.asset_id,
            session_id=session.session_id if session else "",
            terms=terms,
            law=table.about(terms.least_age, self.said.classification(subject.asset_id, subject.organisation_id)),
            consent=self.consents.states.get(subject.asset_id),
            standing=Standing(
                revoked=session is not None and session.revoke_time is not None,
                expire_time=session.expire_time if session else None,
                barred=self.barred.first(subject.organisation_id, _things(subject, self.keys.get(subject.played, ()))),
                taken_down=hold.taken_down,
                restricted=hold.territories,
            ),
            viewer=self._viewer(subject, now),
            device=self._device(subject),
            place=place,
            streams=streams,
            counted_on=session.entitlement_id if session else "",
        )

    def _viewer(self, subject: Subject, now: datetime) -> Viewer:
        viewer_id, person = subject.wanted.viewer_id, subject.person
        risk = self.risks.get(person)
        if not viewer_id:
            return Viewer(risk=risk.at(now) if risk else 0)
        sign_ins = [subject.wanted.sign_in_time, self.sign_ins.get(viewer_id)]
        account = self.accounts.get(viewer_id)
        granted = self.entitlements.get(person, ())
        subscribed = [one.tier for one in self.tiers.get(person, ()) if one.end_time > now]
        own = account.tier if account else None
        return Viewer(
            viewer_id=viewer_id,
            tier=subscribed[0] if subscribed else own,
            locked=account.locked if account else None,
            entitlements=tuple(one for one in granted if one.asset_id in {"", subject.asset_id}),
            age_proofs=tuple(self.age_proofs.get(person, ())),
            maturity=self._limit(subject),
            risk=risk.at(now) if risk else 0,
            sign_in_time=max((moment for moment in sign_ins if moment is not None), default=None),
        )

    def _device(self, subject: Subject) -> Device:
        """What identity says of the device. One that belongs to somebody else than the viewer is not registered for them."""
        device_id, viewer_id = subject.wanted.device_id, subject.wanted.viewer_id
        if not device_id:
            return Device()
        known = self.devices.get(device_id)
        if known is None:
            return Device(device_id)
        return Device(device_id, revoked=known.revoked, registered=viewer_id in {"", known.account_id})

    def _limit(self, subject: Subject) -> int | None:
        """Limit of the profile that was chosen; None when none was."""
        wanted = subject.wanted
        if not wanted.profile_id:
            return None
        return self.limits.get((wanted.profile_id, wanted.viewer_id), people.STRICTEST)


async def found_about(tx: Tx, subjects: Sequence[Subject], tables: Tables) -> Found:
    """Looks everything up. Devices and profiles on which a session is about to be opened stay as they are until the transaction ends."""
    organisations = _each(subject.organisation_id for subject in subjects)
    assets = _each(subject.asset_id for subject in subjects)
    viewers = _each(subject.wanted.viewer_id for subject in subjects)
    persons = _each(subject.person[1] for subject in subjects)
    devices = _each(subject.wanted.device_id for subject in subjects)
    profiles = _each(subject.wanted.profile_id for subject in subjects)
    kept = any(subject.session is None for subject in subjects)
    keys = await _keys(tx, subjects)
    named: dict[Target, Sequence[str]] = {
        Target.ASSET: assets,
        Target.KEY: _each(key for found in keys.values() for key in found),
        Target.VIEWER: viewers,
        Target.DEVICE: devices,
    }
    return Found(
        said=await tables.said_of(tx, organisations, assets),
        consents=await store.consents_of(tx, assets, organisations),
        holds=await holds_on(tx, assets),
        keys=keys,
        barred=await barred(tx, organisations, named),
        risks=await risks_of(tx, organisations, persons) if persons else {},
        sign_ins=await sign_ins_of(tx, viewers) if viewers else {},
        accounts=await store.accounts_of(tx, viewers) if viewers else {},
        tiers=await tiers.tiers_of(tx, organisations, viewers) if viewers else {},
        entitlements=await store.entitlements_of(tx, organisations, viewers, assets) if viewers else {},
        age_proofs=await store.age_proofs_of(tx, organisations, viewers) if viewers else {},
        devices=await people.devices_of(tx, devices, kept=kept) if devices else {},
        limits=await people.limits_of(tx, profiles, kept=kept) if profiles else {},
    )


async def _keys(tx: Tx, subjects: Sequence[Subject]) -> Mapping[str, Sequence[str]]:
    """Keys of the package that each plays, or would play: one whose keys were changed says nothing about its successor."""
    packages = _each(subject.played for subject in subjects if subject.session is not None)
    found = dict(await keys_of_packages(tx, packages)) if packages else {}
    for subject in subjects:
        if subject.session is None:
            found[subject.played] = await newest_keys(tx, subject.organisation_id, subject.asset_id)
    return found


def _things(subject: Subject, keys: Sequence[str]) -> Mapping[Target, Sequence[str]]:
    """All that bars a subject when it is revoked."""
    wanted = subject.wanted
    return {
        Target.ASSET: [subject.asset_id],
        Target.KEY: keys,
        Target.VIEWER: [wanted.viewer_id] if wanted.viewer_id else [],
        Target.DEVICE: [wanted.device_id] if wanted.device_id else [],
    }


def _each(names: Iterable[str]) -> list[str]:
    """Each of the names once; nothing for those that are not known."""
    return sorted({name for name in names if name})
