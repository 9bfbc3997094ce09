"""Uploads in the words of the contract."""

from __future__ import annotations

from reelmesh.upload.v1 import events_pb2, upload_pb2

from services.kit.clock import timestamp
from services.upload.domain import Upload, master_key


def message_of(upload: Upload) -> upload_pb2.Upload:
    """An upload as the contract shows it."""
    return upload_pb2.Upload(
        upload_id=upload.upload_id,
        asset_id=upload.asset_id,
        organisation_id=upload.organisation_id,
        filename=upload.filename,
        title=upload.title,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        received_bytes=upload.received_bytes,
        state=upload_pb2.UploadState.ValueType(upload.state),
        sha256=upload.sha256,
        create_time=timestamp(upload.create_time),
        expire_time=timestamp(upload.expire_time),
        commit_time=timestamp(upload.commit_time),
        watermarking=upload_pb2.Watermarking.ValueType(upload.watermarking),
        purpose=upload_pb2.UploadPurpose.ValueType(upload.purpose),
    )


def event_of(upload: Upload) -> events_pb2.UploadCommitted:
    """What is announced of a committed upload."""
    return events_pb2.UploadCommitted(
        upload_id=upload.upload_id,
        asset_id=upload.asset_id,
        organisation_id=upload.organisation_id,
        object_key=master_key(upload.sha256),
        sha256=upload.sha256,
        size_bytes=upload.size_bytes,
        filename=upload.filename,
        title=upload.title,
        content_type=upload.content_type,
        commit_time=timestamp(upload.commit_time),
        watermarking=upload_pb2.Watermarking.ValueType(upload.watermarking),
        actor=upload.actor,
        purpose=upload_pb2.UploadPurpose.ValueType(upload.purpose),
    )
