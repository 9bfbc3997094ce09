"""The ASGI application: each tus request in terms of `UploadService`."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import grpc
import structlog
from prometheus_client import Counter, Histogram
from reelmesh.upload.v1 import upload_pb2

from gateway.tus import headers
from gateway.tus.body import Blocks, Body, End, Inbox, Receive, held_back
from gateway.tus.refusals import Reason, body_too_long, http_status, refused
from gateway.tus.turns import Turns
from gateway.tus.uploads import Intake, Stub, Upload, Uploads
from services.kit import telemetry
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.ids import is_id
from services.kit.server import as_refusal

log = structlog.stdlib.get_logger()

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_RECEIVING: Final = upload_pb2.UPLOAD_STATE_RECEIVING
_COMMITTED: Final = upload_pb2.UPLOAD_STATE_COMMITTED
_METHODS: Final = ("OPTIONS", "POST", "HEAD", "PATCH", "DELETE")
_SPARED_BYTES: Final = 1024**3
ASSET_HEADER: Final = "reelmesh-asset-id"
"""Names the asset that the file will be, so that a page can follow it further."""

SECONDS: Final = Histogram(
    "reelmesh_tus_seconds",
    "Duration of tus requests.",
    ["method", "status"],
    buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600, 3600),
)
BYTES: Final = Counter("reelmesh_tus_received_bytes_total", "Bytes that became durable through tus.")


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set about the gateway.

    Attributes:
        path: address of the collection, with a slash at its end.
        limit_bytes: largest file that the service takes, as announced to clients.
        held_back_bytes: longest body with a checksum.
        spool: folder for such bodies while they are held back.
        most_bodies: bodies received at a time; each needs about 4 MiB of memory.
    """

    path: str
    limit_bytes: int
    held_back_bytes: int
    spool: Path
    most_bodies: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client. Header names in lower case."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """One request with what it may touch.

    Attributes:
        method: after `X-HTTP-Method-Override`.
        upload_id: last part of the path; empty for the collection.
        fields: header fields by lower-case name.
    """

    method: str
    upload_id: str
    fields: Mapping[str, str]
    uploads: Uploads
    receive: Receive


class Tus:
    """tus 1.0 over HTTP/1.1.

    Args:
        stub: the upload service; it judges whoever asks.
        intake: takes the bytes.
    """

    def __init__(self, stub: Stub, intake: Intake, options: Options) -> None:
        self._stub = stub
        self._intake = intake
        self._options = options
        self._turns = Turns(options.most_bodies)

    def drain(self) -> None:
        """Ends bodies that are being received in good order; see `Turns.drain`."""
        self._turns.drain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        started = time.monotonic()
        raw = dict(scope["headers"])
        offered = raw.get(telemetry.CORRELATION_HEADER.encode(), b"").decode("latin-1")
        inbox = Inbox(receive, empty=raw.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in raw)
        with telemetry.correlated(offered or None) as correlation_id:
            method, upload_id = scope["method"], self._upload_id(scope["path"])
            detail: dict[str, object] = {}
            try:
                request = self._request(scope, inbox, upload_id)
                method = request.method
                answer = await self._answer(request)
            except Exception as error:
                refusal = as_refusal(error)
                if refusal is None:
                    log.exception("defect", method=method)
                    refusal = _defect()
                answer = _refusal_answer(refusal, correlation_id)
                await inbox.read_away()
                detail = {"reason": refusal.reason, "refusal": refusal.message}
            await _sent(send, answer, correlation_id, head=scope["method"] == "HEAD")
            seconds = time.monotonic() - started
            SECONDS.labels(method if method in _METHODS else "other", answer.status).observe(seconds)
            detail |= {"upload_id": upload_id or "", "offset": answer.fields.get("upload-offset", "")}
            log.info("request", method=method, status=answer.status, milliseconds=round(seconds * 1000, 1), **detail)

    def _upload_id(self, path: str) -> str | None:
        """The id in a path; empty for the collection itself, None for what is neither."""
        if f"{path}/" == self._options.path:
            return ""
        if not path.startswith(self._options.path):
            return None
        upload_id = path.removeprefix(self._options.path)
        return upload_id if upload_id == "" or is_id("upl", upload_id) else None

    def _request(self, scope: Scope, receive: Receive, upload_id: str | None) -> Request:
        fields = headers.fields_of(scope["headers"])
        if upload_id is None:
            message = "there is no upload at this address"
            raise Refusal(grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND", message, domain="upload.reelmesh")
        method: str = scope["method"]
        if method == "POST":
            method = fields.get("x-http-method-override", method).upper()
        return Request(method, upload_id, fields, Uploads(self._stub, self._intake, headers.shown_in(fields)), receive)

    async def _answer(self, request: Request) -> Answer:
        allowed = ("OPTIONS", "POST") if not request.upload_id else ("OPTIONS", "HEAD", "PATCH", "DELETE")
        if request.method not in allowed:
            raise refused(
                Reason.METHOD_UNSUPPORTED,
                f"this address takes {', '.join(allowed)}",
                metadata={"allow": ", ".join(allowed)},
            )
        if request.method == "OPTIONS":
            return self._discovered()
        headers.check_version(request.fields)
        match request.method:
            case "POST":
                return await self._created(request)
            case "HEAD":
                return await self._found(request)
            case "PATCH":
                return await self._appended(request)
            case _:
                return await self._cancelled(request)

    def _discovered(self) -> Answer:
        discovery = {
            "tus-version": headers.VERSION,
            "tus-extension": headers.EXTENSIONS,
            "tus-max-size": str(self._options.limit_bytes),
            "tus-checksum-algorithm": headers.CHECKSUM_ALGORITHMS,
        }
        return Answer(204, discovery)

    async def _created(self, request: Request) -> Answer:
        """POST: a new upload, with its first bytes if it brought any."""
        size = headers.upload_length(request.fields, self._options.limit_bytes)
        about = headers.description(request.fields)

        async def created() -> Upload:
            return await request.uploads.create(size, about)

        if headers.is_body(request.fields):
            if headers.checksum(request.fields) is not None:
                # The body is held back before the service hears of it; the disk is not for strangers to fill.
                await request.uploads.recognised()
            # Should reading have been stopped here, the client finds what arrived at the address that it is now told.
            upload, _ = await self._received(request, created, offset=0, room_bytes=size)
        else:
            upload = await created()
        return Answer(201, {"location": self._options.path + upload.upload_id, **_state(upload)})

    async def _found(self, request: Request) -> Answer:
        """HEAD: where to go on."""
        upload = await self._current(request)
        if upload.state not in (_RECEIVING, _COMMITTED):
            state = upload_pb2.UploadState.Name(upload.state).removeprefix("UPLOAD_STATE_")
            raise refused(
                Reason.UPLOAD_GONE, f"the upload is {state.lower()}; create a new one", metadata={"state": state}
            )
        # Whoever sent the last byte may have died before the file was completed. A client that hears "all is there" never asks again.
        upload = await self._completed(request.uploads, upload)
        about = {"filename": upload.filename, "filetype": upload.content_type, "title": upload.title}
        if upload.purpose == upload_pb2.UPLOAD_PURPOSE_EVIDENCE:
            about["purpose"] = "evidence"
        fields = {
            "upload-length": str(upload.size_bytes),
            "upload-metadata": headers.metadata_value(about),
            "cache-control": "no-store",
        }
        return Answer(200, {**_state(upload), **fields})

    async def _appended(self, request: Request) -> Answer:
        """PATCH: more bytes."""
        if not headers.is_body(request.fields):
            raise refused(Reason.CONTENT_TYPE_UNSUPPORTED, f"send the bytes as Content-Type: {headers.BODY_TYPE}")
        offset = headers.upload_offset(request.fields)
        upload = await self._current(request)
        if upload.state == _COMMITTED and offset == upload.size_bytes and headers.body_length(request.fields) == 0:
            return Answer(204, _state(upload))
        if upload.state != _RECEIVING or offset != upload.received_bytes:
            # It is for the service to say why not. Should that have changed meanwhile, it takes no bytes, and the client goes on.
            return Answer(204, _state(await request.uploads.write(upload.upload_id, offset, None)))

        async def found() -> Upload:
            return upload

        upload, stopped_for = await self._received(request, found, offset=offset, room_bytes=upload.size_bytes - offset)
        if stopped_for is not None:
            raise stopped_for
        return Answer(204, _state(upload))

    async def _cancelled(self, request: Request) -> Answer:
        """DELETE: nothing is left."""
        upload = await self._current(request)
        await request.uploads.cancel(upload.upload_id)
        return Answer(204)

    async def _current(self, request: Request) -> Upload:
        """The upload, once nothing else writes to it here."""
        # What is written to now may have ended before the answer is there, and be counted only after it.
        written_to = self._turns.is_written_to(request.upload_id)
        upload = await request.uploads.get(request.upload_id)
        if await self._turns.end_other(request.upload_id) or written_to:
            upload = await request.uploads.get(request.upload_id)
        return upload

    async def _received(
        self, request: Request, upload_of: Callable[[], Awaitable[Upload]], *, offset: int, room_bytes: int
    ) -> tuple[Upload, Refusal | None]:
        """Passes the body on, and completes the upload when that was the rest of it.

        Args:
            request: brings the body.
            upload_of: finds or makes the upload; asked once the body is known to be acceptable.
            offset: where the body goes.
            room_bytes: from there to the end of the file.

        Returns:
            The upload, and why reading was stopped here; None when it was not.
        """
        length, checksum = headers.body_length(request.fields), headers.checksum(request.fields)
        room = room_bytes if checksum is None else min(room_bytes, self._options.held_back_bytes)
        if length is not None and length > room:
            raise body_too_long(room)
        body = Body(request.receive, room)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._turns.receiving(body))
            blocks: Blocks = body
            if checksum is not None:
                room_to_hold_back(self._options.spool, room if length is None else length)
                blocks = await stack.enter_async_context(held_back(body, checksum, self._options.spool))
            upload = await upload_of()
            with self._turns.writing(upload.upload_id, body):
                upload = await request.uploads.write(upload.upload_id, offset, blocks)
        BYTES.inc(max(upload.received_bytes - offset, 0))
        if body.end is End.TOO_LONG:
            raise body_too_long(room)
        return await self._completed(request.uploads, upload), body.stopped_for

    async def _completed(self, uploads: Uploads, upload: Upload) -> Upload:
        """The upload, committed if all its bytes are there."""
        if upload.state != _RECEIVING or upload.received_bytes < upload.size_bytes:
            return upload
        return await self._turns.completed(upload.upload_id, lambda: uploads.complete(upload.upload_id))


def room_to_hold_back(spool: Path, size: int) -> None:
    """Leaves the disk to the masters, which grow on it too.

    Raises:
        Refusal: OVERLOADED.
    """
    spool.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(spool).free < size + _SPARED_BYTES:
        message = "there is no room now for a body with a checksum; send less at a time, or without Upload-Checksum"
        raise refused(Reason.OVERLOADED, message, retry=True)


def _state(upload: Upload) -> dict[str, str]:
    fields = {"upload-offset": str(upload.received_bytes), ASSET_HEADER: upload.asset_id}
    if upload.HasField("expire_time"):
        fields["upload-expires"] = headers.http_date(upload.expire_time.ToDatetime(UTC))
    return fields


def _refusal_answer(refusal: Refusal, correlation_id: str) -> Answer:
    """A refusal as tus clients understand it, with `google.rpc.Status` as JSON for people and programs that want to know more."""
    status = http_status(refusal)
    fields = {"content-type": "application/json", "cache-control": "no-store"}
    if refusal.retry_after is not None:
        fields["retry-after"] = str(math.ceil(refusal.retry_after.total_seconds()))
    if status == 401:
        fields["www-authenticate"] = "Bearer"
    if "allow" in refusal.metadata:
        fields["allow"] = refusal.metadata["allow"]
    if "version" in refusal.metadata:
        fields["tus-version"] = refusal.metadata["version"]
    if refusal.reason == "FILE_TOO_LARGE":
        fields["tus-max-size"] = refusal.metadata["limit_bytes"]
    return Answer(status, fields, json.dumps(refusal.as_json(correlation_id)).encode())


def _defect() -> Refusal:
    message = "the server failed in a way that is its own fault; quote the correlation id to its operator"
    return Refusal(grpc.StatusCode.INTERNAL, "INTERNAL", message, domain=RPC_DOMAIN)


async def _sent(send: Send, answer: Answer, correlation_id: str, *, head: bool) -> None:
    fields = {"tus-resumable": headers.VERSION, telemetry.CORRELATION_HEADER: correlation_id, **answer.fields}
    if answer.status != 204:
        fields["content-length"] = str(len(answer.body))
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
