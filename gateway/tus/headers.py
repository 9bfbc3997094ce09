"""Headers of tus 1.0: read, checked, written. No input, no output.

Source: https://tus.io/protocols/resumable-upload, sections "Headers", "Creation", "Checksum".
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from pathlib import PurePosixPath
from typing import Final, Protocol

import google_crc32c
from reelmesh.upload.v1 import upload_pb2

from gateway.tus.refusals import Reason, header_invalid, refused

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,expiration,termination"
BODY_TYPE: Final = "application/offset+octet-stream"
_LARGEST_INT64: Final = 2**63 - 1
_MOST_METADATA_PAIRS: Final = 64
_LONGEST_FILENAME: Final = 255
_DIGITS: Final = re.compile(r"[0-9]{1,40}")
_METADATA_KEY: Final = re.compile(r"[!-+\--~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PURPOSES: Final = {
    "": upload_pb2.UPLOAD_PURPOSE_UNSPECIFIED,
    "title": upload_pb2.UPLOAD_PURPOSE_TITLE,
    "evidence": upload_pb2.UPLOAD_PURPOSE_EVIDENCE,
}
_PRINTABLE: Final = re.compile(r"[ -~]*")
# Those that mean something here. A second one of any could be read differently by whoever stands in front.
_SINGLE: Final = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "dpop",
        "tus-resumable",
        "upload-checksum",
        "upload-concat",
        "upload-defer-length",
        "upload-length",
        "upload-metadata",
        "upload-offset",
        "x-http-method-override",
    }
)


# What a credential is, and what a proof of its key is checked against: the edge's own words, which it takes from nobody else.
_SHOWN: Final = ("authorization", "dpop", "x-reelmesh-rest", "x-request-id")


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: bytes, /) -> object:
        """Takes more bytes in."""

    def digest(self) -> bytes:
        """The checksum so far."""


_ALGORITHMS: Final[Mapping[str, tuple[Callable[[], Digest], int]]] = {
    "sha1": (lambda: hashlib.sha1(usedforsecurity=False), 20),
    "sha256": (hashlib.sha256, 32),
    # Four bytes, most significant first.
    "crc32c": (google_crc32c.Checksum, 4),
}
CHECKSUM_ALGORITHMS: Final = ",".join(_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What `Upload-Checksum` announces of the body of one request."""

    algorithm: str
    expected: bytes

    def begun(self) -> Digest:
        """A running checksum of the same algorithm."""
        return _ALGORITHMS[self.algorithm][0]()


@dataclass(frozen=True, slots=True)
class Description:
    """What `Upload-Metadata` says about a file. Empty strings where it says nothing.

    Attributes:
        filename: bare name of the file; never empty.
        content_type: claimed media type.
        title: title of the asset to be.
        sha256: SHA-256 of the whole file, lower-case hex.
        purpose: what the file is for; unspecified where nothing is said.
    """

    filename: str
    content_type: str
    title: str
    sha256: str
    purpose: upload_pb2.UploadPurpose.ValueType = upload_pb2.UPLOAD_PURPOSE_UNSPECIFIED


