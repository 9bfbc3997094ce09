"""Requests in Shaka Packager's key server API, which is Widevine's "common encryption" interface: JSON in, JSON out, signed by AES.

Source: Shaka Packager 3.8, `packager/media/base/widevine_common_encryption.proto`. What the interface can ask and nobody here can give is refused with the
status that it has for that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.drm.domain import ContentKey
from services.drm.key_server.refusals import packager_request_invalid
from services.kit import pssh

MOST_PERIODS: Final = 32
"""Periods in one request; the packager asks for ten at a time."""
LONGEST_CONTENT_ID: Final = 1024
_TYPES: Final = ("SD", "HD", "UHD1", "UHD2", "AUDIO")
_SCHEMES: Final = {"": "cenc", "UNSPECIFIED": "cenc", "CENC": "cenc", "CBCS": "cbcs", "CENS": "cens", "CBC1": "cbc1"}
_FEATURE: Final = re.compile(r"[A-Za-z0-9_]{1,16}")
_LAST_PERIOD: Final = 2**32 - 1
_DIGEST_BYTES: Final = 20
_PADDINGS: Final = (bytes(12), bytes([12]) * 12)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a packager asks for.

    Attributes:
        content_id: the packager's own name for it.
        types: kinds of track, each once.
        scheme: of the samples.
        feature: such as `HDR`; video tracks that differ in it have different keys. Empty for none.
        periods: numbers of crypto periods; None when keys do not rotate.
    """

    content_id: bytes
    types: tuple[str, ...]
    scheme: str
    feature: str = ""
    periods: range | None = None

    def wanted(self) -> list[tuple[str, int | None, str]]:
        """Kind of track, period and label of each key, period after period as the packager wants them."""
        return [(kind, period, self._label(kind, period)) for period in self.periods or (None,) for kind in self.types]

    def _label(self, kind: str, period: int | None) -> str:
        feature = f"+{self.feature}" if self.feature and kind != "AUDIO" else ""
        return f"{kind}{feature}" + ("" if period is None else f"/{period}")


def signature_fits(request: bytes, signature: bytes, key: bytes, iv: bytes) -> bool:
    """Whether a signature is AES-256-CBC over the padded SHA-1 of a request. Packagers pad with zeros or by PKCS#7."""
    if len(signature) != _DIGEST_BYTES + 12:
        return False
    opened = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(signature)
    digest = hashlib.sha1(request).digest()  # noqa: S324  # by the interface; an HMAC is not offered
    return any([hmac.compare_digest(opened, digest + padding) for padding in _PADDINGS])  # noqa: C419  # all, always


def read(request: bytes) -> Asked:
    """Reads a request whose signature is good.

    Raises:
        Refusal: PACKAGER_REQUEST_INVALID.
    """
    try:
        said = json.loads(request)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise packager_request_invalid("MALFORMED_REQUEST", "the request is no JSON object")
    for name in ("pssh_data", "asset_id", "group_id", "enable_entitlement_license"):
        if said.get(name):
            raise packager_request_invalid("MALFORMED_REQUEST", f"{name} is not offered here; ask by content_id alone")
    if said.get("drm_types", []) not in ([], ["WIDEVINE"]):
        raise packager_request_invalid(
            "MALFORMED_REQUEST", "drm_types may be WIDEVINE only; other systems need no key server"
        )
    scheme = said.get("protection_scheme", "")
    if not isinstance(scheme, str) or scheme not in _SCHEMES:
        raise packager_request_invalid("MALFORMED_REQUEST", "protection_scheme is none of CENC, CBCS, CENS and CBC1")
    feature = said.get("video_feature", "")
    if feature != "" and not (isinstance(feature, str) and _FEATURE.fullmatch(feature)):
        raise packager_request_invalid("MALFORMED_REQUEST", "video_feature is no word of up to 16 letters and digits")
    return Asked(_content_id(said), _types(said), _SCHEMES[scheme], feature, _periods(said))


def _content_id(said: Mapping[str, Any]) -> bytes:
    text = said.get("content_id")
    try:
        content_id = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        content_id = b""
    if not 0 < len(content_id) <= LONGEST_CONTENT_ID:
        raise packager_request_invalid(
            "CONTENT_ID_MISSING", f"content_id must be base64 of 1 to {LONGEST_CONTENT_ID} bytes"
        )
    return content_id


def _types(said: Mapping[str, Any]) -> tuple[str, ...]:
    tracks = said.get("tracks")
    if not isinstance(tracks, list) or not tracks:
        raise packager_request_invalid("TRACK_TYPE_MISSING", "tracks names no kind of track")
    types = tuple(track.get("type", "") if isinstance(track, dict) else "" for track in tracks)
    if any(kind not in _TYPES for kind in types) or len(set(types)) != len(types):
        raise packager_request_invalid("TRACK_TYPE_UNKNOWN", f"tracks may name each of {', '.join(_TYPES)} once")
    return types


def _periods(said: Mapping[str, Any]) -> range | None:
    first, count = said.get("first_crypto_period_index"), said.get("crypto_period_count", 1)
    if first is None:
        if "crypto_period_count" in said:
            raise packager_request_invalid("MALFORMED_REQUEST", "crypto_period_count needs first_crypto_period_index")
        return None
    # A bool is an int to Python, and none to anybody else.
    if type(first) is not int or type(count) is not int or not 0 <= first <= _LAST_PERIOD:
        raise packager_request_invalid("MALFORMED_REQUEST", "crypto periods are numbers of 32 bits")
    if not 1 <= count <= MOST_PERIODS or first + count - 1 > _LAST_PERIOD:
        raise packager_request_invalid("NO_REQUESTED_CRYPTO_PERIODS", f"ask for 1 to {MOST_PERIODS} crypto periods")
    return range(first, first + count)


def answer(asked: Asked, keys: Mapping[str, ContentKey]) -> bytes:
    """The answer, with the keys by their labels. Headers name all keys of a period, so that one licence brings them."""
    tracks = []
    for kind, period, label in asked.wanted():
        key = keys[label]
        together = [keys[other].key_id for _, at, other in asked.wanted() if at == period]
        track: dict[str, object] = {"type": kind, "key_id": _text(key.key_id), "key": _text(key.key)}
        if asked.scheme == "cbcs":
            track["iv"] = _text(key.iv)
        data = pssh.widevine_data(together, asked.scheme, content_id=asked.content_id)
        box = pssh.Pssh(pssh.WIDEVINE.bytes, (), data).box()
        track["pssh"] = [{"drm_type": "WIDEVINE", "data": _text(data), "boxes": _text(box)}]
        if period is not None:
            track["crypto_period_index"] = period
        tracks.append(track)
    drm = [{"type": "WIDEVINE", "system_id": pssh.WIDEVINE.hex}]
    said = {"status": "OK", "drm": drm, "tracks": tracks, "content_id": _text(asked.content_id)}
    return json.dumps(said, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
