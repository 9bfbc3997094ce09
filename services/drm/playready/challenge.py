"""What a PlayReady client asks for, as far as it stands in the clear: `AcquireLicense/challenge/Challenge/LA`, with the header of the media in it.

LA is signed by the client, and what it says of itself is encrypted to the licence server; so it goes there byte for byte as it came. Here
only is read which keys it asks for, by a `WRMHEADER` of version 4.0 to 4.3
(https://learn.microsoft.com/playready/specifications/playready-header-specification).
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from services.drm.licences import refusals
from services.drm.playready import soap

KEY_SYSTEM: Final = "com.microsoft.playready"
MOST_BYTES: Final = 256 * 1024
MOST_KEYS: Final = 24
_PATH: Final = ["Envelope", "Body", "AcquireLicense", "challenge", "Challenge", "LA"]
_NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge.

    Attributes:
        document: as it came.
        key_ids: that it asks for, 16 bytes each in the order of the media (big-endian), none twice.
        offline: whether the licence is to be kept. The protocol has no word for it, so players of ours say it by `CustomData`,
            `{"offline": true}`.
    """

    document: bytes = field(repr=False)
    key_ids: tuple[bytes, ...]
    offline: bool


def read(document: bytes) -> Challenge:
    """Reads a challenge.

    Raises:
        Refusal: LICENCE_REQUEST_MALFORMED.
    """
    if len(document) > MOST_BYTES:
        raise refusals.request_malformed(KEY_SYSTEM, f"it is longer than {MOST_BYTES} bytes")
    try:
        return _read(document)
    except soap.NotSoap as error:
        raise refusals.request_malformed(KEY_SYSTEM, str(error)) from None


def _read(document: bytes) -> Challenge:
    root = soap.parsed(document)
    # What is counted in the whole document cannot be there twice, once for us and once for the licence server.
    asked = soap.only(root, "LA")
    if soap.path_of(asked) != _PATH:
        raise soap.NotSoap("LA does not stand where it belongs")
    if asked.get("Id") != "SignedData":
        raise soap.NotSoap("LA is not what is signed")
    header = soap.only(root, "WRMHEADER")
    if soap.path_of(header) != [*_PATH, "ContentHeader", "WRMHEADER"]:
        raise soap.NotSoap("WRMHEADER does not stand where it belongs")
    if len(_decoded(soap.only(asked, "LicenseNonce").text)) != _NONCE_BYTES:
        raise soap.NotSoap(f"LicenseNonce is not {_NONCE_BYTES} bytes")
    return Challenge(document, _key_ids(header), _offline(asked))


def _key_ids(header: etree._Element) -> tuple[bytes, ...]:
    version = header.get("version", "")
    found = soap.named(header, "KID")
    texts = [element.text if version == "4.0.0.0" else element.get("VALUE") for element in found]
    if version not in {"4.0.0.0", "4.1.0.0", "4.2.0.0", "4.3.0.0"}:
        raise soap.NotSoap("WRMHEADER has a version that is not known")
    if not texts or len(texts) > MOST_KEYS:
        raise soap.NotSoap(f"it asks for {len(texts)} keys; 1 to {MOST_KEYS} can be had at a time")
    return tuple(dict.fromkeys(key_id_of(text) for text in texts))


def key_id_of(text: str | None) -> bytes:
    """A KID of a header, base64 of a GUID with its first three parts little-endian, as 16 bytes in the order of the media.

    Raises:
        NotSoap: it is none.
    """
    guid = _decoded(text)
    if len(guid) != 16:
        raise soap.NotSoap("a KID is not base64 of 16 bytes")
    return uuid.UUID(bytes_le=guid).bytes


def _offline(asked: etree._Element) -> bool:
    data = soap.named(asked, "CustomData")
    if len(data) > 1:
        raise soap.NotSoap("CustomData stands more than once")
    try:
        said = json.loads(data[0].text or "") if data else None
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("offline") is True


def _decoded(text: str | None) -> bytes:
    try:
        return base64.b64decode((text or "").strip(), validate=True)
    except (binascii.Error, ValueError):
        raise soap.NotSoap("a value is not base64") from None
