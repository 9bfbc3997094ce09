"""UploadService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from reelmesh.upload.v1 import upload_service_pb2, upload_service_pb2_grpc

from services.kit import events, idempotency, pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.ids import new_id
from services.kit.server import current_call
from services.kit.storage import ObjectStore
from services.upload import store
from services.upload.domain import (
    DOMAIN,
    Purpose,
    State,
    Upload,
    Watermarking,
    bytes_lost,
    file_corrupt,
    master_key,
    title_of,
    within_limit,
)
from services.upload.intake import Chunk, Staging, no_space, sha256_of
from services.upload.messages import event_of, message_of
from services.upload.receiving import Receiving

Context = grpc.aio.ServicerContext[Any, Any]


class UploadServicer(upload_service_pb2_grpc.UploadServiceServicer):
    """Serves `reelmesh.upload.v1.UploadService`.

    Args:
        receiving: takes the bytes in.
        limit_bytes: largest file taken.
        patience: how long an unfinished upload is kept after its last chunk.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        staging: Staging,
        receiving: Receiving,
        clock: Clock,
        *,
        limit_bytes: int,
        patience: timedelta,
    ) -> None:
        self._database = database
        self._objects = objects
        self._staging = staging
        self._receiving = receiving
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._patience = patience

    async def CreateUpload(
        self, request: upload_service_pb2.CreateUploadRequest, context: Context
    ) -> upload_service_pb2.CreateUploadResponse:
        """Announces a file and reserves its ids."""
        organisation_id = current_call().organisation_id
        within_limit(request.size_bytes, self._limit_bytes)
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(
                tx, organisation_id, request, upload_service_pb2.CreateUploadResponse
            )
            if earlier is not None:
                return earlier
            if await asyncio.to_thread(self._staging.room) < request.size_bytes:
                raise no_space()
            now = self._clock.now()
            upload = Upload(
                upload_id=new_id("upl"),
                asset_id=new_id("ast"),
                organisation_id=organisation_id,
                filename=request.filename,
                title=title_of(request.filename, request.title),
                content_type=request.content_type,
                size_bytes=request.size_bytes,
                received_bytes=0,
                state=State.RECEIVING,
                sha256=request.sha256,
                create_time=now,
                expire_time=now + self._patience,
                commit_time=None,
                watermarking=Watermarking(request.watermarking),
                actor=principal.name if (principal := current_call().principal) else "",
                purpose=Purpose(request.purpose or Purpose.TITLE),
            )
            await store.add(tx, upload)
            answer = upload_service_pb2.CreateUploadResponse(upload=message_of(upload))
            await idempotency.remember(tx, organisation_id, request, answer)
        return answer

    async def GetUpload(
        self, request: upload_service_pb2.GetUploadRequest, context: Context
    ) -> upload_service_pb2.GetUploadResponse:
        """One upload."""
        return upload_service_pb2.GetUploadResponse(upload=message_of(await self._get(request.upload_id)))

    async def ListUploads(
        self, request: upload_service_pb2.ListUploadsRequest, context: Context
    ) -> upload_service_pb2.ListUploadsResponse:
        """The organisation's uploads, newest first."""
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.state, part)
        shown = found[: part.size]
        token = part.next_token(shown[-1].upload_id) if len(found) > part.size else ""
        return upload_service_pb2.ListUploadsResponse(
            uploads=[message_of(upload) for upload in shown], next_page_token=token
        )

    async def WriteUpload(
        self, requests: AsyncIterator[upload_service_pb2.WriteUploadRequest], context: Context
    ) -> upload_service_pb2.WriteUploadResponse:
        """Appends the chunks of one stream."""
        first = await anext(requests, None)
        if first is None or not first.upload_id:
            raise _request_invalid("upload_id", "the first message must name the upload")
        # Asked before a stream is ended for this one: another organisation's upload is none of its business.
        await self._get(first.upload_id)
        async with self._receiving.writers.alone(first.upload_id):
            upload = await self._get(first.upload_id)
            upload.accepting(first.offset)
            upload = await self._receiving.received(upload, _chunks(upload, first, requests))
        return upload_service_pb2.WriteUploadResponse(upload=message_of(upload))

    async def CompleteUpload(
        self, request: upload_service_pb2.CompleteUploadRequest, context: Context
    ) -> upload_service_pb2.CompleteUploadResponse:
        """Checks the whole file and commits it as a master."""
        await self._get(request.upload_id)
        async with self._receiving.writers.alone(request.upload_id):
            upload = await self._get(request.upload_id)
            if upload.state is not State.COMMITTED:
                upload = await self._committed(await self._with_presigned(upload), request.sha256)
            elif request.sha256 and request.sha256 != upload.sha256:
                raise file_corrupt(request.sha256, upload.sha256)
        return upload_service_pb2.CompleteUploadResponse(upload=message_of(upload))

    async def CancelUpload(
        self, request: upload_service_pb2.CancelUploadRequest, context: Context
    ) -> upload_service_pb2.CancelUploadResponse:
        """Gives an upload up."""
        await self._get(request.upload_id)
        async with self._receiving.writers.alone(request.upload_id):
            async with self._database.transaction() as tx:
                upload = (
                    await store.get(tx, current_call().organisation_id, request.upload_id, for_update=True)
                ).cancelled()
                await store.put(tx, upload)
            await self._remove_staged(upload)
        return upload_service_pb2.CancelUploadResponse(upload=message_of(upload))

    async def CreateUploadUrl(
        self, request: upload_service_pb2.CreateUploadUrlRequest, context: Context
    ) -> upload_service_pb2.CreateUploadUrlResponse:
        """A URL straight into the object store."""
        upload = await self._get(request.upload_id)
        upload.accepting(0)
        # What is put after the upload expired would be nobody's, and stay.
        left = (upload.expire_time or self._clock.now()) - self._clock.now()
        lifetime = max(min(left, timedelta(hours=12)), timedelta(seconds=1))
        url = await self._objects.presigned_put(upload.staging_key, lifetime)
        if url is None:
            raise Refusal(
                grpc.StatusCode.UNIMPLEMENTED,
                "PRESIGN_UNSUPPORTED",
                "the object store in use is a local folder and cannot presign; send the bytes by WriteUpload or tus",
                domain=DOMAIN,
                metadata={"store": "local"},
            )
        return upload_service_pb2.CreateUploadUrlResponse(url=url, expire_time=timestamp(self._clock.now() + lifetime))

    async def _get(self, upload_id: str) -> Upload:
        async with self._database.transaction() as tx:
            return await store.get(tx, current_call().organisation_id, upload_id)

    async def _with_presigned(self, upload: Upload) -> Upload:
        """The upload, with a file that was put straight into the object store counted as received."""
        if self._objects.is_local or upload.received_bytes:
            return upload
        size = await self._objects.size_of(upload.staging_key)
        return upload if size is None else _holding(upload, size)

    async def _committed(self, upload: Upload, sha256: str) -> Upload:
        expected = upload.completable(sha256)
        staged = self._staging.path(upload.upload_id)
        presigned = not await asyncio.to_thread(staged.exists)
        if presigned:
            if await self._objects.size_of(upload.staging_key) is None:
                raise bytes_lost(upload.upload_id)
            # Whoever holds the URL can put another file there at any moment. What was measured becomes the master, not what lies there then.
            async with self._objects.local_copy(upload.staging_key) as copy:
                _holding(upload, copy.stat().st_size).completable(sha256)
                measured = await asyncio.to_thread(sha256_of, copy)
                await self._add_master(copy, expected, measured)
        else:
            measured = await asyncio.to_thread(self._staging.measured, upload.upload_id, upload.size_bytes)
            await self._add_master(staged, expected, measured)
        async with self._database.transaction() as tx:
            current = await store.get(tx, upload.organisation_id, upload.upload_id, for_update=True)
            committed = replace(current, received_bytes=upload.received_bytes).committed(measured, self._clock.now())
            await store.put(tx, committed)
            await events.announce(tx, event_of(committed))
        await self._remove_staged(committed)
        return committed

    async def _add_master(self, file: Path, expected: str, measured: str) -> None:
        if expected and measured != expected:
            raise file_corrupt(expected, measured)
        await self._objects.add_file(file, master_key(measured))

    async def _remove_staged(self, upload: Upload) -> None:
        await asyncio.to_thread(self._staging.forget, upload.upload_id)
        if not self._objects.is_local:
            await self._objects.delete(upload.staging_key)


async def _chunks(
    upload: Upload,
    first: upload_service_pb2.WriteUploadRequest,
    requests: AsyncIterator[upload_service_pb2.WriteUploadRequest],
) -> AsyncGenerator[Chunk]:
    """What a stream brings for an upload, each at the offset that it names, if it names one."""
    expected = upload.received_bytes
    request: upload_service_pb2.WriteUploadRequest | None = first
    while request is not None:
        if request.HasField("offset") and request.offset != expected:
            replace(upload, received_bytes=expected).accepting(request.offset)
        if request.upload_id and request.upload_id != upload.upload_id:
            raise _request_invalid("upload_id", "one stream writes to one upload")
        chunk = Chunk(request.chunk.data, request.crc32c if request.HasField("crc32c") else None)
        expected += len(chunk.data)
        yield chunk
        request = await anext(requests, None)


def _holding(upload: Upload, size: int) -> Upload:
    """The upload with a whole file of that size counted as received; one that is too large counts for nothing."""
    return replace(upload, received_bytes=size if size <= upload.size_bytes else 0)


def _request_invalid(field: str, why: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", f"{field}: {why}", domain=RPC_DOMAIN, fields=[(field, why)]
    )
