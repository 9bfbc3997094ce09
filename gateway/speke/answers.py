"""Refusals of the DRM service as packagers know them."""

from __future__ import annotations

import base64
import json
from typing import Final

import grpc

from services.kit.errors import Refusal

SPEKE_VERSION: Final = "2.0"
USER_AGENT: Final = "Reelmesh key server"
BASIC_REALM: Final = 'Bearer, Basic realm="Reelmesh", charset="UTF-8"'

_OF_REASONS: Final = {
    # "The 422 error code can be used for all errors related to SPEKE/CPIX."
    "CPIX_REFUSED": 422,
    "CPIX_MALFORMED": 422,
    "CERTIFICATE_UNUSABLE": 422,
    "CPIX_SIGNATURE_INVALID": 403,
}
_OF_CODES: Final = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 503,
    grpc.StatusCode.FAILED_PRECONDITION: 503,
}
_TRANSIENT: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}


def speke_status(refusal: Refusal) -> int:
    """The HTTP status of a refusal: always 4xx or 5xx."""
    return _OF_REASONS.get(refusal.reason) or _OF_CODES.get(refusal.code, 500)


def speke_words(refusal: Refusal) -> str:
    """The body of a refusal: the specification's own words where there are some, and nothing else, because encryptors compare them."""
    return refusal.metadata.get("words") or refusal.message


def packager_status(refusal: Refusal) -> str:
    """The status of a refusal in Shaka Packager's interface. After `INTERNAL_ERROR` the packager tries again by itself, so that stands for what passes."""
    if refusal.reason == "PACKAGER_SIGNATURE_INVALID":
        return "SIGNATURE_FAILED"
    if refusal.reason == "PACKAGER_REQUEST_INVALID":
        return refusal.metadata.get("status", "MALFORMED_REQUEST")
    if refusal.code in _TRANSIENT:
        return "INTERNAL_ERROR"
    return "MALFORMED_REQUEST" if refusal.code == grpc.StatusCode.INVALID_ARGUMENT else "INTERNAL_ERROR"


def packager_body(answer: bytes) -> bytes:
    """An answer as Shaka Packager takes it: base64 of JSON within JSON."""
    return json.dumps({"response": base64.b64encode(answer).decode()}).encode()


def packager_refusal(status: str) -> bytes:
    """A status as an answer."""
    return packager_body(json.dumps({"status": status}).encode())
