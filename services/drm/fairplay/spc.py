"""Server Playback Context, version 1: what a device sends to ask for a key (FairPlay Streaming Programming Guide, "SPC message")."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.drm.fairplay.status import (
    BrokenIntegrity,
    CryptographyFailed,
    DuplicateTag,
    Malformed,
    MissingTag,
    UnknownProtocolVersion,
    UnknownSpcVersion,
    UnusableParameter,
)
from services.drm.fairplay.tags import CAN_ENFORCE_HDCP, REQUIRED, CkcTag, PlaybackState, Tag
from services.drm.fairplay.tllv import Tllv, read_all

MOST_BYTES: Final = 64 * 1024
"""No SPC is longer. Real ones have 1 to 4 KiB."""
VERSION: Final = 1
_CONTAINER: Final = struct.Struct(">I4x16s128s20sI")
_BLOCK_BYTES: Final = 16
_KEY_BYTES: Final = 16
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 # the protocol's choice; OAEP does not rest on it
_SK_R1: Final = struct.Struct(">16s20s44s16s")
_PLAYBACK_STATE: Final = struct.Struct(">IIQ")
_NEWEST_PROTOCOL: Final = 3
# Bytes of each value: least and most.
_LENGTHS: Final = {
    Tag.SK_R1: (112, 112),
    Tag.SK_R1_INTEGRITY: (16, 16),
    Tag.ANTI_REPLAY_SEED: (16, 16),
    Tag.R2: (1, 256),
    Tag.ASSET_ID: (2, 200),
    Tag.TRANSACTION_ID: (8, 8),
    Tag.PROTOCOL_VERSIONS_SUPPORTED: (4, 256),
    Tag.PROTOCOL_VERSION_USED: (4, 4),
    Tag.RETURN_REQUEST: (0, 1024),
    Tag.STREAMING_INDICATOR: (8, 8),
    Tag.MEDIA_PLAYBACK_STATE: (16, 16),
    Tag.CAPABILITIES: (16, 16),
}

Derive = Callable[[bytes, bytes], bytes]
"""Apple's D function: R2 and the application secret key (ASk, 16 bytes) give the derived application secret key (DASk, 16 bytes)."""


@dataclass(frozen=True, slots=True)
class Container:
    """An SPC as it travels: who it is for is readable, what it says is not.

    Attributes:
        certificate_sha1: hash of the application certificate that the device encrypted for, 20 bytes.
        wrapped_key: the payload's key, encrypted with the certificate's public key, 128 bytes.
    """

    iv: bytes
    wrapped_key: bytes
    certificate_sha1: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Playback:
    """What the device says of its playback.

    Attributes:
        state: one of `PlaybackState`, or None when it is another number.
    """

    creation_time: datetime
    state: PlaybackState | None
    session_id: int


@dataclass(frozen=True, slots=True)
class Session:
    """What device and module share: the secrets of one SPC.

    Attributes:
        key: encrypts the content key (SK), 16 bytes.
        device_hash: the device, anonymised (HU), 20 bytes; the same one has another for each provider.
        r1: 44 bytes.
    """

    key: bytes = field(repr=False)
    device_hash: bytes
    r1: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Spc:
    """An SPC that was decrypted, every TLLV of known meaning checked for its length.

    Attributes:
        asset_id: what the player asked for, as it was told; 2 to 200 bytes.
        returned: the TLLVs that the CKC must repeat.
        playback: None when the device does not say; then it knows no leases either.
        can_enforce_hdcp: whether it understands what it is told of HDCP.
        tag_count: how many TLLVs there are, decoys included.
    """

    sk_r1: bytes = field(repr=False)
    integrity: bytes = field(repr=False)
    anti_replay_seed: bytes = field(repr=False)
    r2: bytes = field(repr=False)
    asset_id: bytes
    transaction_id: bytes
    protocol_version: int
    protocol_versions: tuple[int, ...]
    returned: tuple[Tllv, ...]
    playback: Playback | None
    can_enforce_hdcp: bool
    tag_count: int

    def session(self, derive: Derive, application_secret_key: bytes) -> Session:
        """Opens the session key and R1, and checks that they are those that the device bound together.

        Raises:
            CryptographyFailed: the D function failed or gave something that is no key.
            BrokenIntegrity: they are not.
        """
        try:
            derived = derive(self.r2, application_secret_key)
        except Exception:
            # Without the cause: whatever the operator's plug-in says might hold the secret.
            raise CryptographyFailed("the D function failed") from None
        if len(derived) != _KEY_BYTES:
            raise CryptographyFailed(f"the D function gave {len(derived)} bytes instead of {_KEY_BYTES}")
        opened = _decrypted(derived, self.sk_r1[:_BLOCK_BYTES], self.sk_r1[_BLOCK_BYTES:])
        key, device_hash, r1, integrity = _SK_R1.unpack(opened)
        if not hmac.compare_digest(integrity, self.integrity):
            raise BrokenIntegrity("session key and R1 do not belong together")
        return Session(key, device_hash, r1)


