"""COSE_Sign1 (RFC 9052 section 4.2) with ECDSA (RFC 9053 section 2.1), as mdocs and status lists are signed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

_ALGORITHM: Final = 1
_X5CHAIN: Final = 33
_HASHES: Final[Mapping[int, Callable[[], hashes.HashAlgorithm]]] = {
    -7: hashes.SHA256,
    -35: hashes.SHA384,
    -36: hashes.SHA512,
}
MOST_BYTES: Final = 64 * 1024


class Malformed(Exception):
    """The bytes are not what they should be."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A COSE_Sign1.

    Attributes:
        protected: the protected header as it was signed.
        chain: DER certificates of the signer, its own first; empty when there are none.
        payload: empty when it is detached.
    """

    protected: bytes
    algorithm: int
    chain: tuple[bytes, ...]
    payload: bytes
    signature: bytes

    def is_by(self, key: ec.EllipticCurvePublicKey, payload: bytes | None = None) -> bool:
        """Whether it was signed with this key; `payload`: where it is detached."""
        hash_of = _HASHES.get(self.algorithm)
        half, odd = divmod(len(self.signature), 2)
        if hash_of is None or odd or half != (key.key_size + 7) // 8:
            return False
        r, s = int.from_bytes(self.signature[:half]), int.from_bytes(self.signature[half:])
        signed = cbor2.dumps(["Signature1", self.protected, b"", self.payload if payload is None else payload])
        try:
            key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hash_of()))
        except (InvalidSignature, ValueError):
            return False
        return True


def decoded(data: bytes, *, most: int = MOST_BYTES) -> Any:
    """One item of CBOR, and nothing after it.

    Raises:
        Malformed: it is none, or has more bytes than `most`.
    """
    if len(data) > most:
        raise Malformed(f"there are more than {most} bytes")
    whole = io.BytesIO(data)
    try:
        found = cbor2.load(whole)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise Malformed("that is no CBOR") from error
    if whole.tell() != len(data):
        raise Malformed("something comes after the CBOR")
    return found


def as_map(value: object, what: str) -> Mapping[Any, Any]:
    """A map.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(value, Mapping):
        raise Malformed(f"{what} is no map")
    return value


def as_bytes(value: object, what: str) -> bytes:
    """A byte string.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(value, bytes):
        raise Malformed(f"{what} is no byte string")
    return value


def embedded(value: object, what: str) -> bytes:
    """What is inside of CBOR that is embedded in CBOR (tag 24).

    Raises:
        Malformed: it is not that.
    """
    if not isinstance(value, cbor2.CBORTag) or value.tag != 24:
        raise Malformed(f"{what} is not embedded CBOR")
    return as_bytes(value.value, what)


def tagged(inner: bytes) -> bytes:
    """CBOR that is embedded in CBOR, as it is hashed and signed."""
    return cbor2.dumps(cbor2.CBORTag(24, inner))


def digest(algorithm: object, data: bytes) -> bytes:
    """A digest by the name that mdocs call its algorithm.

    Raises:
        Malformed: there is no such algorithm.
    """
    names = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
    name = names.get(algorithm) if isinstance(algorithm, str) else None
    if name is None:
        raise Malformed("the digest's algorithm is not known")
    return hashlib.new(name, data).digest()


def read(value: object, what: str) -> Signed:
    """Reads a COSE_Sign1, tagged (18) or not.

    Raises:
        Malformed: it is none.
    """
    parts = value.value if isinstance(value, cbor2.CBORTag) and value.tag == 18 else value
    if not isinstance(parts, list | tuple) or len(parts) != 4:
        raise Malformed(f"{what} is no COSE_Sign1")
    protected, unprotected, payload, signature = parts
    header = as_map(decoded(as_bytes(protected, f"the header of {what}")), f"the header of {what}")
    if any(isinstance(name, int) and name == 2 for name in header):  # RFC 9052 section 3.1: crit must be understood
        raise Malformed(f"{what} has critical headers that are not known here")
    algorithm = header.get(_ALGORITHM)
    chain = as_map(unprotected, f"the unprotected header of {what}").get(_X5CHAIN, header.get(_X5CHAIN, []))
    certificates = [chain] if isinstance(chain, bytes) else list(chain) if isinstance(chain, list | tuple) else []
    return Signed(
        protected=protected,
        algorithm=algorithm if isinstance(algorithm, int) else 0,
        chain=tuple(as_bytes(one, "a certificate") for one in certificates),
        payload=b"" if payload is None else as_bytes(payload, f"the payload of {what}"),
        signature=as_bytes(signature, f"the signature of {what}"),
    )
