"""Uploads straight into an object store that speaks S3."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import httpx
import pytest
from google.api.httpbody_pb2 import HttpBody
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.storage import ObjectStore
from services.upload.__main__ import CONTRACT, UploadSettings, wire
from tests.support.running import connected, running

Stub: TypeAlias = "upload_service_pb2_grpc.UploadServiceAsyncStub"


@pytest.fixture
async def stub(mesh: ProcessSettings, s3_bucket: str) -> AsyncIterator[Stub]:
    settings = UploadSettings(**{**mesh.model_dump(), "storage_url": f"s3://{s3_bucket}/uploads"})
    async with running("upload", settings, wire), connected(settings, "upload", CONTRACT) as channel:
        yield upload_service_pb2_grpc.UploadServiceStub(channel)


async def created(stub: Stub, size: int) -> upload_pb2.Upload:
    request = upload_service_pb2.CreateUploadRequest(request_id=new_id("req"), filename="film.mp4", size_bytes=size)
    return (await stub.CreateUpload(request)).upload


async def put_directly(stub: Stub, upload_id: str, data: bytes) -> None:
    url = (await stub.CreateUploadUrl(upload_service_pb2.CreateUploadUrlRequest(upload_id=upload_id))).url
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        assert (await http.put(url, content=data)).status_code == 200


async def master(bucket: str, sha256: str) -> bytes:
    async with ObjectStore.at(f"s3://{bucket}/uploads").local_copy(f"masters/{sha256}") as path:
        return path.read_bytes()


async def test_a_file_put_to_a_presigned_url_is_checked_and_committed(stub: Stub, s3_bucket: str) -> None:
    data = os.urandom(300_000)
    digest = hashlib.sha256(data).hexdigest()
    upload = await created(stub, len(data))
    await put_directly(stub, upload.upload_id, data)
    request = upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id, sha256=digest)
    committed = (await stub.CompleteUpload(request)).upload
    assert (committed.state, committed.received_bytes) == (upload_pb2.UPLOAD_STATE_COMMITTED, len(data))
    assert await master(s3_bucket, digest) == data
    assert await ObjectStore.at(f"s3://{s3_bucket}/uploads").size_of(f"staging/{upload.upload_id}") is None


@pytest.mark.parametrize(("data", "reason"), [(b"abd", "FILE_CORRUPT"), (b"ab", "INCOMPLETE"), (b"abcd", "INCOMPLETE")])
async def test_a_file_that_is_not_the_announced_one_is_refused(stub: Stub, data: bytes, reason: str) -> None:
    upload = await created(stub, 3)
    await put_directly(stub, upload.upload_id, data)
    request = upload_service_pb2.CompleteUploadRequest(
        upload_id=upload.upload_id, sha256=hashlib.sha256(b"abc").hexdigest()
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CompleteUpload(request)
    assert Refusal.from_rpc_error(caught.value).reason == reason


async def test_a_stream_ends_up_in_the_same_store(stub: Stub, s3_bucket: str) -> None:
    data = os.urandom(100_000)
    upload = await created(stub, len(data))
    chunk = upload_service_pb2.WriteUploadRequest(upload_id=upload.upload_id, offset=0, chunk=HttpBody(data=data))
    await stub.WriteUpload(iter([chunk]))
    await stub.CompleteUpload(upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id))
    assert await master(s3_bucket, hashlib.sha256(data).hexdigest()) == data


async def test_what_is_put_during_completion_does_not_become_the_master(stub: Stub, s3_bucket: str) -> None:
    """The URL goes on to work, and a master of that content may be another organisation's too: a name never holds anything else."""
    for _ in range(4):
        data = os.urandom(8_000_000)
        digest = hashlib.sha256(data).hexdigest()
        upload = await created(stub, len(data))
        request = upload_service_pb2.CreateUploadUrlRequest(upload_id=upload.upload_id)
        url = (await stub.CreateUploadUrl(request)).url
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            await http.put(url, content=data)
            complete = upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id)
            completing = asyncio.ensure_future(stub.CompleteUpload(complete))
            await asyncio.sleep(0.02)  # until its size was looked at
            while not completing.done():
                await http.put(url, content=b"something else")
        try:
            assert (await completing).upload.sha256 == digest
        except grpc.aio.AioRpcError as error:
            assert Refusal.from_rpc_error(error).reason == "INCOMPLETE"  # noqa: PT017  # either may come first
        else:
            assert await master(s3_bucket, digest) == data


async def test_a_presigned_url_does_not_outlast_its_upload(stub: Stub) -> None:
    upload = await created(stub, 3)
    request = upload_service_pb2.CreateUploadUrlRequest(upload_id=upload.upload_id)
    assert (await stub.CreateUploadUrl(request)).expire_time.ToNanoseconds() <= upload.expire_time.ToNanoseconds()