def shown_in(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a request shows of who sends it, as metadata of the calls that it leads to."""
    return [(name, fields[name]) for name in _SHOWN if name in fields]


def fields_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header fields by lower-case name.

    Raises:
        Refusal: HEADER_INVALID for a second field that must be single, or one that is not printable ASCII.
    """
    fields: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name in _SINGLE:
            if name in fields:
                raise header_invalid(name, "send it once")
            if not _PRINTABLE.fullmatch(value):
                raise header_invalid(name, "only printable ASCII characters are possible")
        fields[name] = value
    return fields


def check_version(fields: Mapping[str, str]) -> None:
    """Refuses other versions of the protocol, and requests that name none.

    Raises:
        Refusal: VERSION_UNSUPPORTED.
    """
    if fields.get("tus-resumable") != VERSION:
        raise refused(
            Reason.VERSION_UNSUPPORTED,
            f"this server speaks tus {VERSION}; send the header Tus-Resumable: {VERSION}",
            metadata={"version": VERSION},
        )


def upload_length(fields: Mapping[str, str], limit_bytes: int) -> int:
    """Size of the file to be created, in bytes. Whether it is one that is taken is for the service to say.

    Raises:
        Refusal: EXTENSION_UNSUPPORTED, HEADER_INVALID, or FILE_TOO_LARGE for what no service could even be told.
    """
    for header, why in (
        ("upload-defer-length", "the size must be known from the start; send Upload-Length"),
        ("upload-concat", "send the file as one upload"),
    ):
        if header in fields:
            raise refused(Reason.EXTENSION_UNSUPPORTED, f"{header}: {why}", metadata={"header": header})
    length = _number(fields, "upload-length")
    if length > _LARGEST_INT64:
        raise refused(
            Reason.FILE_TOO_LARGE,
            f"this server takes files of up to {limit_bytes} bytes",
            metadata={"limit_bytes": str(limit_bytes)},
        )
    return length


def upload_offset(fields: Mapping[str, str]) -> int:
    """Where the body goes, in bytes from the start of the file.

    Raises:
        Refusal: HEADER_INVALID.
    """
    offset = _number(fields, "upload-offset")
    if offset > _LARGEST_INT64:
        raise header_invalid("upload-offset", "larger than any file")
    return offset


def body_length(fields: Mapping[str, str]) -> int | None:
    """Announced length of the body in bytes; None when it comes in chunks of which nobody knows the sum.

    Raises:
        Refusal: HEADER_INVALID.
    """
    if "content-length" in fields:
        return _number(fields, "content-length")
    return None if "transfer-encoding" in fields else 0


def is_body(fields: Mapping[str, str]) -> bool:
    """Whether the body is a piece of a file."""
    return fields.get("content-type", "").partition(";")[0].strip().lower() == BODY_TYPE


def checksum(fields: Mapping[str, str]) -> Checksum | None:
    """What the body must sum up to; None when nothing was announced.

    Raises:
        Refusal: HEADER_INVALID.
    """
    value = fields.get("upload-checksum")
    if value is None:
        return None
    algorithm, _, encoded = value.partition(" ")
    if algorithm not in _ALGORITHMS:
        raise header_invalid("upload-checksum", f"the algorithm must be one of {CHECKSUM_ALGORITHMS}")
    expected = _decoded(encoded)
    if expected is None or len(expected) != _ALGORITHMS[algorithm][1]:
        raise header_invalid(
            "upload-checksum", f"after the algorithm comes the Base64 of {_ALGORITHMS[algorithm][1]} bytes"
        )
    return Checksum(algorithm, expected)


def description(fields: Mapping[str, str]) -> Description:
    """What the metadata say about the file. Keys are those that tus-js-client and Uppy send; others are left aside.

    Raises:
        Refusal: HEADER_INVALID.
    """
    pairs = _metadata(fields.get("upload-metadata", ""))

    def text(*keys: str) -> str:
        for key in keys:
            if value := pairs.get(key):
                try:
                    return value.decode()
                except UnicodeDecodeError as error:
                    raise header_invalid("upload-metadata", f"{key} is not UTF-8") from error
        return ""

    return Description(
        filename=_bare_name(text("filename", "name")),
        content_type=text("filetype", "type"),
        title=text("title"),
        sha256=text("sha256").lower(),
        purpose=_purpose(text("purpose")),
    )


def _purpose(name: str) -> upload_pb2.UploadPurpose.ValueType:
    if name not in _PURPOSES:
        raise header_invalid("upload-metadata", f"purpose is one of {', '.join(filter(None, _PURPOSES))}")
    return _PURPOSES[name]


def metadata_value(known: Mapping[str, str]) -> str:
    """`Upload-Metadata` of what is known, by key."""
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in known.items() if value)


def http_date(moment: datetime) -> str:
    """A moment in UTC as RFC 9110 §5.6.7 writes it."""
    return format_datetime(moment, usegmt=True)


def _number(fields: Mapping[str, str], header: str) -> int:
    value = fields.get(header)
    if value is None:
        raise header_invalid(header, "is required")
    if not _DIGITS.fullmatch(value):
        raise header_invalid(header, "must be a whole number of bytes, in digits only")
    return int(value)


def _metadata(header: str) -> dict[str, bytes]:
    pairs: dict[str, bytes] = {}
    if not header:
        return pairs
    parts = header.split(",")
    if len(parts) > _MOST_METADATA_PAIRS:
        raise header_invalid("upload-metadata", f"at most {_MOST_METADATA_PAIRS} pairs are possible")
    for part in parts:
        key, _, encoded = part.strip().partition(" ")
        value = _decoded(encoded)
        if not _METADATA_KEY.fullmatch(key):
            raise header_invalid(
                "upload-metadata", "each pair is a key of printable ASCII, a space, and a value in Base64"
            )
        if value is None:
            raise header_invalid("upload-metadata", f"the value of {key} is not Base64")
        if key in pairs:
            raise header_invalid("upload-metadata", f"{key} stands there twice")
        pairs[key] = value
    return pairs


def _decoded(encoded: str) -> bytes | None:
    try:
        return b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _bare_name(path: str) -> str:
    """The last part of a path of whatever system, cut to what the contract takes; browsers send folders, or nothing at all."""
    name = _CONTROL.sub("", path.replace("\\", "/").rstrip("/").rpartition("/")[2]).strip()
    if name in ("", ".", ".."):
        return "untitled"
    suffix = PurePosixPath(name).suffix
    if len(name) > _LONGEST_FILENAME and len(suffix) < _LONGEST_FILENAME:
        return name[: _LONGEST_FILENAME - len(suffix)] + suffix
    return name[:_LONGEST_FILENAME]
