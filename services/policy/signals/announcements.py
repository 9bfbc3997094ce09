"""Events of what is done about a score."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.message import Message
from reelmesh.policy.v1 import events_pb2 as api

from services.kit.clock import timestamp
from services.policy.signals.score import Action, Risk

_EVENTS = {
    Action.WARN: api.ViewerSuspected,
    Action.STEP_UP: api.ViewerStepUpAsked,
    Action.THROTTLE: api.ViewerThrottled,
    Action.REFUSE: api.ViewerRefused,
}


def announcement(action: Action, risk: Risk, why: str, now: datetime, ended: int) -> Message:
    """The event that tells what begins to be done about a viewer."""
    event = _EVENTS[action](
        organisation_id=risk.organisation_id,
        viewer_id=risk.viewer_id,
        score=risk.at(now),
        explanation=why,
        act_time=timestamp(now),
    )
    if isinstance(event, api.ViewerThrottled):
        event.until_time.MergeFrom(timestamp(risk.throttle_until) or event.until_time)
    if isinstance(event, api.ViewerRefused):
        event.ended_sessions = ended
    return event


def clearing(risk: Risk, actor: str, comment: str, now: datetime) -> api.ViewerRiskCleared:
    """The event that tells of a score that was set back."""
    return api.ViewerRiskCleared(
        organisation_id=risk.organisation_id,
        viewer_id=risk.viewer_id,
        actor=actor,
        comment=comment,
        clear_time=timestamp(now),
    )
