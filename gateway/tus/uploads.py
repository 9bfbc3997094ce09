"""Uploads as the upload service knows them, on behalf of whoever sent the request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import google_crc32c
import grpc
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from gateway.tus.body import Block, Blocks
from gateway.tus.headers import Description
from services.kit.errors import Refusal
from services.kit.ids import new_id

Stub: TypeAlias = "upload_service_pb2_grpc.UploadServiceAsyncStub"
Upload: TypeAlias = upload_pb2.Upload

_WRITE_UPLOAD: Final = "/reelmesh.upload.v1.UploadService/WriteUpload"
# The service may have to read the whole file once more.
_COMPLETION_SECONDS: Final = 3600.0


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise Refusal.from_rpc_error(error) from error


def encoded(block: Block) -> bytes:
    """A `WriteUploadRequest` with a block and its CRC32C, in the wire format of protobuf.

    Written out here because the library copies the block once into the message and again out of it, which is a tenth of what the
    gateway has to do. https://protobuf.dev/programming-guides/encoding: a field is its number and type, its length, its content.
    """
    crc32c, size = 0, 0
    for part in block:
        crc32c, size = google_crc32c.extend(crc32c, part), size + len(part)
    data = b"\x12" + _varint(size)  # HttpBody.data, field 2
    chunk = b"\x22" + _varint(len(data) + size)  # WriteUploadRequest.chunk, field 4
    return b"".join((upload_service_pb2.WriteUploadRequest(crc32c=crc32c).SerializeToString(), chunk, data, *block))


def _varint(number: int) -> bytes:
    encoding = bytearray()
    while number > 0x7F:
        encoding.append(number & 0x7F | 0x80)
        number >>= 7
    encoding.append(number)
    return bytes(encoding)


class Service:
    """The upload service, for whoever calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub: Stub = upload_service_pb2_grpc.UploadServiceStub(channel)
        self.write = channel.stream_unary(
            _WRITE_UPLOAD,
            request_serializer=bytes,  # of `bytes` it makes no copy
            response_deserializer=upload_service_pb2.WriteUploadResponse.FromString,
        )


class Uploads:
    """Calls with the credential of the request, whatever it is: the service judges it. Every method raises `Refusal`."""

    def __init__(self, service: Service, shown: Sequence[tuple[str, str]]) -> None:
        self._service = service
        self._stub = service.stub
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
        """Appends blocks until there are no more. When the service ends the call, reading is stopped at once: it has said why.

        Args:
            upload_id: the upload.
            offset: where the first block goes.
            blocks: the bytes; None to learn only whether they would be taken.
        """
        call = self._service.write(metadata=self._metadata)  # type: ignore[call-arg]  # the stubs want an iterator
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            # Without bytes, so that a refusal comes before the client has sent any.
            await call.write(
                upload_service_pb2.WriteUploadRequest(upload_id=upload_id, offset=offset).SerializeToString()
            )
            if blocks is not None:
                call.add_done_callback(lambda _: blocks.stop())
                while block := await blocks.block():
                    await call.write(encoded(block))
            await call.done_writing()
        with _refusals():
            answer: upload_service_pb2.WriteUploadResponse = await call
            return answer.upload

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
