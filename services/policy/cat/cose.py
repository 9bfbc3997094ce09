"""The envelope of a token: a CBOR Web Token (RFC 8392) in a COSE_Mac0 (RFC 9052 §6.2) or COSE_Sign1 (§4.2), and not one byte else.

A token has one form only. Each key is bound to one algorithm (RFC 8725 §3.1), which the protected header must name and the tag must fit, so
that no token chooses how it is checked. Nothing is decoded that could make a decoder work: tags are refused, nesting and size are limited.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from io import BytesIO
from typing import Any, Final, NoReturn, TypeAlias

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

LONGEST: Final = 4096
"""Characters of a token, as of a ticket."""
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+")
_CWT: Final = 61
_ALGORITHM: Final = 1
_KEY_ID: Final = 4
_COORDINATE: Final = 32
_NETWORKS: Final = (52, 54)
_STRUCTURES: Final = (_CWT, 17, 18)
_DEEPEST: Final = 8
Payload: TypeAlias = Mapping[Any, Any]


class Algorithm(IntEnum):
    """How a token is protected; the numbers are those of COSE (RFC 9053)."""

    HS256 = 5
    ES256 = -7

    @property
    def tag(self) -> int:
        """CBOR tag of the structure that it goes with."""
        return 17 if self is Algorithm.HS256 else 18

    @property
    def context(self) -> str:
        """What the protected bytes begin with."""
        return "MAC0" if self is Algorithm.HS256 else "Signature1"


class Malformed(Exception):
    """It is no token that we take, or one that somebody tampered with."""


@dataclass(frozen=True, slots=True)
class MacKey:
    """A shared secret.

    Attributes:
        issuers: what `iss` may be; empty means anything, or nothing.
    """

    key_id: str
    secret: bytes = field(repr=False)
    issuers: frozenset[str] = frozenset()
    algorithm: Algorithm = Algorithm.HS256

    @property
    def signs(self) -> bool:
        """Who can check with it can also sign."""
        return True

    def sign(self, message: bytes) -> bytes:
        """HMAC-SHA256, not cut."""
        return hmac.digest(self.secret, message, hashlib.sha256)

    def good(self, message: bytes, signature: bytes) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(self.sign(message), signature)


@dataclass(frozen=True, slots=True)
class SignatureKey:
    """A key pair on P-256, or its public half."""

    key_id: str
    public: EllipticCurvePublicKey
    private: EllipticCurvePrivateKey | None = field(default=None, repr=False)
    issuers: frozenset[str] = frozenset()
    algorithm: Algorithm = Algorithm.ES256

    @property
    def signs(self) -> bool:
        """Whether the private half is known."""
        return self.private is not None

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256: r and s, 32 bytes each (RFC 9053 §2.1)."""
        if self.private is None:
            raise ValueError(f"{self.key_id} only checks")
        r, s = decode_dss_signature(self.private.sign(message, ECDSA(SHA256())))
        return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")

    def good(self, message: bytes, signature: bytes) -> bool:
        """Checks a signature."""
        if len(signature) != 2 * _COORDINATE:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
        try:
            self.public.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


Key: TypeAlias = MacKey | SignatureKey


