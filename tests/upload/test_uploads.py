"""UploadService on the real stores."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import google_crc32c
import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from reelmesh.upload.v1 import events_pb2, upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from services.kit import events
from services.kit.clock import FixedClock, SystemClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.upload.__main__ import CONTRACT, UploadSettings, wire
from services.upload.expiry import Sweeper
from services.upload.intake import Staging
from tests.support.running import connected, running

MIB = 1024 * 1024
Stub: TypeAlias = "upload_service_pb2_grpc.UploadServiceAsyncStub"


@dataclass(frozen=True)
class Uploads:
    """The running service, and where its files lie."""

    stub: Stub
    settings: UploadSettings
    clock: FixedClock

    @property
    def staging(self) -> Path:
        return self.settings.data_dir / "objects/staging"

    def master(self, sha256: str) -> Path:
        return self.settings.data_dir / "objects/masters" / sha256


@pytest.fixture
async def uploads(mesh: ProcessSettings) -> AsyncIterator[Uploads]:
    settings = UploadSettings(**mesh.model_dump(), upload_limit_bytes=200 * MIB, upload_checkpoint_bytes=MIB)
    clock = FixedClock(SystemClock().now())
    async with running("upload", settings, wire, clock=clock), connected(settings, "upload", CONTRACT) as channel:
        yield Uploads(upload_service_pb2_grpc.UploadServiceStub(channel), settings, clock)


async def created(stub: Stub, size: int, **fields: Any) -> upload_pb2.Upload:
    request = upload_service_pb2.CreateUploadRequest(
        request_id=new_id("req"), filename="film.mp4", size_bytes=size, **fields
    )
    return (await stub.CreateUpload(request)).upload


async def test_whoever_uploads_may_say_whether_the_film_is_watermarked(uploads: Uploads) -> None:
    strong = await created(uploads.stub, 3, watermarking=upload_pb2.WATERMARKING_STRONG)
    assert strong.watermarking == upload_pb2.WATERMARKING_STRONG
    assert (await created(uploads.stub, 3)).watermarking == upload_pb2.WATERMARKING_UNSPECIFIED
    found = await uploads.stub.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=strong.upload_id))
    assert found.upload.watermarking == upload_pb2.WATERMARKING_STRONG


async def test_whoever_uploads_may_say_that_a_file_is_evidence(uploads: Uploads) -> None:
    evidence = await created(uploads.stub, 3, purpose=upload_pb2.UPLOAD_PURPOSE_EVIDENCE)
    assert evidence.purpose == upload_pb2.UPLOAD_PURPOSE_EVIDENCE
    assert (await created(uploads.stub, 3)).purpose == upload_pb2.UPLOAD_PURPOSE_TITLE
    found = await uploads.stub.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=evidence.upload_id))
    assert found.upload.purpose == upload_pb2.UPLOAD_PURPOSE_EVIDENCE


def chunks(
    upload_id: str, data: bytes, *, offset: int = 0, size: int = 256 * 1024, crc: bool = True
) -> Iterator[upload_service_pb2.WriteUploadRequest]:
    for start in range(0, len(data), size):
        part = data[start : start + size]
        yield upload_service_pb2.WriteUploadRequest(
            upload_id=upload_id,
            offset=offset + start,
            crc32c=google_crc32c.value(part) if crc else None,
            chunk=HttpBody(data=part),
        )


async def refused(call: Callable[[], Awaitable[object]]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()
    return Refusal.from_rpc_error(caught.value)


async def test_a_file_becomes_a_content_addressed_master_and_its_event_is_published(uploads: Uploads) -> None:
    data = os.urandom(5 * MIB + 17)
    digest = hashlib.sha256(data).hexdigest()
    upload = await created(uploads.stub, len(data))
    assert upload.title == "film"
    written = (await uploads.stub.WriteUpload(chunks(upload.upload_id, data))).upload
    assert written.received_bytes == len(data)
    complete = upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id, sha256=digest)
    committed = (await uploads.stub.CompleteUpload(complete)).upload
    assert (committed.state, committed.sha256) == (upload_pb2.UPLOAD_STATE_COMMITTED, digest)
    assert (await uploads.stub.CompleteUpload(complete)).upload == committed
    assert uploads.master(digest).read_bytes() == data
    assert not list(uploads.staging.iterdir())

    bus = await events.connect(uploads.settings, "test")
    subscription = await bus.jetstream().subscribe("reelmesh.upload.v1.UploadCommitted", ordered_consumer=True)
    try:
        while True:
            message = await subscription.next_msg(timeout=30)
            event = events_pb2.UploadCommitted.FromString(message.data)
            if event.upload_id == upload.upload_id:
                break
    finally:
        await bus.close()
    assert (event.asset_id, event.object_key) == (upload.asset_id, f"masters/{digest}")


async def test_a_broken_stream_keeps_what_arrived_and_goes_on_from_there(uploads: Uploads) -> None:
    data = os.urandom(4 * MIB)
    upload = await created(uploads.stub, len(data))
    more = asyncio.Event()

    async def breaking() -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
        for chunk in chunks(upload.upload_id, data[: 3 * MIB]):
            yield chunk
        await more.wait()

    call = uploads.stub.WriteUpload(breaking())
    async with asyncio.timeout(30):
        while (
            await uploads.stub.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id))
        ).upload.received_bytes < MIB:
            await asyncio.sleep(0.02)
    call.cancel()
    async with asyncio.timeout(30):
        while True:
            offset = (
                await uploads.stub.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id))
            ).upload.received_bytes
            if offset == 3 * MIB:
                break
            await asyncio.sleep(0.02)
    await uploads.stub.WriteUpload(chunks(upload.upload_id, data[offset:], offset=offset))
    digest = hashlib.sha256(data).hexdigest()
    await uploads.stub.CompleteUpload(
        upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id, sha256=digest)
    )
    assert uploads.master(digest).read_bytes() == data


async def test_a_second_stream_takes_over_from_a_silent_first(uploads: Uploads) -> None:
    data = os.urandom(2 * MIB)
    upload = await created(uploads.stub, len(data))

    async def silent() -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
        for chunk in chunks(upload.upload_id, data[:MIB]):
            yield chunk
        await asyncio.Event().wait()

    first = uploads.stub.WriteUpload(silent())
    staged = uploads.staging / upload.upload_id
    async with asyncio.timeout(30):
        while not staged.exists() or staged.stat().st_size < MIB:
            await asyncio.sleep(0.02)
    # The client of the second stream believes that nothing arrived yet, and is told better.
    refusal = await refused(lambda: uploads.stub.WriteUpload(chunks(upload.upload_id, data)))
    assert refusal.reason == "OFFSET_MISMATCH"
    offset = int(refusal.metadata["expected_offset"])
    assert offset == MIB
    written = await uploads.stub.WriteUpload(chunks(upload.upload_id, data[offset:], offset=offset))
    assert written.upload.received_bytes == len(data)
    assert (await refused(lambda: first)).reason == "WRITER_BUSY"


async def test_a_corrupt_chunk_is_refused_and_what_came_before_is_kept(uploads: Uploads) -> None:
    data = os.urandom(MIB)
    upload = await created(uploads.stub, len(data))
    sent = list(chunks(upload.upload_id, data))
    sent[2].crc32c ^= 1
    refusal = await refused(lambda: uploads.stub.WriteUpload(iter(sent)))
    assert (refusal.reason, refusal.metadata["offset"]) == ("CHUNK_CORRUPT", str(512 * 1024))
    again = (await uploads.stub.WriteUpload(chunks(upload.upload_id, data[512 * 1024 :], offset=512 * 1024))).upload
    assert again.received_bytes == len(data)


async def test_a_file_that_is_not_what_its_sum_says_is_not_committed(uploads: Uploads) -> None:
    upload = await created(uploads.stub, 3, sha256=hashlib.sha256(b"abc").hexdigest())
    await uploads.stub.WriteUpload(chunks(upload.upload_id, b"abd"))
    refusal = await refused(
        lambda: uploads.stub.CompleteUpload(upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id))
    )
    assert refusal.reason == "FILE_CORRUPT"
    assert refusal.metadata["measured_sha256"] == hashlib.sha256(b"abd").hexdigest()
    await uploads.stub.CancelUpload(upload_service_pb2.CancelUploadRequest(upload_id=upload.upload_id))
    assert not list(uploads.staging.iterdir())


@pytest.mark.parametrize(("offset", "expected"), [(1, 0), (10**12, 0)])
async def test_a_chunk_at_the_wrong_offset_is_refused(uploads: Uploads, offset: int, expected: int) -> None:
    upload = await created(uploads.stub, 10)
    refusal = await refused(lambda: uploads.stub.WriteUpload(chunks(upload.upload_id, b"0123456789", offset=offset)))
    assert (refusal.reason, refusal.metadata["expected_offset"]) == ("OFFSET_MISMATCH", str(expected))


async def test_chunks_out_of_order_within_a_stream_are_refused(uploads: Uploads) -> None:
    data = os.urandom(MIB)
    upload = await created(uploads.stub, len(data))
    one, two, three, four = chunks(upload.upload_id, data)
    refusal = await refused(lambda: uploads.stub.WriteUpload(iter([one, three, two, four])))
    assert refusal.reason == "OFFSET_MISMATCH"


async def test_more_bytes_than_announced_are_refused(uploads: Uploads) -> None:
    upload = await created(uploads.stub, 5)
    refusal = await refused(lambda: uploads.stub.WriteUpload(chunks(upload.upload_id, b"0123456789", crc=False)))
    assert refusal.reason == "BEYOND_SIZE"
    assert (uploads.staging / upload.upload_id).stat().st_size == 5


async def test_an_unfinished_upload_is_not_completed(uploads: Uploads) -> None:
    upload = await created(uploads.stub, 5)
    refusal = await refused(
        lambda: uploads.stub.CompleteUpload(upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id))
    )
    assert (refusal.reason, refusal.metadata) == (
        "INCOMPLETE",
        {"received_bytes": "0", "size_bytes": "5", "correlation_id": refusal.metadata["correlation_id"]},
    )


async def test_a_file_over_the_limit_and_an_empty_one_are_refused(uploads: Uploads) -> None:
    assert (await refused(lambda: created(uploads.stub, 201 * MIB))).reason == "FILE_TOO_LARGE"
    refusal = await refused(lambda: created(uploads.stub, 0))
    assert (refusal.reason, refusal.fields[0][0]) == ("REQUEST_INVALID", "size_bytes")


async def test_a_text_that_cannot_be_kept_is_the_callers_fault(uploads: Uploads) -> None:
    refusal = await refused(lambda: created(uploads.stub, 3, title="a\0b"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")


async def test_a_repeated_creation_returns_the_first_answer_and_another_body_is_refused(uploads: Uploads) -> None:
    request = upload_service_pb2.CreateUploadRequest(request_id="the-same-id", filename="a.mp4", size_bytes=3)
    answers = await asyncio.gather(*(uploads.stub.CreateUpload(request) for _ in range(8)))
    assert len({answer.upload.upload_id for answer in answers}) == 1
    request.size_bytes = 4
    assert (await refused(lambda: uploads.stub.CreateUpload(request))).reason == "REQUEST_ID_REUSED"


async def test_another_organisation_sees_nothing(uploads: Uploads, other_organisation_key: str) -> None:
    upload = await created(uploads.stub, 3)
    async with connected(uploads.settings, "upload", CONTRACT, key=other_organisation_key) as channel:
        other = upload_service_pb2_grpc.UploadServiceStub(channel)
        refusal = await refused(
            lambda: other.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id))
        )
        assert refusal.reason == "UPLOAD_NOT_FOUND"
        assert not (await other.ListUploads(upload_service_pb2.ListUploadsRequest())).uploads


async def test_every_method_needs_a_credential(uploads: Uploads) -> None:
    async with connected(uploads.settings, "upload", CONTRACT, key="") as channel:
        bare = upload_service_pb2_grpc.UploadServiceStub(channel)
        refusal = await refused(lambda: bare.ListUploads(upload_service_pb2.ListUploadsRequest()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    async with connected(uploads.settings, "upload", CONTRACT, key="rmk_" + "x" * 42) as channel:
        wrong = upload_service_pb2_grpc.UploadServiceStub(channel)
        assert (
            await refused(lambda: wrong.ListUploads(upload_service_pb2.ListUploadsRequest()))
        ).reason == "CREDENTIAL_INVALID"


async def test_pages_hold_every_upload_once_and_a_token_is_bound_to_its_filter(uploads: Uploads) -> None:
    made = [(await created(uploads.stub, 3)).upload_id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await uploads.stub.ListUploads(upload_service_pb2.ListUploadsRequest(page_size=2, page_token=token))
        seen += [upload.upload_id for upload in page.uploads]
        token = page.next_page_token
        if not token:
            break
        other = upload_service_pb2.ListUploadsRequest(page_token=token, state=upload_pb2.UPLOAD_STATE_COMMITTED)
        assert (await refused(lambda other=other: uploads.stub.ListUploads(other))).reason == "PAGE_TOKEN_INVALID"  # type: ignore[misc]
    assert sorted(seen) == sorted(made)


async def test_an_upload_that_nobody_finishes_expires_and_leaves_nothing(uploads: Uploads) -> None:
    upload = await created(uploads.stub, 10)
    await uploads.stub.WriteUpload(chunks(upload.upload_id, b"01234"))
    uploads.clock.advance(timedelta(hours=25))
    async with running("upload", uploads.settings, sweep_once, clock=uploads.clock):
        pass
    found = (await uploads.stub.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id))).upload
    assert found.state == upload_pb2.UPLOAD_STATE_EXPIRED
    assert not list(uploads.staging.iterdir())
    assert (
        await refused(lambda: uploads.stub.WriteUpload(chunks(upload.upload_id, b"56789", offset=5)))
    ).reason == "NOT_RECEIVING"


async def sweep_once(process: object, settings: UploadSettings) -> None:
    from services.kit.process import Process

    assert isinstance(process, Process)
    await Sweeper(
        process.database(), process.store(), Staging(settings.data_dir / "objects/staging"), process.clock
    ).sweep()


async def test_a_local_store_says_that_it_cannot_presign(uploads: Uploads) -> None:
    upload = await created(uploads.stub, 10)
    refusal = await refused(
        lambda: uploads.stub.CreateUploadUrl(upload_service_pb2.CreateUploadUrlRequest(upload_id=upload.upload_id))
    )
    assert refusal.reason == "PRESIGN_UNSUPPORTED"


@pytest.mark.parametrize("left", [None, b"", b"0123"])
@pytest.mark.parametrize("received", [5, 10])
async def test_bytes_that_the_disk_lost_are_told_and_never_made_up(
    uploads: Uploads, received: int, left: bytes | None
) -> None:
    upload = await created(uploads.stub, 10)
    await uploads.stub.WriteUpload(chunks(upload.upload_id, b"0123456789"[:received]))
    file = uploads.staging / upload.upload_id
    file.unlink() if left is None else file.write_bytes(left)
    complete = upload_service_pb2.CompleteUploadRequest(upload_id=upload.upload_id)
    if received < 10:
        lost = await refused(lambda: uploads.stub.WriteUpload(chunks(upload.upload_id, b"x", offset=received)))
    else:
        lost = await refused(lambda: uploads.stub.CompleteUpload(complete))
    assert (lost.code, lost.reason) == (grpc.StatusCode.DATA_LOSS, "BYTES_LOST")
    cancelled = await uploads.stub.CancelUpload(upload_service_pb2.CancelUploadRequest(upload_id=upload.upload_id))
    assert cancelled.upload.state == upload_pb2.UPLOAD_STATE_CANCELLED
    assert not list(uploads.staging.iterdir())
