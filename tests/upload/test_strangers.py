"""What other organisations and odd senders can do to an upload: nothing."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from reelmesh.upload.v1 import upload_service_pb2, upload_service_pb2_grpc

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.upload.__main__ import CONTRACT, UploadSettings, wire
from services.upload.intake import Chunk, GrowingFile, RunningHash
from services.upload.write_behind import QUEUE_BYTES
from tests.support.running import connected, running


async def test_another_organisation_does_not_end_a_running_stream(
    mesh: ProcessSettings, other_organisation_key: str
) -> None:
    """A newer stream of the owner ends an older one, but whoever may not even see the upload has no say in it."""
    settings = UploadSettings(**mesh.model_dump())
    async with (
        running("upload", settings, wire),
        connected(settings, "upload", CONTRACT) as ours,
        connected(settings, "upload", CONTRACT, key=other_organisation_key) as theirs,
    ):
        owner = upload_service_pb2_grpc.UploadServiceStub(ours)
        stranger = upload_service_pb2_grpc.UploadServiceStub(theirs)
        request = upload_service_pb2.CreateUploadRequest(request_id=new_id("req"), filename="a.mp4", size_bytes=6)
        upload_id = (await owner.CreateUpload(request)).upload.upload_id
        go_on = asyncio.Event()

        async def sent() -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
            yield upload_service_pb2.WriteUploadRequest(upload_id=upload_id, offset=0, chunk=HttpBody(data=b"abc"))
            await go_on.wait()
            yield upload_service_pb2.WriteUploadRequest(chunk=HttpBody(data=b"def"))

        stream = owner.WriteUpload(sent())
        await asyncio.sleep(0.2)
        for refused in (
            stranger.WriteUpload(iter([upload_service_pb2.WriteUploadRequest(upload_id=upload_id, offset=0)])),
            stranger.CompleteUpload(upload_service_pb2.CompleteUploadRequest(upload_id=upload_id)),
            stranger.CancelUpload(upload_service_pb2.CancelUploadRequest(upload_id=upload_id)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await refused
            assert Refusal.from_rpc_error(caught.value).reason == "UPLOAD_NOT_FOUND"
        go_on.set()
        assert (await stream).upload.received_bytes == 6


@pytest.mark.parametrize("length", [0, 2, 300])
def test_chunks_take_no_more_memory_than_they_are_counted_for(length: int) -> None:
    """A batch ends by what it takes, or a stream of empty chunks would grow without end."""
    count = 2000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        batch = [Chunk(os.urandom(length), 0x9ABCDEF0 + number) for number in range(count)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= sum(chunk.memory for chunk in batch)
    assert count * batch[0].memory > QUEUE_BYTES // 16


def test_a_whole_file_is_not_opened_for_writing(tmp_path: Path) -> None:
    """From the moment that completion has linked it, it is a master too; should completion die there, a late stream finds it so."""
    whole = tmp_path / "upl"
    whole.write_bytes(b"abc")
    whole.chmod(0o444)
    file = GrowingFile(whole, 3, 3, RunningHash())
    with pytest.raises(Refusal, match="BEYOND_SIZE"):
        file.append([Chunk(b"d", None)])
    assert file.sync() == 3
    file.append([Chunk(b"", None)])
    file.close()
    assert whole.read_bytes() == b"abc"


def test_a_file_that_lost_counted_bytes_is_not_filled_up_with_zeros(tmp_path: Path) -> None:
    short = tmp_path / "upl"
    short.write_bytes(b"ab")
    with pytest.raises(Refusal, match="BYTES_LOST"):
        GrowingFile(short, 3, 6, RunningHash())
    assert short.read_bytes() == b"ab"