class KeyRing:
    """Keys by name. Of several of one algorithm the first that can signs."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys: dict[str, Key] = {}
        for key in keys:
            if key.key_id in self._keys:
                raise ValueError(f"two keys are named {key.key_id}")
            self._keys[key.key_id] = key

    def __iter__(self) -> Any:
        return iter(self._keys.values())

    def find(self, key_id: bytes) -> Key:
        """A key.

        Raises:
            Malformed: there is none of that name.
        """
        key = self._keys.get(key_id.decode("utf-8", "replace"))
        if key is None:
            raise Malformed("unknown key")
        return key

    def signing(self, algorithm: Algorithm) -> Key:
        """The key that new tokens are signed with.

        Raises:
            KeyError: none can.
        """
        for key in self._keys.values():
            if key.algorithm is algorithm and key.signs:
                return key
        raise KeyError(algorithm.name)


def sealed(payload: Payload, key: Key) -> str:
    """A token with these claims."""
    protected, claims = cbor2.dumps({_ALGORITHM: key.algorithm.value}), cbor2.dumps(dict(payload), canonical=True)
    signature = key.sign(_protected(key.algorithm, protected, claims))
    message = [protected, {_KEY_ID: key.key_id.encode()}, claims, signature]
    token = cbor2.dumps(cbor2.CBORTag(_CWT, cbor2.CBORTag(key.algorithm.tag, message)))
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def opened(token: str, keys: KeyRing) -> tuple[Payload, Key]:
    """The claims of a token, which is base64url without padding (RFC 4648 §5), and the key that vouches for them. Nothing in the claims is judged.

    Raises:
        Malformed: for whatever reason, which is not for whoever sent it.
    """
    try:
        raw = _bytes_of(token)
        tag, (protected, unprotected, claims, signature) = _parts(raw)
        algorithm, key_id = _headers(protected, unprotected)
        key = keys.find(key_id)
        if key.algorithm is not algorithm or algorithm.tag != tag:
            raise Malformed("the key is for another algorithm")
        if not key.good(_protected(algorithm, protected, claims), signature):
            raise Malformed("the signature is wrong")
        payload = _decoded(claims, _NETWORKS)
    except (cbor2.CBORError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise Malformed("it cannot be decoded") from error
    if not isinstance(payload, Mapping):
        raise Malformed("the claims are no map")
    return payload, key


def _bytes_of(token: str) -> bytes:
    if len(token) > LONGEST or not _TEXT.fullmatch(token):
        raise Malformed("not base64url, or too long")
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error as error:
        raise Malformed("not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:  # spare bits at the end (RFC 4648 §3.5)
        raise Malformed("not canonical base64url")
    return raw


def _parts(raw: bytes) -> tuple[int, tuple[bytes, Payload, bytes, bytes]]:
    """The tag and the four parts of the structure, with or without the tag of CBOR Web Tokens around it."""
    whole = outer = _decoded(raw, _STRUCTURES)
    if isinstance(outer, cbor2.CBORTag) and outer.tag == _CWT:
        outer = outer.value
    if not isinstance(outer, cbor2.CBORTag) or outer.tag not in {17, 18}:
        raise Malformed("neither a COSE_Mac0 nor a COSE_Sign1")
    parts = outer.value
    if not isinstance(parts, Sequence) or isinstance(parts, str | bytes) or len(parts) != 4:
        raise Malformed("not of four parts")
    protected, unprotected, claims, signature = parts
    if not all(isinstance(part, bytes) for part in (protected, claims, signature)):
        raise Malformed("a part is no byte string")
    if not isinstance(unprotected, Mapping) or cbor2.dumps(whole) != raw:
        raise Malformed("not in its shortest form")
    return outer.tag, (protected, unprotected, claims, signature)


def _headers(protected: bytes, unprotected: Payload) -> tuple[Algorithm, bytes]:
    """Algorithm and key id. Nothing else may be said in a header, so nothing critical (RFC 9052 §3.1) can be overlooked."""
    header = _decoded(protected, ())
    if not isinstance(header, Mapping) or cbor2.dumps(dict(header), canonical=True) != protected:
        raise Malformed("the protected header is not in its shortest form")
    if not header.keys() <= {_ALGORITHM, _KEY_ID} or not unprotected.keys() <= {_KEY_ID}:
        raise Malformed("a header says more than algorithm and key id")
    named = [part[_KEY_ID] for part in (header, unprotected) if _KEY_ID in part]
    if len(named) != 1 or not isinstance(named[0], bytes):
        raise Malformed("not one key id")
    number = header.get(_ALGORITHM)
    if type(number) is not int:
        raise Malformed("no algorithm")
    return Algorithm(number), named[0]


def _protected(algorithm: Algorithm, protected: bytes, claims: bytes) -> bytes:
    """What is signed (RFC 9052 §4.4 and §6.3), without data from outside."""
    return cbor2.dumps([algorithm.context, protected, b"", claims])


def _bare(tag: int, value: Any, _immutable: bool) -> cbor2.CBORTag:
    return cbor2.CBORTag(tag, value)


def _refuse(*_: object) -> NoReturn:
    raise ValueError("a tag that does not belong here")


# The decoder would make dates, numbers of any size, regular expressions and shared references of these by itself.
_BUILT_IN: Final = (*range(512), 1004, 43000, 55799)
_REFUSED: Final = dict.fromkeys(_BUILT_IN, _refuse)
_DECODERS: Final[Mapping[tuple[int, ...], Any]] = {
    tags: _REFUSED | {tag: partial(_bare, tag) for tag in tags} for tags in ((), _NETWORKS, _STRUCTURES)
}


def _decoded(raw: bytes, tags: tuple[int, ...]) -> Any:
    """Decodes one item that fills `raw`, with no tags but these."""
    stream = BytesIO(raw)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_refuse,
        semantic_decoders=_DECODERS[tags],
        max_depth=_DEEPEST,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )
    item = decoder.decode()
    if stream.tell() != len(raw):
        raise Malformed("something follows")
    return item
