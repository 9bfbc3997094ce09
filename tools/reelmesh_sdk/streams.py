"""Answers that come part by part: files, and what is watched until it is done."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import grpc
import grpc.aio
from reelmesh.compliance.v1 import (
    audit_log_service_pb2,
    audit_log_service_pb2_grpc,
    records_service_pb2,
    records_service_pb2_grpc,
    rights_service_pb2,
    rights_service_pb2_grpc,
)
from reelmesh.protection.v1 import (
    holds_service_pb2,
    holds_service_pb2_grpc,
    overlays_pb2,
    overlays_service_pb2,
    overlays_service_pb2_grpc,
)

from tools.reelmesh_sdk.errors import raised_by


class Streams:
    """Those of the client's calls. None is repeated: one that breaks off has to be asked for again."""

    audit_log: audit_log_service_pb2_grpc.AuditLogServiceAsyncStub
    records: records_service_pb2_grpc.RecordsServiceAsyncStub
    holds: holds_service_pb2_grpc.HoldsServiceAsyncStub
    overlays: overlays_service_pb2_grpc.OverlaysServiceAsyncStub
    rights: rights_service_pb2_grpc.RightsServiceAsyncStub

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        self._metadata = (("authorization", f"Bearer {api_key}"),)

    # The audit log.

    async def export_log(self, request: audit_log_service_pb2.GetExportRequest) -> AsyncIterator[bytes]:
        """The audit log as a file, part by part. One that breaks off has to be asked for again.

        Raises:
            Refusal: the server refused it.
            Unreachable: nobody answers, or no longer.
        """
        try:
            async for part in self.audit_log.GetExport(request, metadata=self._metadata):
                yield part.part
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None

    # Records of performers.

    async def export_records(self, request: records_service_pb2.ExportRecordsRequest) -> AsyncIterator[bytes]:
        """The index of all records as a file, part by part. One that breaks off has to be asked for again.

        Raises:
            Refusal: the server refused it.
            Unreachable: nobody answers, or no longer.
        """
        try:
            async for part in self.records.ExportRecords(request, metadata=self._metadata):
                yield part.part
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None

    # Held masters.

    async def read_evidence(self, hold_id: str) -> AsyncIterator[bytes]:
        """A held master in the clear, part by part. The audit log tells that it was asked for.

        Raises:
            Refusal: the server refused it.
            Unreachable: nobody answers, or no longer.
        """
        request = holds_service_pb2.ReadEvidenceRequest(request_id=str(uuid.uuid4()), hold_id=hold_id)
        try:
            async for part in self.holds.ReadEvidence(request, metadata=self._metadata):
                yield part.chunk
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None

    # Copies for review.

    async def watch_review_copy(self, review_copy_id: str) -> AsyncIterator[overlays_pb2.ReviewCopy]:
        """A copy for review, now and at each change, until it is ready or failed.

        Raises:
            Refusal: there is no such copy.
            Unreachable: nobody answers, or no longer.
        """
        request = overlays_service_pb2.WatchReviewCopyRequest(review_copy_id=review_copy_id)
        try:
            async for answer in self.overlays.WatchReviewCopy(request, metadata=self._metadata):
                yield answer.review_copy
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None

    async def review_copy_file(self, review_copy_id: str) -> AsyncIterator[bytes]:
        """The file of a copy for review, part by part.

        Raises:
            Refusal: it is not ready.
            Unreachable: nobody answers, or no longer.
        """
        request = overlays_service_pb2.GetReviewCopyFileRequest(review_copy_id=review_copy_id)
        try:
            async for part in self.overlays.GetReviewCopyFile(request, metadata=self._metadata):
                yield part.part
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None

    # Requests of persons about their data.

    async def personal_data(self, data_request_id: str) -> AsyncIterator[bytes]:
        """What is kept about whoever asked for it, as a ZIP file, part by part. One that breaks off has to be asked for again.

        Raises:
            Refusal: the server refused it.
            Unreachable: nobody answers, or no longer.
        """
        request = rights_service_pb2.GetDataOfRequestRequest(data_request_id=data_request_id)
        try:
            async for part in self.rights.GetDataOfRequest(request, metadata=self._metadata):
                yield part.body.data
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None
