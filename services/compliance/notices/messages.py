"""Cases, in the words of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from reelmesh.compliance.v1 import notices_pb2

from services.compliance.notices.domain import Case
from services.compliance.notices.store import Step
from services.kit.clock import timestamp


def decision_of(case: Case) -> notices_pb2.NoticeDecision | None:
    """What was decided last; None before the first decision."""
    if case.decide_time is None:
        return None
    return notices_pb2.NoticeDecision(
        action=notices_pb2.NoticeAction.ValueType(case.action),
        territories=case.territories,
        explanation=case.explanation,
        automated=case.automated,
        decide_time=timestamp(case.decide_time),
    )


def notice_of(case: Case) -> notices_pb2.Notice:
    """A case without what people wrote."""
    return notices_pb2.Notice(
        notice_id=case.notice_id,
        organisation_id=case.organisation_id,
        kind=notices_pb2.NoticeKind.ValueType(case.kind),
        category=case.category,
        state=notices_pb2.NoticeState.ValueType(case.state),
        asset_id=case.asset_id,
        uploader=case.uploader,
        receive_time=timestamp(case.receive_time),
        due_time=timestamp(case.due_time),
        escalate_time=timestamp(case.escalate_time),
        decision=decision_of(case),
        decider=case.deciders[0] if case.deciders else "",
        restore_after_time=timestamp(case.restore_after),
        restore_before_time=timestamp(case.restore_before),
        rules_date=case.rules_date,
        appellant=notices_pb2.NoticeParty.ValueType(case.appellant),
    )


def with_writings(
    notice: notices_pb2.Notice, written: Mapping[str, Any], counter: Mapping[str, Any], appeal: Mapping[str, Any]
) -> notices_pb2.Notice:
    """A notice with all that people wrote, for those who decide."""
    notice.location = written.get("location", "")
    notice.explanation = written.get("explanation", "")
    notice.work = written.get("work", "")
    if written.get("notifier"):
        notice.notifier.CopyFrom(ParseDict(written["notifier"], notices_pb2.NoticeContact()))
    if counter:
        notice.counter_notice.CopyFrom(counter_notice_of(counter))
    notice.appeal = appeal.get("explanation", "")
    return notice


def counter_notice_of(written: Mapping[str, Any]) -> notices_pb2.CounterNotice:
    """A counter-notice as it was kept."""
    return ParseDict(dict(written), notices_pb2.CounterNotice())


def as_written(message: Any) -> dict[str, Any]:
    """What somebody wrote, as it is kept."""
    return MessageToDict(message, preserving_proto_field_name=True)


def step_of(step: Step) -> notices_pb2.NoticeStep:
    """A step."""
    return notices_pb2.NoticeStep(
        state=notices_pb2.NoticeState.ValueType(step.state),
        deed=step.deed,
        actor=step.actor,
        step_time=timestamp(step.step_time),
        comment=step.comment,
    )
