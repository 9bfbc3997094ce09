"""A device that plays FairPlay: makes SPCs and opens CKCs. Written from the protocol's description, apart from our Key Security Module,
with which it shares nothing: what the two agree on is the format."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from tests.support.fairplay_d import derive

SKR1 = 0x3D1A10B8BFFAC2EC
SKR1_INTEGRITY = 0xB349D4809E910687
AR = 0x89C90F12204106B2
R2 = 0x71B5595AC1521133
RETURN_REQUEST = 0x19F9D4E5AB7609CB
ASSET = 0x1BF7F53F5D5D5A1F
TRANSACTION = 0x47AA7AD3440577DE
VERSIONS = 0x67B8FB79ECCE1A13
VERSION_USED = 0x5D81BCBCC7F61703
STREAMING = 0xABB0256A31843974
PLAYBACK_STATE = 0xEB8EFDF2B25AB3A0
CAPABILITIES = 0x9C02AF3253C07FB2
EVERY_SPC_HAS = (SKR1, SKR1_INTEGRITY, AR, R2, RETURN_REQUEST, ASSET, TRANSACTION, VERSIONS, VERSION_USED)

CONTENT_KEY = 0x58B38165AF0E3D5A
R1 = 0xEA74C4645D5EFEE9
DURATION = 0x47ACF6A418CD091A
HDCP = 0x2E52F1530D8DDB4A


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def tllv(tag: int, value: bytes, *, more_blocks: int = 0) -> bytes:
    """A TLLV, with at least the padding that it needs."""
    padding = (16 - len(value) % 16) % 16 + 16 * more_blocks
    return number(tag, 8) + number(len(value) + padding, 4) + number(len(value), 4) + value + os.urandom(padding)


def untangled(payload: bytes) -> list[tuple[int, bytes]]:
    """Tags and values of a CKC's payload, which must be whole."""
    found = []
    while payload:
        tag, block, size = (int.from_bytes(payload[a:b], "big") for a, b in ((0, 8), (8, 12), (12, 16)))
        assert block % 16 == 0, "blocks come in sixteens"
        assert size <= block <= len(payload) - 16
        found.append((tag, payload[16 : 16 + size]))
        payload = payload[16 + block :]
    return found


def encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(AES(key), CBC(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(AES(key), CBC(iv)).decryptor()
    return cipher.update(data) + cipher.finalize()


def block(key: bytes, data: bytes, *, backwards: bool = False) -> bytes:
    cipher = Cipher(AES(key), ECB())
    turn = cipher.decryptor() if backwards else cipher.encryptor()
    return turn.update(data) + turn.finalize()


@dataclass(frozen=True)
class Received:
    """What a device finds in a CKC."""

    key: bytes
    iv: bytes
    tllvs: dict[int, bytes]
    order: tuple[int, ...]

    @property
    def duration(self) -> tuple[int, int, int] | None:
        """Lease, rental and type."""
        value = self.tllvs.get(DURATION)
        if value is None:
            return None
        assert (len(value), value[12:]) == (16, bytes.fromhex("86d34a3a"))
        return (int.from_bytes(value[:4], "big"), int.from_bytes(value[4:8], "big"), int.from_bytes(value[8:12], "big"))

    @property
    def hdcp(self) -> int | None:
        value = self.tllvs.get(HDCP)
        if value is None:
            return None
        assert (len(value), value[8:]) == (16, bytes(8))
        return int.from_bytes(value[:8], "big")


@dataclass
class Asking:
    """One SPC, and the secrets with which its CKC opens."""

    spc: bytes
    payload: bytes
    session_key: bytes
    r1: bytes
    seed: bytes
    wanted_back: Mapping[int, bytes]

    def receive(self, ckc: bytes) -> Received:
        """Opens a CKC and checks what a device checks."""
        assert ckc[:8] == number(1, 4) + bytes(4)
        iv, size, data = ckc[8:24], int.from_bytes(ckc[24:28], "big"), ckc[28:]
        assert size == len(data)
        found = untangled(decrypt(block(sha1(self.r1).digest()[:16], self.seed), iv, data))
        tllvs = dict(found)
        assert len(tllvs) == len(found), "nothing is said twice"
        assert tllvs[R1] == self.r1
        assert {tag: tllvs.get(tag) for tag in self.wanted_back} == dict(self.wanted_back)
        assert set(tllvs) <= {CONTENT_KEY, R1, DURATION, HDCP, *self.wanted_back}, (
            "nothing comes that was not asked for"
        )
        sealed = tllvs[CONTENT_KEY]
        assert len(sealed) == 32
        return Received(
            block(self.session_key, sealed[16:], backwards=True), sealed[:16], tllvs, tuple(tag for tag, _ in found)
        )


@dataclass
class Device:
    """An Apple device as a Key Security Module sees it.

    Attributes:
        certificate: the provider's application certificate, DER.
        application_secret_key: what its D function is keyed with.
    """

    certificate: bytes
    application_secret_key: bytes
    versions: Sequence[int] = (1,)
    version_used: int = 1
    capabilities: int | None = 1
    state: int | None = 0xF4DEE5A2
    chance: random.Random = field(default_factory=random.Random)

    def tllvs(self, asset_id: bytes, wanted_back: Iterable[int], made: float) -> tuple[dict[int, bytes], bytes, bytes]:
        """What an honest SPC says, with its session key and R1."""
        r2, session_key, r1, integrity, iv = (os.urandom(size) for size in (21, 16, 44, 16, 16))
        inner = session_key + os.urandom(20) + r1 + integrity
        said = {
            SKR1: iv + encrypt(derive(r2, self.application_secret_key), iv, inner),
            SKR1_INTEGRITY: integrity,
            AR: os.urandom(16),
            R2: r2,
            ASSET: asset_id,
            TRANSACTION: os.urandom(8),
            VERSIONS: b"".join(number(version, 4) for version in self.versions),
            VERSION_USED: number(self.version_used, 4),
            RETURN_REQUEST: b"".join(number(tag, 8) for tag in wanted_back),
            STREAMING: os.urandom(8),
        }
        if self.state is not None:
            said[PLAYBACK_STATE] = number(int(made), 4) + number(self.state, 4) + os.urandom(8)
        if self.capabilities is not None:
            said[CAPABILITIES] = number(self.capabilities, 16)
        return said, session_key, r1

    def ask(
        self,
        asset_id: bytes,
        *,
        wanted_back: Collection[int] = (TRANSACTION,),
        decoys: int = 5,
        made: float | None = None,
        changed: Mapping[int, bytes] | None = None,
        without: Collection[int] = (),
        beside: Sequence[tuple[int, bytes]] = (),
    ) -> Asking:
        """Makes an SPC, with decoys in random places.

        Args:
            changed: values to say instead.
            without: tags to leave out.
            beside: TLLVs to say as well, twice if need be.
        """
        said, session_key, r1 = self.tllvs(asset_id, wanted_back, time.time() if made is None else made)
        said |= changed or {}
        pairs = [(tag, value) for tag, value in said.items() if tag not in without] + list(beside)
        pairs += [(self.chance.getrandbits(64), os.urandom(self.chance.randrange(80))) for _ in range(decoys)]
        self.chance.shuffle(pairs)
        payload = b"".join(tllv(tag, value, more_blocks=self.chance.randrange(3)) for tag, value in pairs)
        back = {tag: value for tag, value in pairs if tag in wanted_back}
        return Asking(self.container(payload), payload, session_key, r1, said[AR], back)

    def container(self, payload: bytes, *, version: int = 1, key: bytes | None = None) -> bytes:
        """Encrypts a payload for the provider."""
        key, iv = key or os.urandom(16), os.urandom(16)
        public = x509.load_der_x509_certificate(self.certificate).public_key()
        assert isinstance(public, RSAPublicKey)
        wrapped = public.encrypt(key, OAEP(MGF1(hashes.SHA1()), hashes.SHA1(), None))
        data = encrypt(key[:16].ljust(16, b"\0"), iv, payload)
        hashed = sha1(self.certificate).digest()
        return number(version, 4) + bytes(4) + iv + wrapped + hashed + number(len(data), 4) + data
