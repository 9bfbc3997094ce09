"""What a Widevine decryption module asks for, as far as it stands in the clear. Nothing of it is proven: the licence server checks its signature.

A challenge is a SignedMessage {type = 1, msg = 2, signature = 3}; its `msg` is a LicenseRequest {content_id = 2, type = 3}, which names
the content by the `pssh` data of the media (WidevinePsshData {key_ids = 2}), by `init_data`, or by the licence that it renews.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from services.drm.licences import refusals
from services.drm.widevine.wire import Fields, NotProtobuf, blobs, fields, number
from services.kit.errors import Refusal

KEY_SYSTEM: Final = "com.widevine.alpha"
MOST_BYTES: Final = 64 * 1024
MOST_KEYS: Final = 64
_OFFLINE: Final = 2


class Kind(IntEnum):
    """What a SignedMessage is; numbers of the protocol."""

    LICENCE_REQUEST = 1
    LICENCE = 2
    SERVICE_CERTIFICATE_REQUEST = 4
    SERVICE_CERTIFICATE = 5


class Wish(IntEnum):
    """What a LicenseRequest is for; numbers of the protocol."""

    NEW = 1
    RENEWAL = 2
    RELEASE = 3


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge.

    Attributes:
        payload: as it came.
        kind: of two: a licence request, or a request for the service certificate.
        key_ids: that the media name, 16 bytes each; None when the challenge does not say.
        offline: whether the licence is to be kept.
    """

    payload: bytes = field(repr=False)
    kind: Kind
    wish: Wish = Wish.NEW
    key_ids: tuple[bytes, ...] | None = None
    offline: bool = False


def read(payload: bytes) -> Challenge:
    """Reads a challenge.

    Raises:
        Refusal: LICENCE_REQUEST_MALFORMED.
    """
    if len(payload) > MOST_BYTES:
        raise _malformed(f"it is longer than {MOST_BYTES} bytes")
    try:
        return _read(payload)
    except NotProtobuf as error:
        raise _malformed(f"it is not of the protocol ({error})") from None


def kind_of(message: bytes) -> Kind | None:
    """What a SignedMessage is; None when it is none, or of no kind that matters here."""
    try:
        found = number(fields(message), 1)
    except NotProtobuf:
        return None
    return Kind(found) if found in Kind.__members__.values() else None


def _read(payload: bytes) -> Challenge:
    signed = fields(payload)
    kind = number(signed, 1)
    if kind == Kind.SERVICE_CERTIFICATE_REQUEST:
        return Challenge(payload, Kind.SERVICE_CERTIFICATE_REQUEST)
    if kind != Kind.LICENCE_REQUEST:
        raise NotProtobuf("neither a licence request nor a service certificate request")
    request = fields(_only(signed, 2))
    wish = number(request, 3, Wish.NEW)
    if wish not in Wish.__members__.values():
        raise NotProtobuf("an unknown type of licence request")
    content = fields(_only(request, 2))
    return Challenge(payload, Kind.LICENCE_REQUEST, Wish(wish), _key_ids(content), _offline(content))


def _key_ids(content: Fields) -> tuple[bytes, ...] | None:
    if 1 not in content:
        return None
    named: list[bytes] = []
    for data in blobs(fields(_only(content, 1)), 1):
        named += blobs(fields(data), 2)
    if len(named) > MOST_KEYS:
        raise NotProtobuf(f"more than {MOST_KEYS} key ids")
    if any(len(key_id) != 16 for key_id in named):
        raise NotProtobuf("a key id that is not 16 bytes")
    return tuple(dict.fromkeys(named)) or None


def _offline(content: Fields) -> bool:
    """Each way to name the content says elsewhere whether the licence is kept."""
    if 1 in content:
        return number(fields(_only(content, 1)), 2) == _OFFLINE
    if 3 in content:
        licence = blobs(fields(_only(content, 3)), 1)
        return bool(licence) and number(fields(licence[-1]), 4) == _OFFLINE
    if 4 in content:
        return number(fields(_only(content, 4)), 3) == _OFFLINE
    return False


def _only(values: Fields, field_number: int) -> bytes:
    """The one value of a field. Of several the server would take the last, or join them, and something else than was looked at here."""
    found = blobs(values, field_number)
    if len(found) != 1:
        raise NotProtobuf(f"field {field_number} stands {len(found)} times")
    return found[0]


def _malformed(what: str) -> Refusal:
    return refusals.request_malformed(KEY_SYSTEM, what)
