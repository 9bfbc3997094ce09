"""Protection systems' headers: PSSH boxes, Widevine's data and PlayReady's object, written and read.

Sources: ISO/IEC 23001-7 §8.1 (the box), W3C "cenc" Initialization Data Format (the common system), Widevine's
`WidevinePsshData` (protocol buffer), Microsoft's PlayReady Header Specification (2021-09-08). Pure; no key is kept: of
one only the checksum goes into a header. Damaged bytes raise `PsshError` and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

COMMON: Final = uuid.UUID("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b")
WIDEVINE: Final = uuid.UUID("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed")
PLAYREADY: Final = uuid.UUID("9a04f079-9840-4286-ab92-e65be0885f95")
CLEARKEY: Final = uuid.UUID("e2719d58-a985-b3c9-781a-b030af78d30e")
FAIRPLAY: Final = uuid.UUID("94ce86fb-07ff-4f43-adb8-93d2fa968ca2")

_KEY_BYTES: Final = 16
_WRM_HEADER_RECORD: Final = 1
_MOST_PLAYREADY_BYTES: Final = 15 * 1024
_WRM_NAMESPACE: Final = "http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader"
_WRM_KID_4_0: Final = re.compile(r"<KID>\s*([A-Za-z0-9+/=]+)\s*</KID>")
_WRM_KID_LATER: Final = re.compile(r'<KID\b[^<>]*\bVALUE="([A-Za-z0-9+/=]+)"')
_AES_CTR: Final = 1  # of Widevine's enumeration of algorithms


class PsshError(ValueError):
    """The bytes are no header of the system that they are said to be of."""


@dataclass(frozen=True, slots=True)
class Pssh:
    """A protection system's header: its system id, the key ids it names (version 1 only) and its own data."""

    system: bytes
    key_ids: tuple[bytes, ...]
    data: bytes

    def box(self) -> bytes:
        """The whole box: of version 1 if there are key ids, else of version 0."""
        named = struct.pack(">I", len(self.key_ids)) + b"".join(self.key_ids) if self.key_ids else b""
        payload = self.system + named + struct.pack(">I", len(self.data)) + self.data
        return struct.pack(">I4sI", 12 + len(payload), b"pssh", 1 << 24 if self.key_ids else 0) + payload

    def named_key_ids(self) -> tuple[bytes, ...]:
        """The key ids that the header names, in the box's own list or, of Widevine and PlayReady, in their data."""
        if self.key_ids:
            return self.key_ids
        if self.system == WIDEVINE.bytes:
            return tuple(value for number, value in _fields(self.data) if number == 2 and isinstance(value, bytes))
        if self.system == PLAYREADY.bytes:
            return playready_key_ids(self.data)
        return ()


def read_pssh(data: bytes) -> tuple[Pssh, ...]:
    """The PSSH boxes that lie in a sequence of boxes; others are passed over.

    Raises:
        PsshError: the sequence or one of its PSSH boxes is damaged.
    """
    found = []
    for kind, payload in _boxes(data):
        if kind != b"pssh":
            continue
        version, offset, key_ids = _cut(payload, 0, 1)[0], 20, []
        system = _cut(payload, 4, 16)
        if version > 0:
            (count,) = struct.unpack(">I", _cut(payload, offset, 4))
            offset += 4
            for _ in range(count):
                key_ids.append(_cut(payload, offset, _KEY_BYTES))
                offset += _KEY_BYTES
        (size,) = struct.unpack(">I", _cut(payload, offset, 4))
        found.append(Pssh(system, tuple(key_ids), _cut(payload, offset + 4, size)))
    return tuple(found)


def common(key_ids: Sequence[bytes]) -> bytes:
    """The W3C common box, version 1: key ids and nothing else."""
    return Pssh(COMMON.bytes, _checked(key_ids), b"").box()


