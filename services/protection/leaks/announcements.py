"""Events of leak cases and of notices."""

from __future__ import annotations

from datetime import datetime

from reelmesh.protection.v1 import events_pb2 as api
from reelmesh.protection.v1 import leaks_service_pb2, takedowns_service_pb2

from services.kit.clock import timestamp
from services.protection.leaks.domain import Action, Case, Evidence
from services.protection.leaks.takedowns import Takedown


def reported(case: Case) -> api.LeakReported:
    """A leaked copy was reported."""
    return api.LeakReported(
        case_id=case.case_id,
        organisation_id=case.organisation_id,
        title_asset_id=case.title_asset_id,
        platform=case.platform,
        location=case.url,
        find_time=timestamp(case.find_time),
        actor=case.reporter,
        create_time=timestamp(case.create_time),
    )


def preserved(evidence: Evidence) -> api.LeakEvidencePreserved:
    """Evidence was preserved."""
    return api.LeakEvidencePreserved(
        evidence_id=evidence.evidence_id,
        case_id=evidence.case_id,
        organisation_id=evidence.organisation_id,
        sha256=evidence.sha256,
        size_bytes=evidence.size_bytes,
        location=evidence.url,
        capture_time=timestamp(evidence.capture_time),
        actor=evidence.actor,
        preserve_time=timestamp(evidence.preserve_time),
    )


def changed(action: Action, actor: str, now: datetime) -> api.LeakActionChanged:
    """Something about an action changed."""
    return api.LeakActionChanged(
        action_id=action.action_id,
        case_id=action.case_id,
        organisation_id=action.organisation_id,
        kind=leaks_service_pb2.LeakActionKind.ValueType(action.kind),
        state=leaks_service_pb2.LeakActionState.ValueType(action.state),
        viewer_id=action.viewer_id,
        actor=actor,
        change_time=timestamp(now),
    )


def ordered(action: Action, now: datetime) -> api.LeakActionOrdered:
    """An action is to be done."""
    return api.LeakActionOrdered(
        action_id=action.action_id,
        case_id=action.case_id,
        organisation_id=action.organisation_id,
        kind=leaks_service_pb2.LeakActionKind.ValueType(action.kind),
        session_id=action.session_id,
        viewer_id=action.viewer_id,
        revocation_id=action.revocation_id,
        approver=action.approvers[-1],
        explanation=action.explanation,
        end_time=timestamp(action.end_time),
        appeal_end_time=timestamp(action.appeal_until),
        order_time=timestamp(now),
    )


def reversed_(action: Action, actor: str, now: datetime) -> api.LeakActionReversed:
    """An action is taken back, or over."""
    return api.LeakActionReversed(
        action_id=action.action_id,
        case_id=action.case_id,
        organisation_id=action.organisation_id,
        kind=leaks_service_pb2.LeakActionKind.ValueType(action.kind),
        viewer_id=action.viewer_id,
        revocation_id=action.revocation_id,
        actor=actor,
        reverse_time=timestamp(now),
    )


def appeal(action: Action, actor: str, now: datetime) -> api.LeakAppealChanged:
    """Somebody appealed, or the appeal was decided."""
    return api.LeakAppealChanged(
        action_id=action.action_id,
        case_id=action.case_id,
        organisation_id=action.organisation_id,
        viewer_id=action.viewer_id,
        decided=action.appeal_decide_time is not None,
        upheld=action.appeal_upheld,
        actor=actor,
        change_time=timestamp(now),
    )


def takedown_changed(takedown: Takedown, actor: str, now: datetime) -> api.TakedownChanged:
    """Something about a notice changed."""
    return api.TakedownChanged(
        takedown_id=takedown.takedown_id,
        case_id=takedown.case_id,
        organisation_id=takedown.organisation_id,
        kind=takedowns_service_pb2.TakedownKind.ValueType(takedown.kind),
        platform=takedown.platform,
        state=takedowns_service_pb2.TakedownState.ValueType(takedown.state),
        document_sha256=takedown.document_sha256,
        actor=actor,
        change_time=timestamp(now),
    )


def takedown_due(takedown: Takedown, now: datetime) -> api.TakedownReminded:
    """Somebody should look at a notice."""
    return api.TakedownReminded(
        takedown_id=takedown.takedown_id,
        case_id=takedown.case_id,
        organisation_id=takedown.organisation_id,
        platform=takedown.platform,
        state=takedowns_service_pb2.TakedownState.ValueType(takedown.state),
        overdue=takedown.overdue(now),
        check_time=timestamp(takedown.check_time),
    )
