"""Cases, actions, crawlers and notices as the contract shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.protection.v1 import leaks_service_pb2 as leaks
from reelmesh.protection.v1 import takedowns_service_pb2 as takedowns

from services.kit.clock import timestamp
from services.protection.leaks import refusals
from services.protection.leaks.domain import Action, Case, Evidence
from services.protection.leaks.store import Crawler
from services.protection.leaks.takedowns import Takedown
from services.protection.leaks.wording import Notifier


def moment(request: Message, field: str) -> datetime | None:
    """A moment of a request; None when it is absent.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID` for what is no moment.
    """
    if not request.HasField(field):
        return None
    stamp: Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise refusals.invalid(field, "this is not a moment between the years 1 and 9999") from None


def case(one: Case, evidence: Sequence[Evidence] = (), actions: Sequence[Action] = ()) -> leaks.LeakCase:
    """A case."""
    return leaks.LeakCase(
        case_id=one.case_id,
        organisation_id=one.organisation_id,
        title_asset_id=one.title_asset_id,
        url=one.url,
        platform=one.platform,
        find_time=timestamp(one.find_time),
        source=leaks.LeakSource.ValueType(one.source),
        reporter=one.reporter,
        comment=one.comment,
        state=leaks.LeakCaseState.ValueType(one.state),
        explanation=one.explanation,
        evidence=[evidence_(piece) for piece in evidence],
        actions=[action(piece) for piece in actions],
        create_time=timestamp(one.create_time),
        close_time=timestamp(one.close_time),
    )


def evidence_(one: Evidence) -> leaks.LeakEvidence:
    """Evidence."""
    return leaks.LeakEvidence(
        evidence_id=one.evidence_id,
        case_id=one.case_id,
        kind=leaks.LeakEvidenceKind.ValueType(one.kind),
        filename=one.filename,
        media_type=one.media_type,
        size_bytes=one.size_bytes,
        sha256=one.sha256,
        url=one.url,
        capture_time=timestamp(one.capture_time),
        actor=one.actor,
        preserve_time=timestamp(one.preserve_time),
        detection_id=one.detection_id,
    )


def action(one: Action) -> leaks.LeakAction:
    """An action."""
    told = leaks.LeakAction(
        action_id=one.action_id,
        case_id=one.case_id,
        kind=leaks.LeakActionKind.ValueType(one.kind),
        state=leaks.LeakActionState.ValueType(one.state),
        session_id=one.session_id,
        viewer_id=one.viewer_id,
        false_positive=one.false_positive,
        alone_up_to=one.alone_up_to,
        strike=one.strike,
        explanation=one.explanation,
        rules=one.rules,
        end_time=timestamp(one.end_time),
        effect_time=timestamp(one.effect_time),
        appeal_end_time=timestamp(one.appeal_until),
        create_time=timestamp(one.create_time),
    )
    for decision in one.decisions:
        told.decisions.add(
            verdict=leaks.LeakVerdict.ValueType(decision.verdict),
            actor=decision.actor,
            comment=decision.comment,
            decide_time=timestamp(decision.decide_time),
        )
    if one.appeal_time is not None:
        told.appeal.MergeFrom(
            leaks.LeakAppeal(
                text=one.appeal_text,
                appeal_time=timestamp(one.appeal_time),
                upheld=one.appeal_upheld,
                comment=one.appeal_comment,
                actor=one.appeal_actor,
                decide_time=timestamp(one.appeal_decide_time),
            )
        )
    return told


def own_action(one: Action) -> leaks.LeakAction:
    """An action as whoever it hits sees it: who decided, and what they said among themselves, is not theirs to know."""
    told = action(one)
    for decision in told.decisions:
        decision.actor = decision.comment = ""
    told.appeal.actor = ""
    if one.appeal_time is None:
        told.ClearField("appeal")
    return told


def crawler(one: Crawler) -> leaks.LeakCrawler:
    """A crawler."""
    return leaks.LeakCrawler(
        crawler_id=one.crawler_id,
        organisation_id=one.organisation_id,
        display_name=one.display_name,
        public_key=one.public_key,
        create_time=timestamp(one.create_time),
        disable_time=timestamp(one.disable_time),
    )


def notifier(one: Notifier) -> takedowns.TakedownNotifier:
    """In whose name notices are written."""
    return takedowns.TakedownNotifier(
        rights_holder=one.rights_holder,
        signatory=one.signatory,
        capacity=one.capacity,
        address=one.address,
        phone=one.phone,
        email=one.email,
    )


def takedown(one: Takedown, now: datetime) -> takedowns.Takedown:
    """A notice."""
    told = takedowns.Takedown(
        takedown_id=one.takedown_id,
        case_id=one.case_id,
        kind=takedowns.TakedownKind.ValueType(one.kind),
        platform=one.platform,
        url=one.url,
        title_asset_id=one.title_asset_id,
        state=takedowns.TakedownState.ValueType(one.state),
        carrier=takedowns.TakedownCarrier.ValueType(one.carrier),
        destination=one.destination,
        text=one.text,
        document_sha256=one.document_sha256,
        signature=one.signature,
        reference=one.reference,
        failure=one.failure,
        check_time=timestamp(one.check_time),
        due_time=timestamp(one.due_time),
        overdue=one.overdue(now),
        reappearances=one.reappearances,
        create_time=timestamp(one.create_time),
        send_time=timestamp(one.send_time),
        remove_time=timestamp(one.remove_time),
    )
    for step in one.steps:
        told.steps.add(
            state=takedowns.TakedownState.ValueType(step.state),
            actor=step.actor,
            comment=step.comment,
            step_time=timestamp(step.step_time),
        )
    if one.counter is not None:
        told.counter_notice.MergeFrom(
            takedowns.CounterNotice(
                name=one.counter.name,
                statement=one.counter.statement,
                receive_time=timestamp(one.counter.receive_time),
                restore_start_time=timestamp(one.counter.restore_from),
                restore_end_time=timestamp(one.counter.restore_by),
            )
        )
    return told