def widevine(
    key_ids: Sequence[bytes], scheme: str, *, provider: str = "", content_id: bytes = b"", policy: str = ""
) -> bytes:
    """Widevine's box.

    Args:
        key_ids: of all keys that one licence is to bring, 16 bytes each.
        scheme: of the samples, four characters such as `cbcs`.
        provider: the content owner's name at the licence service; empty when that is not chosen by it.
        content_id: the owner's own name of the content, for services that look keys up by it.
        policy: name of a policy at the licence service.
    """
    return Pssh(WIDEVINE.bytes, (), widevine_data(key_ids, scheme, provider, content_id, policy)).box()


def widevine_data(
    key_ids: Sequence[bytes], scheme: str, provider: str = "", content_id: bytes = b"", policy: str = ""
) -> bytes:
    """`WidevinePsshData`. Its old `algorithm` is there for cenc alone: of cbcs it knows nothing."""
    parts = [_number(1, _AES_CTR)] if scheme == "cenc" else []
    parts += [_bytes(2, key_id) for key_id in _checked(key_ids)]
    parts += [
        _bytes(number, value)
        for number, value in ((3, provider.encode()), (4, content_id), (6, policy.encode()))
        if value
    ]
    return b"".join([*parts, _number(9, int.from_bytes(_four(scheme)))])


def playready(
    key_ids: Sequence[bytes], scheme: str, *, keys: Mapping[bytes, bytes] | None = None, la_url: str = ""
) -> bytes:
    """PlayReady's box; the arguments are those of `wrm_header`."""
    return Pssh(PLAYREADY.bytes, (), playready_object(wrm_header(key_ids, scheme, keys=keys, la_url=la_url))).box()


def playready_object(header: str) -> bytes:
    """The PlayReady Object (§2): one record that holds the rights management header. Little-endian, UTF-16."""
    value = header.encode("utf-16-le")
    length = 10 + len(value)
    if length > _MOST_PLAYREADY_BYTES:
        raise PsshError(f"a PlayReady object of {length} bytes is longer than players take: name fewer keys in one")
    return struct.pack("<IHHH", length, 1, _WRM_HEADER_RECORD, len(value)) + value


def wrm_header(
    key_ids: Sequence[bytes], scheme: str, *, keys: Mapping[bytes, bytes] | None = None, la_url: str = ""
) -> str:
    """The rights management header: version 4.0 for one key of cenc, which every client reads; else 4.3.

    Nodes are closed by tags of their own and attributes stand in alphabetical order, as the specification wants (§3).

    Args:
        key_ids: in the order of the big-endian UUID, as everywhere else; PlayReady writes GUIDs.
        scheme: `cenc` or `cbcs`.
        keys: key id → key, for the checksums; where one is missing there is none. Keys for AES-CBC have none at all.
        la_url: where players ask for licences; empty when they are told otherwise.
    """
    key_ids, keys = _checked(key_ids), keys or {}
    algorithm = "AESCBC" if scheme == "cbcs" else "AESCTR"
    sums = {key_id: checksum(key_id, keys[key_id]) for key_id in key_ids if key_id in keys and algorithm == "AESCTR"}
    location = f"<LA_URL>{html.escape(la_url, quote=False)}</LA_URL>" if la_url else ""
    if scheme == "cenc" and len(key_ids) == 1:
        version, (key_id,) = "4.0.0.0", key_ids
        summed = f"<CHECKSUM>{sums[key_id]}</CHECKSUM>" if key_id in sums else ""
        data = f"<PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>{algorithm}</ALGID></PROTECTINFO><KID>{_guid(key_id)}</KID>{summed}"
    else:
        version = "4.3.0.0"
        named = "".join(
            f'<KID ALGID="{algorithm}"{_attribute("CHECKSUM", sums.get(key_id))} VALUE="{_guid(key_id)}"></KID>'
            for key_id in key_ids
        )
        data = f"<PROTECTINFO><KIDS>{named}</KIDS></PROTECTINFO>"
    return f'<WRMHEADER xmlns="{_WRM_NAMESPACE}" version="{version}"><DATA>{data}{location}</DATA></WRMHEADER>'


