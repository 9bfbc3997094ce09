"""HTTP requests as the DRM service is asked."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Final

import grpc
from reelmesh.drm.v1 import key_server_service_pb2 as api
from starlette.requests import Request

from services.kit.errors import RPC_DOMAIN, Refusal

MOST_BYTES: Final = 1024 * 1024
_XML: Final = {"application/xml", "text/xml"}
_JSON: Final = {"application/json", "text/plain", ""}


async def body_of(request: Request) -> bytes:
    """The body, in chunks or at once.

    Raises:
        Refusal: it is too long.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise _invalid(f"the body is longer than {MOST_BYTES} bytes")
    return bytes(body)


def check_xml(request: Request) -> None:
    """Refuses a body that does not say that it is XML.

    Raises:
        Refusal: it does not.
    """
    if _media_type(request) not in _XML:
        raise _invalid("send the document as application/xml")


def packager_request(request: Request, body: bytes) -> api.ProvidePackagerKeysRequest:
    """Reads what Shaka Packager posts: JSON with `request` and `signature` in base64, and `signer`.

    Raises:
        Refusal: it is something else.
    """
    if _media_type(request) not in _JSON:
        raise _invalid("send the request as application/json")
    try:
        said = json.loads(body)
        asked = api.ProvidePackagerKeysRequest(
            request=base64.b64decode(said["request"], validate=True),
            signature=base64.b64decode(said.get("signature", ""), validate=True),
            signer=said.get("signer", ""),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
        raise _invalid("the body is no JSON object with request, signature and signer") from None
    return asked


def credentials(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Who calls, and from where, for the DRM service. Encryptors that know but names and passwords send an API key as the password of any name."""
    authorization = headers.get("authorization", "")
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "basic":
        authorization = f"Bearer {_password(credential)}"
    passed = {
        "authorization": authorization,
        "x-forwarded-for": headers.get("x-forwarded-for", ""),
        "x-user-agent": headers.get("user-agent", ""),
    }
    return tuple((name, value) for name, value in passed.items() if value and value.isascii() and value.isprintable())


def _password(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _invalid(message: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN)