def version_of(spc: bytes) -> int:
    """The version of an SPC, whatever it is.

    Raises:
        Malformed: there are not even the four bytes of a version.
    """
    if len(spc) < 4:
        raise Malformed(f"{len(spc)} bytes are no SPC")
    return int.from_bytes(spc[:4], "big")


def read_container(spc: bytes) -> Container:
    """Takes an SPC apart without decrypting anything.

    Raises:
        UnknownSpcVersion: it is not of version 1.
        Malformed: it is too long, too short, or not as long as it says.
    """
    if len(spc) > MOST_BYTES:
        raise Malformed(f"no SPC is longer than {MOST_BYTES} bytes")
    version = version_of(spc)
    if version != VERSION:
        raise UnknownSpcVersion(f"the SPC is of version {version}, not of version {VERSION}")
    if len(spc) < _CONTAINER.size:
        raise Malformed(f"the SPC ends after {len(spc)} bytes, within its header")
    _, iv, wrapped_key, certificate_sha1, length = _CONTAINER.unpack_from(spc)
    if length != len(spc) - _CONTAINER.size:
        raise Malformed(
            f"the SPC says that {length} bytes follow its header, and there are {len(spc) - _CONTAINER.size}"
        )
    if length % _BLOCK_BYTES or not length:
        raise Malformed(f"{length} bytes are no encrypted payload")
    return Container(iv, wrapped_key, certificate_sha1, spc[_CONTAINER.size :])


def certificate_hash(certificate: bytes) -> bytes:
    """How an SPC names the application certificate (DER) that it was made for: SHA-1, 20 bytes."""
    return hashlib.sha1(certificate, usedforsecurity=False).digest()


def open_container(container: Container, certificate: bytes, private_key: RSAPrivateKey) -> Spc:
    """Decrypts an SPC and reads it.

    Args:
        container: as `read_container` took it apart.
        certificate: the application certificate, DER.
        private_key: its private key, RSA with 1,024 bits as SPCs of version 1 have it.

    Raises:
        KsmError: of the kind that fits.
    """
    check_certificate(container, certificate)
    return open_payload(container, private_key)


def check_certificate(container: Container, certificate: bytes) -> None:
    """Checks that an SPC was made for this application certificate (DER).

    Raises:
        UnusableParameter: it was made for another.
    """
    if not hmac.compare_digest(certificate_hash(certificate), container.certificate_sha1):
        raise UnusableParameter("the SPC was made for another application certificate")


def open_payload(container: Container, private_key: RSAPrivateKey) -> Spc:
    """As `open_container`, whichever certificate it was made for."""
    try:
        key = private_key.decrypt(container.wrapped_key, _OAEP)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise CryptographyFailed("the private key does not open the SPC's key")
    return _read_payload(_decrypted(key, container.iv, container.payload))


