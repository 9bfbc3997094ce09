"""Uploads as the upload service knows them, on behalf of whoever sent the request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeAlias

import grpc
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from gateway.tus.body import Blocks
from gateway.tus.headers import Description
from services.kit.errors import Refusal
from services.kit.ids import new_id

Stub: TypeAlias = "upload_service_pb2_grpc.UploadServiceAsyncStub"
Upload: TypeAlias = upload_pb2.Upload

# The service may have to read the whole file once more.
_COMPLETION_SECONDS: Final = 3600.0


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise Refusal.from_rpc_error(error) from error


class Intake(Protocol):
    """Where bytes go, in the process of the upload service itself: no other hop is worth what it costs. See DECISIONS.md."""

    async def append(self, upload: Upload, offset: int, blocks: Blocks) -> Upload:
        """Appends blocks until there are no more, to an upload that the service let the caller write to.

        Args:
            upload: as the service told it.
            offset: where the first block goes.
            blocks: the bytes.

        Raises:
            Refusal: as `WriteUpload` has it.
        """


class Uploads:
    """Calls with the credential of the request, whatever it is: the service judges it. Every method raises `Refusal`."""

    def __init__(self, stub: Stub, intake: Intake, shown: Sequence[tuple[str, str]]) -> None:
        self._stub = stub
        self._intake = intake
        self._metadata = tuple(shown)

    async def create(self, size_bytes: int, about: Description) -> Upload:
        """A new upload."""
        request = upload_service_pb2.CreateUploadRequest(
            request_id=new_id("req"),
            filename=about.filename,
            size_bytes=size_bytes,
            content_type=about.content_type,
            title=about.title,
            sha256=about.sha256,
            purpose=about.purpose,
        )
        with _refusals():
            return (await self._stub.CreateUpload(request, metadata=self._metadata)).upload

    async def recognised(self) -> None:
        """Checks that the service knows the credential, by asking for an upload that nobody has. What it may do is judged at each call."""
        try:
            await self.get(new_id("upl"))
        except Refusal as refusal:
            if refusal.code not in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED):
                raise

    async def get(self, upload_id: str) -> Upload:
        """One upload."""
        with _refusals():
            request = upload_service_pb2.GetUploadRequest(upload_id=upload_id)
            return (await self._stub.GetUpload(request, metadata=self._metadata)).upload

    async def write(self, upload_id: str, offset: int, blocks: Blocks | None) -> Upload:
        """Appends blocks until there are no more.

        Args:
            upload_id: the upload.
            offset: where the first block goes.
            blocks: the bytes; None to learn only whether they would be taken.
        """
        # A call without bytes, so that a refusal comes before the client has sent any. It ends another stream that writes to the upload.
        first = upload_service_pb2.WriteUploadRequest(upload_id=upload_id, offset=offset)
        with _refusals():
            upload = (await self._stub.WriteUpload(iter((first,)), metadata=self._metadata)).upload
        return upload if blocks is None else await self._intake.append(upload, offset, blocks)

    async def complete(self, upload_id: str) -> Upload:
        """Makes the file a master. Asking again is harmless."""
        with _refusals():
            request = upload_service_pb2.CompleteUploadRequest(upload_id=upload_id)
            return (
                await self._stub.CompleteUpload(request, metadata=self._metadata, timeout=_COMPLETION_SECONDS)
            ).upload

    async def cancel(self, upload_id: str) -> Upload:
        """Gives the upload up."""
        with _refusals():
            request = upload_service_pb2.CancelUploadRequest(upload_id=upload_id)
            return (await self._stub.CancelUpload(request, metadata=self._metadata)).upload
