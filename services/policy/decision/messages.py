"""Terms, rules and decisions in the words of the contract, and back."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.policy.v1 import decisions_pb2 as api

from services.kit.clock import duration, timestamp
from services.policy.decision.facts import Kind, Terms
from services.policy.decision.record import Record
from services.policy.decision.rules import (
    BELONGS_TO,
    FIRST_RULES,
    HALF_LIFE,
    PROVED_FROM,
    REFUSED_FROM,
    STEP_UP_FROM,
    THROTTLE_FROM,
    WARN_FROM,
    Rule,
    RuleKind,
    RuleSet,
    checked,
    networks,
)
from services.policy.decision.store import KeptRules


def terms(message: api.AssetTerms) -> Terms:
    """Terms as somebody sets them."""
    return Terms(
        entitlement_required=message.entitlement_required,
        tiers=tuple(message.tiers),
        territories=tuple(message.territories),
        refused_territories=tuple(message.refused_territories),
        start_time=_moment(message, "start_time"),
        end_time=_moment(message, "end_time"),
        least_age=message.least_age,
        maturity=message.maturity,
        download_allowed=message.download_allowed,
        consent_required=message.consent_required,
    )


def terms_message(asset_id: str, found: Terms, version: int) -> api.AssetTerms:
    """Terms as they are shown."""
    return api.AssetTerms(
        asset_id=asset_id,
        entitlement_required=found.entitlement_required,
        tiers=found.tiers,
        territories=found.territories,
        refused_territories=found.refused_territories,
        start_time=timestamp(found.start_time),
        end_time=timestamp(found.end_time),
        least_age=found.least_age,
        maturity=found.maturity,
        download_allowed=found.download_allowed,
        consent_required=found.consent_required,
        etag=str(version),
    )


def rules(messages: list[api.Rule]) -> tuple[Rule, ...]:
    """Rules as somebody sets them.

    Raises:
        Refusal: INVALID_ARGUMENT `RULE_SET_INVALID`.
    """
    return checked([_rule(number, message) for number, message in enumerate(messages)])


def _rule(number: int, message: api.Rule) -> Rule:
    kind, path = RuleKind(message.kind), f"rules[{number}]"
    return Rule(
        kind=kind,
        applies_to=tuple(Kind(one) for one in message.applies_to) or BELONGS_TO[kind],
        networks=networks(f"{path}.networks", message.networks),
        refused_networks=networks(f"{path}.refused_networks", message.refused_networks),
        proof_by_territory=dict(message.proof_by_territory),
        proof_from=message.proof_from or PROVED_FROM,
        streams_by_tier=dict(message.streams_by_tier),
        registered_only=message.registered_only,
        refused_from=message.refused_from or REFUSED_FROM,
        warn_from=message.warn_from or WARN_FROM,
        step_up_from=message.step_up_from or STEP_UP_FROM,
        throttle_from=message.throttle_from or THROTTLE_FROM,
        half_life=message.half_life.ToTimedelta() if message.HasField("half_life") else HALF_LIFE,
        signal_weights=dict(message.signal_weights),
    )


def rule_message(rule: Rule) -> api.Rule:
    """A rule as it is shown."""
    risk = rule.kind is RuleKind.RISK
    return api.Rule(
        kind=api.RuleKind.ValueType(rule.kind),
        applies_to=[api.DecisionKind.ValueType(kind) for kind in rule.applies_to],
        networks=[str(network) for network in rule.networks],
        refused_networks=[str(network) for network in rule.refused_networks],
        proof_by_territory=rule.proof_by_territory,
        proof_from=rule.proof_from if rule.kind is RuleKind.AGE else 0,
        streams_by_tier=rule.streams_by_tier,
        registered_only=rule.registered_only,
        refused_from=rule.refused_from if risk else 0,
        warn_from=rule.warn_from if risk else 0,
        step_up_from=rule.step_up_from if risk else 0,
        throttle_from=rule.throttle_from if risk else 0,
        half_life=duration(rule.half_life.total_seconds()) if risk else None,
        signal_weights=rule.signal_weights,
    )


def packed(found: tuple[Rule, ...]) -> bytes:
    """Rules in the form in which they are kept."""
    return api.RuleSet(rules=[rule_message(rule) for rule in found]).SerializeToString(deterministic=True)


def unpacked(kept: KeptRules | None) -> RuleSet:
    """Rules as they were kept; those that every organisation begins with where there are none."""
    return FIRST_RULES if kept is None else RuleSet(kept.version, rules(list(api.RuleSet.FromString(kept.rules).rules)))


def first_rules_message(*, active: bool) -> api.RuleSet:
    """The set that every organisation begins with."""
    return api.RuleSet(
        rules=[rule_message(rule) for rule in FIRST_RULES.rules],
        comment="what every organisation begins with",
        state=api.RULE_SET_STATE_ACTIVE if active else api.RULE_SET_STATE_RETIRED,
    )


def rule_set_message(kept: KeptRules) -> api.RuleSet:
    """A set of rules as it is shown."""
    state = api.RULE_SET_STATE_DRAFT if kept.activate_time is None else api.RULE_SET_STATE_RETIRED
    return api.RuleSet(
        version=kept.version,
        organisation_id=kept.organisation_id,
        rules=api.RuleSet.FromString(kept.rules).rules,
        comment=kept.comment,
        state=api.RULE_SET_STATE_ACTIVE if kept.active else state,
        create_time=timestamp(kept.create_time),
        activate_time=timestamp(kept.activate_time),
    )


def decision_message(record: Record) -> api.Decision:
    """A decision as it is shown: what each rule saw, but not the address of anybody."""
    return api.Decision(
        decision_id=record.decision_id,
        kind=api.DecisionKind.ValueType(record.kind),
        allowed=record.allowed,
        reason=record.reason,
        lifted_by=record.lifted_by,
        rules=[
            api.RuleResult(
                kind=result["kind"], outcome=result["outcome"], facts=result["facts"], reason=result["reason"]
            )
            for result in record.results
        ],
        rule_set_version=record.rule_set_version,
        organisation_id=record.organisation_id,
        asset_id=record.asset_id,
        session_id=record.session_id,
        viewer_id=record.viewer_id,
        decide_time=timestamp(record.decide_time),
        correlation_id=record.correlation_id,
    )


def _moment(message: api.AssetTerms, name: str) -> datetime | None:
    stamp: Timestamp = getattr(message, name)
    return stamp.ToDatetime(tzinfo=UTC) if message.HasField(name) else None  # type: ignore[arg-type]  # a literal in its stubs
