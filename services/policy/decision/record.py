"""Facts and decisions in the form in which they are kept, so that they can be explained and decided anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from services.policy.decision.engine import Decision
from services.policy.decision.facts import (
    AgeProof,
    Consent,
    Device,
    Entitlement,
    Facts,
    Kind,
    Place,
    Standing,
    Terms,
    Viewer,
)
from services.policy.decision.law import NO_LAW, Accepted, Action, AgeLaw, Ban, Law, Rating, Row


@dataclass(frozen=True, slots=True)
class Record:
    """A decision as it is kept.

    Attributes:
        facts: as `facts_as_json` makes them.
        results: what each rule said, as the contract's `RuleResult` in JSON's terms.
    """

    decision_id: str
    organisation_id: str
    kind: int
    allowed: bool
    reason: str
    lifted_by: str
    rule_set_version: int
    asset_id: str
    session_id: str
    viewer_id: str
    correlation_id: str
    decide_time: datetime
    facts: Mapping[str, Any]
    results: list[Mapping[str, Any]]

    @classmethod
    def of(
        cls,
        decision: Decision,
        facts: Facts,
        *,
        decision_id: str,
        organisation_id: str,
        session_id: str,
        correlation_id: str,
    ) -> Record:
        """The record of a decision."""
        return cls(
            decision_id=decision_id,
            organisation_id=organisation_id,
            kind=int(decision.kind),
            allowed=decision.allowed,
            reason=decision.reason,
            lifted_by=decision.refusal.message if decision.refusal else "",
            rule_set_version=decision.version,
            asset_id=facts.asset_id,
            session_id=session_id,
            viewer_id=facts.viewer.viewer_id,
            correlation_id=correlation_id,
            decide_time=facts.now,
            facts=facts_as_json(facts),
            results=results_as_json(decision),
        )

    def seen(self) -> tuple[Kind, Facts]:
        """What was decided, and all that was known then."""
        return Kind(self.kind), facts_from_json(self.facts)


def results_as_json(decision: Decision) -> list[Mapping[str, Any]]:
    """What each rule said."""
    return [
        {
            "kind": int(result.kind),
            "outcome": int(result.outcome),
            "facts": dict(result.saw),
            "reason": result.refusal.reason if result.refusal else "",
        }
        for result in decision.results
    ]


def terms_as_json(terms: Terms) -> dict[str, Any]:
    """Terms in JSON's terms."""
    return {
        "entitlement_required": terms.entitlement_required,
        "tiers": list(terms.tiers),
        "territories": list(terms.territories),
        "refused_territories": list(terms.refused_territories),
        "start_time": _text(terms.start_time),
        "end_time": _text(terms.end_time),
        "least_age": terms.least_age,
        "maturity": terms.maturity,
        "download_allowed": terms.download_allowed,
        "consent_required": terms.consent_required,
    }


def terms_from_json(kept: Mapping[str, Any]) -> Terms:
    """Terms as they were kept. What a newer version of this code does not find has its default."""
    return Terms(
        entitlement_required=kept.get("entitlement_required", False),
        tiers=tuple(kept.get("tiers", ())),
        territories=tuple(kept.get("territories", ())),
        refused_territories=tuple(kept.get("refused_territories", ())),
        start_time=_moment(kept.get("start_time")),
        end_time=_moment(kept.get("end_time")),
        least_age=kept.get("least_age", 0),
        maturity=kept.get("maturity", 0),
        download_allowed=kept.get("download_allowed", False),
        consent_required=kept.get("consent_required", False),
    )


def facts_as_json(facts: Facts) -> dict[str, Any]:
    """Facts in JSON's terms."""
    viewer = facts.viewer
    return {
        "now": _text(facts.now),
        "asset_id": facts.asset_id,
        "session_id": facts.session_id,
        "terms": terms_as_json(facts.terms),
        "consent": facts.consent,
        "standing": {
            "withdrawn": facts.standing.withdrawn,
            "revoked": facts.standing.revoked,
            "expire_time": _text(facts.standing.expire_time),
            "barred": facts.standing.barred,
            "taken_down": facts.standing.taken_down,
            "restricted": list(facts.standing.restricted),
        },
        "viewer": {
            "viewer_id": viewer.viewer_id,
            "tier": viewer.tier,
            "locked": viewer.locked,
            "maturity": viewer.maturity,
            "risk": viewer.risk,
            "sign_in_time": _text(viewer.sign_in_time),
            "age_proofs": [_proof_as_json(one) for one in viewer.age_proofs],
            "entitlements": [_entitlement_as_json(one) for one in viewer.entitlements],
        },
        "device": [facts.device.device_id, facts.device.revoked, facts.device.registered],
        "place": [str(facts.place.address) if facts.place.address else None, facts.place.territory],
        "streams": facts.streams,
        "counted_on": facts.counted_on,
        # Only what counts there and then: what else the tables say would be looked at in no replay.
        **_law_as_json(facts.law.at(facts.place.territory, facts.now)),
    }