def checksum(key_id: bytes, key: bytes) -> str:
    """PlayReady's checksum of a key for AES-CTR: the first 8 bytes of the GUID encrypted with it, as base64.

    It tells a client that it has the wrong key, and tells nobody the right one.
    """
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block, as the specification says
    return base64.b64encode((cipher.update(uuid.UUID(bytes=key_id).bytes_le) + cipher.finalize())[:8]).decode()


def playready_header(data: bytes) -> str:
    """The rights management header in a PlayReady Object.

    Raises:
        PsshError: the object is damaged or holds none.
    """
    (length, records), offset = struct.unpack("<IH", _cut(data, 0, 6)), 6
    if length != len(data):
        raise PsshError(f"a PlayReady object says {length} bytes and has {len(data)}")
    for _ in range(records):
        kind, size = struct.unpack("<HH", _cut(data, offset, 4))
        value, offset = _cut(data, offset + 4, size), offset + 4 + size
        if kind == _WRM_HEADER_RECORD:
            try:
                return value.decode("utf-16-le")
            except UnicodeDecodeError as error:
                raise PsshError("a PlayReady header is not UTF-16") from error
    raise PsshError("a PlayReady object holds no header")


def playready_key_ids(data: bytes) -> tuple[bytes, ...]:
    """The key ids that a PlayReady Object names, as UUIDs in big-endian order."""
    header = playready_header(data)
    found = []
    for value in _WRM_KID_4_0.findall(header) + _WRM_KID_LATER.findall(header):
        try:
            found.append(uuid.UUID(bytes_le=base64.b64decode(value, validate=True)).bytes)
        except (binascii.Error, ValueError) as error:
            raise PsshError(f"a PlayReady header names the key id {value!r}, which is no GUID") from error
    return tuple(found)


def _guid(key_id: bytes) -> str:
    return base64.b64encode(uuid.UUID(bytes=key_id).bytes_le).decode()


def _attribute(name: str, value: str | None) -> str:
    return "" if value is None else f' {name}="{value}"'


def _four(scheme: str) -> bytes:
    name = scheme.encode()
    if len(name) != 4:
        raise ValueError(f"{scheme!r} is no protection scheme: it has four characters")
    return name


def _checked(key_ids: Sequence[bytes]) -> tuple[bytes, ...]:
    if not key_ids or any(len(key_id) != _KEY_BYTES for key_id in key_ids) or len(set(key_ids)) != len(key_ids):
        raise ValueError("a header names at least one key id of 16 bytes, and none twice")
    return tuple(key_ids)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and payload of the boxes that lie side by side. A size of 0 means up to the end (14496-12 §4.2)."""
    start = 0
    while start < len(data):
        size, kind = struct.unpack(">I4s", _cut(data, start, 8))
        size = size or len(data) - start
        if size < 8 or size > len(data) - start:
            raise PsshError(f"a {kind.decode('latin-1')} box says {size} bytes where {len(data) - start} are left")
        yield kind, data[start + 8 : start + size]
        start += size


def _cut(data: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(data):
        raise PsshError(f"{size} bytes are wanted at {offset}, but the header ends at {len(data)}")
    return data[offset : offset + size]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of a protocol buffer's fields, those of fixed width as bytes."""
    offset = 0
    while offset < len(data):
        tag, offset = _read_varint(data, offset)
        match tag & 7:
            case 0:
                value, offset = _read_varint(data, offset)
                yield tag >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, offset = _read_varint(data, offset)
            case 5:
                size = 4
            case kind:
                raise PsshError(f"Widevine's data holds a field of wire type {kind}, which nobody writes")
        yield tag >> 3, _cut(data, offset, size)
        offset += size


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _cut(data, offset, 1)[0]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    raise PsshError("Widevine's data holds a number that does not end")


def widevine_fields(data: bytes) -> dict[int, list[int | bytes]]:
    """`WidevinePsshData` as field number → values, unknown ones included.

    Raises:
        PsshError: the bytes are no protocol buffer.
    """
    found: dict[int, list[int | bytes]] = {}
    for number, value in _fields(data):
        found.setdefault(number, []).append(value)
    return found
