"""Amazon CloudFront: signed URLs and signed cookies, by canned and by custom policy.

Source: Amazon CloudFront Developer Guide, "Serve private content with signed URLs and signed cookies". A policy is JSON without spaces. RSA
keys of 2048 bits sign its SHA-1, which is what CloudFront takes when nothing else is said, or its SHA-256, which `Hash-Algorithm` then says;
keys on P-256 sign SHA-1 (ECDSA, DER) or SHA-256 alike.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_URL_SAFE: Final = str.maketrans({"+": "-", "=": "_", "/": "~"})
PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey


class Digest(Enum):
    """What of a policy is signed."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"


def private_key(pem: bytes) -> PrivateKey:
    """Reads a key.

    Raises:
        ValueError: CloudFront takes no such key.
    """
    key = load_pem_private_key(pem, password=None)
    if isinstance(key, RSAPrivateKey) and key.key_size == 2048:
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError("CloudFront takes RSA keys of 2048 bits and keys on P-256")


@dataclass(frozen=True, slots=True)
class CloudFront:
    """A distribution that serves published packages.

    Attributes:
        base: `https://<host><prefix>`, below which packages lie.
        key_id: id of the public key in one of its key groups.
    """

    base: str
    key_id: str
    key: PrivateKey = field(repr=False)
    digest: Digest = Digest.SHA1

    def policy(self, resource: str, expires: int, *, network: str = "", starts: int | None = None) -> str:
        """A custom policy; without the last two it is the canned one.

        Args:
            resource: URL, in which `*` stands for anything.
            expires: Unix time in seconds.
            starts: likewise.
            network: IPv4 address or network in CIDR form.
        """
        condition: dict[str, object] = {"DateLessThan": {"AWS:EpochTime": expires}}
        if network:
            condition["IpAddress"] = {"AWS:SourceIp": network if "/" in network else f"{network}/32"}
        if starts is not None:
            condition["DateGreaterThan"] = {"AWS:EpochTime": starts}
        return json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]}, separators=(",", ":"))

    def signed_url(self, url: str, expires: int) -> str:
        """One URL, by canned policy."""
        return _with_query(url, f"Expires={expires}&{self._signature(self.policy(url, expires))}")

    def query(self, policy: str) -> str:
        """What makes each URL that the policy is for a signed one."""
        return f"Policy={_encoded(policy.encode())}&{self._signature(policy)}"

    def cookies(self, policy: str) -> dict[str, str]:
        """The same as cookies."""
        found = {
            "CloudFront-Policy": _encoded(policy.encode()),
            "CloudFront-Signature": _encoded(self._sign(policy)),
            "CloudFront-Key-Pair-Id": self.key_id,
        }
        return found | ({"CloudFront-Hash-Algorithm": self.digest.value} if self.digest is not Digest.SHA1 else {})

    def _signature(self, policy: str) -> str:
        said = f"Signature={_encoded(self._sign(policy))}&Key-Pair-Id={self.key_id}"
        return said if self.digest is Digest.SHA1 else f"{said}&Hash-Algorithm={self.digest.value}"

    def _sign(self, policy: str) -> bytes:
        digest = SHA1() if self.digest is Digest.SHA1 else SHA256()  # noqa: S303  # CloudFront's choice, where second preimages are what matters
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(policy.encode(), PKCS1v15(), digest)
        return self.key.sign(policy.encode(), ECDSA(digest))


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().translate(_URL_SAFE)


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"
