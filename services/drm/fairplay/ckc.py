"""Content Key Context: the answer to an SPC, which only the device that made it can open (FairPlay Streaming Programming Guide, "CKC message")."""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.drm.fairplay.spc import Session, Spc
from services.drm.fairplay.status import CkcFailed, Malformed
from services.drm.fairplay.tags import KEY_DURATION_RESERVED, CkcTag, HdcpType, KeyType
from services.drm.fairplay.tllv import Tllv, read_all

_CONTAINER: Final = struct.Struct(">I4x16sI")
_VERSION: Final = 1
_KEY_BYTES: Final = 16
_MOST_SECONDS: Final = 0xFFFFFFFF
_ORDER: Final = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class KeyDuration:
    """How long a key is good for. Seconds, from when the SPC was made; 0 where the type gives them no meaning."""

    lease: int
    rental: int
    type: KeyType


@dataclass(frozen=True, slots=True)
class Terms:
    """What the device holds a key to.

    Attributes:
        duration: None when the key is good until playback ends.
        hdcp: None when the device is told nothing, and does as it does by itself: HDCP of any version.
    """

    duration: KeyDuration | None = None
    hdcp: HdcpType | None = None


def make_ckc(spc: Spc, session: Session, key: bytes, iv: bytes, terms: Terms) -> bytes:
    """A CKC with one content key.

    Args:
        spc: that it answers.
        session: of that SPC.
        terms: what the device is to hold to.
        key: the content key, 16 bytes.
        iv: what the content was encrypted with beside it, 16 bytes.

    Raises:
        CkcFailed: a key or a duration is of a length that cannot be said.
    """
    if len(key) != _KEY_BYTES or len(iv) != _KEY_BYTES:
        raise CkcFailed("a content key has 16 bytes and an IV of 16")
    tllvs = [
        Tllv(CkcTag.CONTENT_KEY, iv + _one_block(session.key, key)),
        Tllv(CkcTag.R1, session.r1),
        *spc.returned,
        *_terms(terms),
    ]
    # In random order, and with random padding, so that no place in the ciphertext has a known meaning.
    _ORDER.shuffle(tllvs)
    payload = b"".join(tllv.encoded() for tllv in tllvs)
    data_iv = secrets.token_bytes(_KEY_BYTES)
    cipher = Cipher(algorithms.AES128(payload_key(session.r1, spc.anti_replay_seed)), modes.CBC(data_iv)).encryptor()
    encrypted = cipher.update(payload) + cipher.finalize()
    return _CONTAINER.pack(_VERSION, data_iv, len(encrypted)) + encrypted


@dataclass(frozen=True, slots=True)
class OpenedCkc:
    """What a CKC says, secrets included: for looking into CKCs from elsewhere.

    Attributes:
        tllvs: in their order.
        key, iv: content key and its IV.
    """

    tllvs: tuple[Tllv, ...]
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)


def open_ckc(ckc: bytes, spc: Spc, session: Session) -> OpenedCkc:
    """Opens the CKC that answers an SPC, as the device does that sent it.

    Raises:
        Malformed: it is no CKC, or answers another SPC.
    """
    if len(ckc) < _CONTAINER.size:
        raise Malformed(f"{len(ckc)} bytes are no CKC")
    version, iv, length = _CONTAINER.unpack_from(ckc)
    if version != _VERSION or length != len(ckc) - _CONTAINER.size or length % _KEY_BYTES:
        raise Malformed("it is no CKC of version 1, or not as long as it says")
    cipher = Cipher(algorithms.AES128(payload_key(session.r1, spc.anti_replay_seed)), modes.CBC(iv)).decryptor()
    tllvs = read_all(cipher.update(ckc[_CONTAINER.size :]) + cipher.finalize())
    values = {tllv.tag: tllv.value for tllv in tllvs}
    sealed = values.get(CkcTag.CONTENT_KEY, b"")
    if values.get(CkcTag.R1) != session.r1 or len(sealed) != 2 * _KEY_BYTES:
        raise Malformed("the CKC answers another SPC")
    opener = Cipher(algorithms.AES128(session.key), modes.ECB()).decryptor()  # noqa: S305 # one block, as the protocol has it
    return OpenedCkc(tuple(tllvs), opener.update(sealed[_KEY_BYTES:]) + opener.finalize(), sealed[:_KEY_BYTES])


def payload_key(r1: bytes, anti_replay_seed: bytes) -> bytes:
    """The key of a CKC's payload: the seed, encrypted with the first 16 bytes of R1's SHA-1. So a CKC opens for one SPC only."""
    return _one_block(hashlib.sha1(r1, usedforsecurity=False).digest()[:_KEY_BYTES], anti_replay_seed)


def _one_block(key: bytes, block: bytes) -> bytes:
    """One block by itself: AES-128 with nothing around it, as the protocol has it."""
    cipher = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # noqa: S305 # a single block of random bytes
    return cipher.update(block) + cipher.finalize()


def _terms(terms: Terms) -> list[Tllv]:
    said = []
    if terms.duration is not None:
        duration = terms.duration
        if not (0 <= duration.lease <= _MOST_SECONDS and 0 <= duration.rental <= _MOST_SECONDS):
            raise CkcFailed("a duration does not fit into 32 bits of seconds")
        value = struct.pack(">IIII", duration.lease, duration.rental, duration.type, KEY_DURATION_RESERVED)
        said.append(Tllv(CkcTag.KEY_DURATION, value))
    if terms.hdcp is not None:
        said.append(Tllv(CkcTag.HDCP_ENFORCEMENT, struct.pack(">Q8x", terms.hdcp)))
    return said
