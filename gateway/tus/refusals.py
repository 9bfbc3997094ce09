"""What the gateway refuses by itself, and the HTTP status of every refusal, the services' ones included."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "tus.reelmesh"
CHECKSUM_MISMATCH_STATUS: Final = 460


class Reason(StrEnum):
    """Reasons of refusals with domain `tus.reelmesh`."""

    VERSION_UNSUPPORTED = "VERSION_UNSUPPORTED"
    """`Tus-Resumable` is absent or another version. HTTP 412. Metadata: `version`, the one that is spoken here."""
    METHOD_UNSUPPORTED = "METHOD_UNSUPPORTED"
    """The address does not take that method. HTTP 405."""
    CONTENT_TYPE_UNSUPPORTED = "CONTENT_TYPE_UNSUPPORTED"
    """The body of a PATCH is not `application/offset+octet-stream`. HTTP 415."""
    HEADER_INVALID = "HEADER_INVALID"
    """A header is absent, repeated or malformed. HTTP 400. Metadata: `header`."""
    EXTENSION_UNSUPPORTED = "EXTENSION_UNSUPPORTED"
    """A tus extension that is not offered here. HTTP 400. Metadata: `header`, the one that asks for it."""
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    """`Upload-Length` is a number larger than any file. HTTP 413. Metadata: `limit_bytes`."""
    BODY_TOO_LONG = "BODY_TOO_LONG"
    """The body goes beyond the end of the file, or is too long to be held back until its checksum is known. Nothing of it was kept if
    its length was announced. HTTP 413. Metadata: `room_bytes`, what would have fitted."""
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    """The body does not have the announced checksum; nothing of it was kept. HTTP 460. Metadata: `algorithm`."""
    UPLOAD_GONE = "UPLOAD_GONE"
    """The upload was cancelled or expired. HTTP 410. Metadata: `state`."""
    SUPERSEDED = "SUPERSEDED"
    """Another request goes on with the same upload; what this one brought is kept. HTTP 400, which clients do not repeat."""
    OVERLOADED = "OVERLOADED"
    """As many bodies are being received as the gateway takes at a time. HTTP 503."""
    DRAINING = "DRAINING"
    """The gateway is about to stop; what arrived is kept. HTTP 503."""


_OWN: Final[Mapping[Reason, tuple[grpc.StatusCode, int]]] = {
    Reason.VERSION_UNSUPPORTED: (grpc.StatusCode.FAILED_PRECONDITION, 412),
    Reason.METHOD_UNSUPPORTED: (grpc.StatusCode.UNIMPLEMENTED, 405),
    Reason.CONTENT_TYPE_UNSUPPORTED: (grpc.StatusCode.INVALID_ARGUMENT, 415),
    Reason.HEADER_INVALID: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    Reason.EXTENSION_UNSUPPORTED: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    Reason.FILE_TOO_LARGE: (grpc.StatusCode.OUT_OF_RANGE, 413),
    Reason.BODY_TOO_LONG: (grpc.StatusCode.OUT_OF_RANGE, 413),
    Reason.CHECKSUM_MISMATCH: (grpc.StatusCode.DATA_LOSS, CHECKSUM_MISMATCH_STATUS),
    Reason.UPLOAD_GONE: (grpc.StatusCode.FAILED_PRECONDITION, 410),
    Reason.SUPERSEDED: (grpc.StatusCode.ABORTED, 400),
    Reason.OVERLOADED: (grpc.StatusCode.RESOURCE_EXHAUSTED, 503),
    Reason.DRAINING: (grpc.StatusCode.UNAVAILABLE, 503),
}
# 409 and 423 are the statuses below 500 after which tus clients ask for the offset and go on.
_OF_SERVICES: Final[Mapping[str, int]] = {
    "OFFSET_MISMATCH": 409,
    "WRITER_BUSY": 423,
    "FILE_TOO_LARGE": 413,
    "BEYOND_SIZE": 413,
    "CHUNK_CORRUPT": 503,
    "FILE_CORRUPT": CHECKSUM_MISMATCH_STATUS,
    "NO_SPACE": 507,
    "BYTES_LOST": 410,
}
_OF_CODES: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    # The service went away in the middle of the call: to the client, the same as if it could not be reached.
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def refused(reason: Reason, message: str, *, metadata: Mapping[str, str] | None = None, retry: bool = False) -> Refusal:
    """A refusal of the gateway's own; with `retry`, one that will be over in a second."""
    retry_after = timedelta(seconds=1) if retry else None
    return Refusal(_OWN[reason][0], reason.value, message, domain=DOMAIN, metadata=metadata, retry_after=retry_after)


def body_too_long(room_bytes: int) -> Refusal:
    """A body goes beyond the end of the file, or beyond what can be held back."""
    return refused(
        Reason.BODY_TOO_LONG,
        f"the body is longer than the {room_bytes} bytes that are possible here; send less at a time",
        metadata={"room_bytes": str(room_bytes)},
    )


def header_invalid(header: str, why: str) -> Refusal:
    """A header is not what the protocol asks for."""
    return refused(Reason.HEADER_INVALID, f"{header}: {why}", metadata={"header": header})


def http_status(refusal: Refusal) -> int:
    """The status that tells a tus client what to do about a refusal."""
    if refusal.domain == DOMAIN:
        return _OWN[Reason(refusal.reason)][1]
    if refusal.reason == "NOT_RECEIVING":
        return 409 if refusal.metadata.get("state") == "COMMITTED" else 410
    return _OF_SERVICES.get(refusal.reason) or _OF_CODES.get(refusal.code, 500)
