"""Facts and rules put together. Pure: the same facts and rules give the same decision, today and in a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

import grpc

from services.kit.errors import Refusal
from services.policy import refusals
from services.policy.decision.entitling import chosen, holds, is_good, lasts_until, why_not, window_end
from services.policy.decision.facts import Consent, Entitlement, Facts, Kind
from services.policy.decision.law import rated, touches, within
from services.policy.decision.proving import good_until, methods_of, proofs_last
from services.policy.decision.rules import Rule, RuleKind, RuleSet


class Outcome(IntEnum):
    """What a rule can say; the numbers are those of the contract."""

    PASSED = 1
    REFUSED = 2
    NOT_APPLICABLE = 3


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule said.

    Attributes:
        saw: the facts that it looked at, as text; `?` for one that is not known.
        refusal: None unless it refused.
    """

    kind: RuleKind
    outcome: Outcome
    saw: Mapping[str, str]
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision, and why.

    Attributes:
        results: every rule that was asked, in order; those after the first that refused are asked too, so that somebody who mends one
            thing is not surprised by the next.
    """

    kind: Kind
    version: int
    results: tuple[RuleResult, ...]
    refusal: Refusal | None = field(default=None)

    @property
    def allowed(self) -> bool:
        """Whether it may be."""
        return self.refusal is None

    @property
    def reason(self) -> str:
        """Reason of the refusal; empty when there is none."""
        return self.refusal.reason if self.refusal else ""

    def required(self) -> None:
        """Goes on when it may be.

        Raises:
            Refusal: of the first rule that refused.
        """
        if self.refusal:
            raise self.refusal


class Saw(dict[str, str]):
    """Notes what a rule looks at."""

    def note(self, name: str, fact: object) -> None:
        """Notes a fact."""
        self[name] = "?" if fact is None else str(fact)


Verdict = Refusal | Outcome
SIGNED_IN_WITHIN: Final = timedelta(minutes=10)
"""Whoever proved who they are so lately need not do so again."""
_PASSED: Final = Outcome.PASSED
_NOTHING_TO_SAY: Final = Outcome.NOT_APPLICABLE


def decide(rules: RuleSet, kind: Kind, facts: Facts) -> Decision:
    """Asks every rule that applies. The first that refuses decides."""
    results = tuple(_asked(rule, facts) for rule in rules.rules if kind in rule.applies_to)
    refusal = next((result.refusal for result in results if result.refusal is not None), None)
    if not results:  # an engine that was asked nothing must not answer yes
        refusal = refusals.path_invalid("no rule speaks of this")
    return Decision(kind, rules.version, results, refusal)


def _asked(rule: Rule, facts: Facts) -> RuleResult:
    saw = Saw()
    verdict = _RULES[rule.kind](rule, facts, saw)
    if isinstance(verdict, Refusal):
        return RuleResult(rule.kind, Outcome.REFUSED, saw, verdict)
    return RuleResult(rule.kind, verdict, saw)


def _standing(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    standing = facts.standing
    saw.note("asset_deleted", standing.withdrawn)
    saw.note("session_revoked", standing.revoked)
    # That the film is gone says more than that its sessions were ended with it.
    if standing.withdrawn:
        return refusals.asset_withdrawn(facts.asset_id, grpc.StatusCode.PERMISSION_DENIED)
    if standing.taken_down:
        saw.note("taken_down", standing.taken_down)
        return refusals.title_taken_down(facts.asset_id)
    if standing.barred:
        saw.note("barred", standing.barred)
        return refusals.playback_revoked(standing.barred)
    if standing.revoked:
        return refusals.session_revoked(facts.session_id)
    if standing.expire_time is not None:
        saw.note("session_expire_time", standing.expire_time.isoformat())
        if facts.now >= standing.expire_time:
            return refusals.ticket_expired(standing.expire_time)
    return _restriction(facts, saw) if standing.restricted else _PASSED


def _restriction(facts: Facts, saw: Saw) -> Verdict:
    """Where notices do not let it be shown. No set of rules can leave this out, unlike what an organisation sets itself."""
    territory = facts.place.territory
    saw.note("territory", territory)
    saw.note("restricted", ", ".join(facts.standing.restricted))
    if territory is None:
        return refusals.territory_unknown()
    return refusals.territory_refused(territory) if touches(territory, facts.standing.restricted) else _PASSED


def _account(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    if facts.viewer.locked is None:
        return _NOTHING_TO_SAY
    saw.note("locked", facts.viewer.locked)
    return refusals.account_locked() if facts.viewer.locked else _PASSED


def _window(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    start, end = facts.terms.start_time, facts.terms.end_time
    if start is None and end is None:
        return _NOTHING_TO_SAY
    saw.note("now", facts.now.isoformat())
    saw.note("start_time", start.isoformat() if start else "none")
    saw.note("end_time", end.isoformat() if end else "none")
    if start is not None and facts.now < start:
        return refusals.not_yet(start)
    if end is not None and facts.now >= end:
        return refusals.not_any_more(end)
    return _PASSED


def _network(rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    if not rule.networks and not rule.refused_networks:
        return _NOTHING_TO_SAY
    address = facts.place.address
    # The address itself stays out of the record: whether it was let in is enough, and it is personal.
    saw.note("address", None if address is None else "known")
    if address is None:
        return refusals.network_refused()
    if any(address in network for network in rule.refused_networks):
        saw.note("network", "refused")
        return refusals.network_refused()
    if rule.networks and not any(address in network for network in rule.networks):
        saw.note("network", "not among those let in")
        return refusals.network_refused()
    return _PASSED


def _territory(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    terms, territory = facts.terms, facts.place.territory
    bans = facts.law.at(territory, facts.now).bans
    if not terms.territories and not terms.refused_territories and not bans:
        return _NOTHING_TO_SAY
    saw.note("territory", territory)
    if bans:
        saw.note("not_shown", ", ".join(f"{ban.territory} ({ban.cause})" for ban in bans))
    if territory is None:
        return refusals.territory_unknown()
    if bans:
        return refusals.territory_refused(territory, bans[0].cause)
    # What may be in a refused territory is treated as if it were; what may be in an allowed one is not.
    if touches(territory, terms.refused_territories):
        return refusals.territory_refused(territory)
    if terms.territories and not within(territory, terms.territories):
        return refusals.territory_refused(territory)
    return _PASSED


def _consent(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    if facts.consent in {None, Consent.NOT_REQUIRED} and not facts.terms.consent_required:
        return _NOTHING_TO_SAY
    saw.note("consent", facts.consent.name if facts.consent else None)
    return _PASSED if facts.consent is Consent.COMPLETE else refusals.consent_missing(facts.asset_id)


def _age(rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    least, territory = facts.terms.least_age, facts.place.territory
    laws = facts.law.at(territory, facts.now).ages
    asked = [least] if least >= (rule.proof_from or 1) else []
    asked += [law.threshold for law in laws]
    # Where the place is not known, or only the country, the strictest rule that may apply does.
    asked += [
        age for place, age in rule.proof_by_territory.items() if territory is None or touches(territory, (place,))
    ]
    if not asked:
        return _NOTHING_TO_SAY
    threshold, proofs = max(asked), facts.viewer.age_proofs
    saw.note("threshold", threshold)
    saw.note("territory", territory)
    saw.note("proved", ", ".join(f"{one.threshold} by {one.method or '?'}" for one in proofs) or None)
    if laws:
        saw.note("laws", ", ".join(law.territory for law in laws))
    ends = (good_until(proof, threshold, laws, facts.device.device_id) for proof in proofs)
    if any(end is not None and facts.now < end for end in ends):
        return _PASSED
    methods = methods_of(laws)
    if laws and not methods and (territory is None or "-" not in territory):
        return refusals.territory_unknown()  # laws of several places may apply, and no proof is good in all of them
    return refusals.age_proof_required(threshold, methods)


def _maturity(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    territory, limit = facts.place.territory, facts.viewer.maturity
    rating = rated(facts.law.at(territory, facts.now), territory, facts.terms.maturity)
    if rating == 0 or limit is None:
        return _NOTHING_TO_SAY
    saw.note("maturity", rating)
    saw.note("profile_limit", limit)
    return refusals.maturity_exceeded(rating) if rating > limit else _PASSED


def _entitlement(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    terms, viewer = facts.terms, facts.viewer
    if not terms.entitlement_required and not terms.tiers:
        return _NOTHING_TO_SAY
    saw.note("tier", viewer.tier)
    if viewer.tier is not None and viewer.tier in terms.tiers:
        return _PASSED
    good = [one.entitlement_id for one in viewer.entitlements if is_good(one, facts)]
    saw.note("entitlements", ", ".join(good) or "none")
    if (
        not good or facts.counted_on or not facts.session_id
    ):  # of who goes on by what is not limited there is nothing to tell
        _note_use(viewer.entitlements, facts, saw)
    return _PASSED if good else why_not(facts)


def _note_use(entitlements: tuple[Entitlement, ...], facts: Facts, saw: Saw) -> None:
    for one in entitlements:
        if one.limited and holds(one, facts):
            end = window_end(one)
            saw.note(f"plays of {one.entitlement_id}", f"{one.plays} of {one.max_plays or 'any number'}")
            saw.note(f"window_end_time of {one.entitlement_id}", end.isoformat() if end else "none")
    if facts.counted_on:
        saw.note("counted_on", facts.counted_on)


def _device(rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    if not rule.registered_only and not facts.device.device_id:
        return _NOTHING_TO_SAY
    saw.note("device", facts.device.device_id or None)
    saw.note("revoked", facts.device.revoked)
    saw.note("registered", facts.device.registered)
    missing = rule.registered_only and not facts.device.registered
    return refusals.device_refused() if facts.device.revoked or missing else _PASSED


def _concurrency(rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    limit = rule.streams(facts.viewer.tier)
    if limit is None or not facts.viewer.viewer_id:
        return _NOTHING_TO_SAY
    saw.note("limit", limit)
    saw.note("other_streams", facts.streams)
    if facts.streams is None or facts.streams >= limit:
        return refusals.too_many_streams(limit)
    return _PASSED


def _risk(rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    viewer = facts.viewer
    saw.note("score", viewer.risk)
    if viewer.risk >= rule.refused_from:
        return refusals.risk_too_high(viewer.risk)
    if viewer.risk >= rule.step_up_from and not facts.session_id:  # who plays already goes on
        saw.note("sign_in_time", viewer.sign_in_time)
        if viewer.sign_in_time is None or abs(facts.now - viewer.sign_in_time) > SIGNED_IN_WITHIN:
            return refusals.step_up_required(viewer.risk)
    return _PASSED


def _download(_rule: Rule, facts: Facts, saw: Saw) -> Verdict:
    saw.note("download_allowed", facts.terms.download_allowed)
    return _PASSED if facts.terms.download_allowed else refusals.download_refused(facts.asset_id)


_RULES: Final[Mapping[RuleKind, Callable[[Rule, Facts, Saw], Verdict]]] = {
    RuleKind.STANDING: _standing,
    RuleKind.ACCOUNT: _account,
    RuleKind.WINDOW: _window,
    RuleKind.NETWORK: _network,
    RuleKind.TERRITORY: _territory,
    RuleKind.CONSENT: _consent,
    RuleKind.AGE: _age,
    RuleKind.MATURITY: _maturity,
    RuleKind.ENTITLEMENT: _entitlement,
    RuleKind.DEVICE: _device,
    RuleKind.CONCURRENCY: _concurrency,
    RuleKind.RISK: _risk,
    RuleKind.DOWNLOAD: _download,
}


def latest_end(facts: Facts, wanted: datetime) -> datetime:
    """When a playback that is allowed now has to end: when it was asked to, or with what it rests on, if that ends before."""
    ends = [wanted]
    terms = facts.terms
    if terms.end_time is not None:
        ends.append(terms.end_time)
    if (one := chosen(facts, wanted)) is not None:
        ends.append(lasts_until(one, facts.now))
    if terms.least_age and (proved := proofs_last(facts)) is not None:
        ends.append(proved)
    return min(ends)
