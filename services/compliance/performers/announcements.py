"""Events of records, put together from the domain. They become leaves of the audit log."""

from __future__ import annotations

from datetime import datetime

from reelmesh.compliance.v1 import events_pb2

from services.compliance.performers.domain import IdentityDocument, Paper, Performer, Production
from services.compliance.performers.store import record_id_of
from services.kit.clock import timestamp


def changed(
    record: Performer | Paper | Production,
    change: events_pb2.RecordChange.ValueType,
    actor: str,
    now: datetime,
    expire_time: datetime | None = None,
) -> events_pb2.RecordChanged:
    """The event that tells what happened to a record."""
    event = events_pb2.RecordChanged(
        organisation_id=record.organisation_id,
        change=change,
        actor=actor,
        expire_time=timestamp(expire_time),
        change_time=timestamp(now),
    )
    match record:
        case Performer():
            event.record_id = event.performer_id = record.performer_id
        case Production():
            event.record_id = event.production_id = record.production_id
        case IdentityDocument():
            event.record_id, event.performer_id = record.identity_document_id, record.performer_id
        case _:
            event.record_id, event.performer_id = record.release_id, record.performer_id
            event.production_id = record.production_id
    return event


def opened(paper: Paper, actor: str, purpose: str, now: datetime) -> events_pb2.RecordOpened:
    """The event that tells who read a paper, and why."""
    return events_pb2.RecordOpened(
        record_id=record_id_of(paper),
        performer_id=paper.performer_id,
        organisation_id=paper.organisation_id,
        actor=actor,
        purpose=purpose,
        open_time=timestamp(now),
    )