def _decrypted(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-128-CBC without padding, of whole blocks."""
    cipher = Cipher(algorithms.AES128(key), modes.CBC(iv)).decryptor()
    return cipher.update(data) + cipher.finalize()


def _read_payload(payload: bytes) -> Spc:
    tllvs = read_all(payload)
    values = _known(tllvs)
    used, versions = _protocol(values)
    capabilities = values.get(Tag.CAPABILITIES, b"")
    return Spc(
        sk_r1=values[Tag.SK_R1],
        integrity=values[Tag.SK_R1_INTEGRITY],
        anti_replay_seed=values[Tag.ANTI_REPLAY_SEED],
        r2=values[Tag.R2],
        asset_id=values[Tag.ASSET_ID],
        transaction_id=values[Tag.TRANSACTION_ID],
        protocol_version=used,
        protocol_versions=versions,
        returned=_returned(values[Tag.RETURN_REQUEST], tllvs),
        playback=_playback(values.get(Tag.MEDIA_PLAYBACK_STATE)),
        can_enforce_hdcp=bool(int.from_bytes(capabilities, "big") & CAN_ENFORCE_HDCP),
        tag_count=len(tllvs),
    )


def _known(tllvs: Sequence[Tllv]) -> dict[int, bytes]:
    """Values by tag, of those tags whose meaning is known."""
    values: dict[int, bytes] = {}
    for tllv in tllvs:
        lengths = _LENGTHS.get(tllv.tag)  # type: ignore[call-overload] # a tag is an integer, known or not
        if lengths is None:
            continue
        if tllv.tag in values:
            raise DuplicateTag(f"TLLV {tllv.tag:016x} is there twice")
        least, most = lengths
        if not least <= len(tllv.value) <= most:
            raise Malformed(f"the value of TLLV {tllv.tag:016x} has {len(tllv.value)} bytes")
        values[tllv.tag] = tllv.value
    if missing := sorted(tag.name for tag in REQUIRED if tag not in values):
        raise MissingTag(f"there is no TLLV for {', '.join(missing)}")
    return values


def _protocol(values: dict[int, bytes]) -> tuple[int, tuple[int, ...]]:
    listed = values[Tag.PROTOCOL_VERSIONS_SUPPORTED]
    if len(listed) % 4:
        raise Malformed(f"{len(listed)} bytes are no list of protocol versions")
    versions = tuple(number for (number,) in struct.iter_unpack(">I", listed))
    used = int.from_bytes(values[Tag.PROTOCOL_VERSION_USED], "big")
    if used not in versions or not 1 <= used <= _NEWEST_PROTOCOL:
        raise UnknownProtocolVersion(f"the device uses version {used} of the protocol and knows {list(versions)}")
    return used, versions


def _returned(request: bytes, tllvs: Sequence[Tllv]) -> tuple[Tllv, ...]:
    """The TLLVs that the return request lists, each once, in its order."""
    if len(request) % 8:
        raise Malformed(f"{len(request)} bytes are no list of tags")
    tags = list(dict.fromkeys(tag for (tag,) in struct.iter_unpack(">Q", request)))
    found: dict[int, Tllv] = {}
    for tllv in tllvs:
        if tllv.tag in tags and found.setdefault(tllv.tag, tllv) is not tllv:
            raise DuplicateTag(f"TLLV {tllv.tag:016x} is to be returned and is there twice")
    for tag in tags:
        if tag in iter(CkcTag):
            raise UnusableParameter(f"TLLV {tag:016x} is the module's to write and cannot be returned")
        if tag not in found:
            raise MissingTag(f"TLLV {tag:016x} is to be returned and is not there")
    return tuple(found[tag] for tag in tags)


def _playback(value: bytes | None) -> Playback | None:
    if value is None:
        return None
    seconds, state, session_id = _PLAYBACK_STATE.unpack(value)
    known = PlaybackState(state) if state in iter(PlaybackState) else None
    return Playback(datetime.fromtimestamp(seconds, UTC), known, session_id)