def facts_from_json(kept: Mapping[str, Any]) -> Facts:
    """Facts as they were kept."""
    viewer, standing = kept["viewer"], kept["standing"]
    address, territory = kept["place"]
    return Facts(
        now=datetime.fromisoformat(kept["now"]),
        asset_id=kept["asset_id"],
        session_id=kept["session_id"],
        terms=terms_from_json(kept["terms"]),
        consent=None if kept["consent"] is None else Consent(kept["consent"]),
        standing=Standing(
            standing["withdrawn"],
            standing["revoked"],
            _moment(standing["expire_time"]),
            standing.get("barred", ""),
            standing.get("taken_down", False),
            tuple(standing.get("restricted", ())),
        ),
        viewer=Viewer(
            viewer_id=viewer["viewer_id"],
            tier=viewer["tier"],
            locked=viewer["locked"],
            maturity=viewer["maturity"],
            risk=viewer["risk"],
            sign_in_time=_moment(viewer.get("sign_in_time")),
            age_proofs=_proofs(viewer),
            entitlements=tuple(_entitlement(one) for one in viewer["entitlements"]),
        ),
        device=_device(kept["device"]),
        place=Place(ip_address(address) if address else None, territory),
        streams=kept["streams"],
        counted_on=kept.get("counted_on", ""),
        law=_law(kept["law"]) if "law" in kept else NO_LAW,
    )


def _entitlement_as_json(one: Entitlement) -> list[Any]:
    kept = [one.entitlement_id, one.asset_id, _text(one.start_time), _text(one.end_time), list(one.territories)]
    if not one.limited:
        return kept
    watch = one.watch.total_seconds() if one.watch is not None else None
    return [*kept, [one.max_plays, one.plays, _text(one.begin_by_time), watch, _text(one.begin_time)]]


def _entitlement(kept: Sequence[Any]) -> Entitlement:
    entitlement_id, asset_id, start, end, territories, *limits = kept
    max_plays, plays, begin_by, watch, begin = limits[0] if limits else (0, 0, None, None, None)
    return Entitlement(
        entitlement_id,
        asset_id,
        _moment(start),
        _moment(end),
        tuple(territories),
        max_plays=max_plays,
        plays=plays,
        begin_by_time=_moment(begin_by),
        watch=None if watch is None else timedelta(seconds=watch),
        begin_time=_moment(begin),
    )


def _device(kept: Sequence[Any]) -> Device:
    device_id, revoked, *registered = kept
    # Of before it was known: every device that was named counted as registered.
    return Device(device_id, revoked=revoked, registered=registered[0] if registered else bool(device_id))


def _proof_as_json(one: AgeProof) -> list[Any]:
    return [one.threshold, _text(one.expire_time), one.method, _text(one.prove_time), one.device_id]


def _proofs(viewer: Mapping[str, Any]) -> tuple[AgeProof, ...]:
    # Of before methods were known: one proof, or none.
    kept = viewer.get("age_proofs")
    if kept is None:
        kept = [[*viewer["age_proof"], "", None, ""]] if viewer["age_proof"] else []
    return tuple(
        AgeProof(threshold, datetime.fromisoformat(end), method, _moment(prove_time), device_id)
        for threshold, end, method, prove_time, device_id in kept
    )


def _law_as_json(law: Law) -> dict[str, Any]:
    if law == NO_LAW:
        return {}
    ages = [
        [
            *_row_as_json(one),
            one.threshold,
            one.titles_from,
            int(one.action),
            [
                [way.method, way.good_for.total_seconds() if way.good_for else None, way.each_device]
                for way in one.methods
            ],
        ]
        for one in law.ages
    ]
    bans = [[*_row_as_json(one), one.cause] for one in law.bans]
    return {"law": [ages, bans, [[*_row_as_json(one), one.age] for one in law.ratings]]}


def _row_as_json(row: Row) -> list[Any]:
    return [row.territory, _text(row.start_time), _text(row.end_time)]


def _law(kept: Sequence[Sequence[Any]]) -> Law:
    ages, bans, ratings = kept
    return Law(
        tuple(
            AgeLaw(
                **_row(one),
                threshold=one[3],
                titles_from=one[4],
                action=Action(one[5]),
                methods=tuple(
                    Accepted(method, None if seconds is None else timedelta(seconds=seconds), each_device)
                    for method, seconds, each_device in one[6]
                ),
            )
            for one in ages
        ),
        tuple(Ban(**_row(one), cause=one[3]) for one in bans),
        tuple(Rating(**_row(one), age=one[3]) for one in ratings),
    )


def _row(kept: Sequence[Any]) -> dict[str, Any]:
    return {"territory": kept[0], "start_time": _moment(kept[1]), "end_time": _moment(kept[2])}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
