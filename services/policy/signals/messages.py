"""Signals and scores in the words of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from reelmesh.policy.v1 import signals_service_pb2 as api

from services.kit.clock import timestamp
from services.policy.decision.rules import Rule
from services.policy.signals.score import Action, Risk, thresholds
from services.policy.signals.store import Signal

_DONE: Final = {
    Action.WARN: "somebody should have a look",
    Action.STEP_UP: "a new playback needs a sign-in of the last ten minutes",
    Action.THROTTLE: "playbacks are slowed down",
    Action.REFUSE: "playbacks are refused and those that ran were revoked",
}


def signal_message(signal: Signal) -> api.Signal:
    """A signal as it is shown."""
    return api.Signal(
        signal_id=signal.signal_id,
        organisation_id=signal.organisation_id,
        viewer_id=signal.viewer_id,
        session_id=signal.session_id,
        kind=api.SignalKind.ValueType(signal.kind),
        weight=signal.weight,
        explanation=signal.explanation,
        facts=signal.facts,
        observe_time=timestamp(signal.observe_time),
        clear_time=timestamp(signal.clear_time),
    )


def risk_message(
    viewer_id: str, risk: Risk | None, rule: Rule | None, signals: Sequence[Signal], now: datetime
) -> api.ViewerRisk:
    """A score as it is shown, with what it is made of and what follows from it."""
    return api.ViewerRisk(
        viewer_id=viewer_id,
        score=risk.at(now) if risk else 0,
        signals=[signal_message(signal) for signal in signals],
        actions=list(_actions(risk, rule, now)) if risk and rule else [],
    )


def _actions(risk: Risk, rule: Rule, now: datetime) -> Iterator[api.RiskAction]:
    for action, limit in thresholds(rule).items():
        end = risk.falls_below(limit)
        if action is Action.THROTTLE:  # goes by what was set when something was last found
            end = risk.throttle_until or risk.score_time
        if end <= now:
            continue
        yield api.RiskAction(
            kind=api.RiskActionKind.ValueType(action),
            explanation=f"{_DONE[action]}: the score has reached {limit}. It falls by itself, or ClearViewerRisk sets it back",
            start_time=timestamp(risk.since(action) or risk.score_time),
            end_time=timestamp(end),
        )
