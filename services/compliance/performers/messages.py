"""Records as the contract has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from reelmesh.compliance.v1 import records_pb2

from services.compliance.performers.copies import Copy
from services.compliance.performers.domain import Gap, IdentityDocument, Performer, Production, Release
from services.kit.clock import timestamp


def performer(
    one: Performer, documents: Collection[IdentityDocument], copies: Mapping[str, Copy]
) -> records_pb2.Performer:
    """A performer, with those of the documents that are theirs."""
    return records_pb2.Performer(
        performer_id=one.performer_id,
        legal_name=one.person.legal_name,
        date_of_birth=one.person.date_of_birth.isoformat(),
        other_names=one.person.other_names,
        identity_documents=[
            identity_document(document, copies.get(document.identity_document_id))
            for document in documents
            if document.performer_id == one.performer_id
        ],
        create_time=timestamp(one.create_time),
    )


def identity_document(one: IdentityDocument, copy: Copy | None) -> records_pb2.IdentityDocument:
    """An identity document, without the document."""
    reviewed = one.reviewed
    return records_pb2.IdentityDocument(
        identity_document_id=one.identity_document_id,
        performer_id=one.performer_id,
        kind=records_pb2.IdentityDocumentKind.ValueType(one.kind),
        issuer=one.issuer,
        expire_date=_day(one.expire_date),
        state=records_pb2.RecordState.ValueType(reviewed.state),
        sha256=copy.sha256 if copy else "",
        media_type=copy.media_type if copy else "",
        submitter=reviewed.submitter,
        submit_time=timestamp(reviewed.submit_time),
        reviewer=reviewed.reviewer,
        review_time=timestamp(reviewed.review_time),
        comment=reviewed.comment,
    )


def release(one: Release, copy: Copy | None) -> records_pb2.Release:
    """A release, without the paper."""
    reviewed = one.reviewed
    return records_pb2.Release(
        release_id=one.release_id,
        production_id=one.production_id,
        performer_id=one.performer_id,
        sign_date=one.sign_date.isoformat(),
        expire_date=_day(one.expire_date),
        state=records_pb2.RecordState.ValueType(reviewed.state),
        sha256=copy.sha256 if copy else "",
        media_type=copy.media_type if copy else "",
        submitter=reviewed.submitter,
        submit_time=timestamp(reviewed.submit_time),
        reviewer=reviewed.reviewer,
        review_time=timestamp(reviewed.review_time),
        comment=reviewed.comment,
        withdraw_time=timestamp(one.withdraw_time),
    )


def production(
    one: Production, gaps: Sequence[Gap], releases: Collection[Release] = (), copies: Mapping[str, Copy] | None = None
) -> records_pb2.Production:
    """A production, with what keeps its assets from being played, and those of the releases that are for it."""
    reviewed, known = one.reviewed, copies or {}
    return records_pb2.Production(
        production_id=one.production_id,
        title=one.title,
        production_date=one.production_date.isoformat(),
        asset_ids=one.asset_ids,
        performer_ids=one.performer_ids,
        urls=one.urls,
        state=records_pb2.RecordState.ValueType(reviewed.state),
        submitter=reviewed.submitter,
        submit_time=timestamp(reviewed.submit_time),
        reviewer=reviewed.reviewer,
        review_time=timestamp(reviewed.review_time),
        comment=reviewed.comment,
        releases=[
            release(given, known.get(given.release_id))
            for given in releases
            if given.production_id == one.production_id
        ],
        gaps=[
            records_pb2.RecordGap(kind=records_pb2.RecordGapKind.ValueType(gap.kind), performer_id=gap.performer_id)
            for gap in gaps
        ],
        etag=one.etag,
    )


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()
