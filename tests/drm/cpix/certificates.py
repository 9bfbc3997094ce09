"""Certificates of encryptors and of signers, good and bad, made once per test session."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def made(key: Any, *, begin: datetime, end: datetime) -> Holder:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an encryptor")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Holder(builder.sign(key, algorithm), key)


@functools.cache
def holder(number: int = 0, kind: str = "rsa") -> Holder:
    """One of several that differ; of `rsa`, `small` RSA, `ec` or `ed25519`."""
    keys = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "small": lambda: rsa.generate_private_key(65537, 1024),  # to be refused
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    return made(keys[kind](), begin=NOW - timedelta(days=1), end=NOW + timedelta(days=30 + number))


@functools.cache
def expired() -> Holder:
    return made(holder().key, begin=NOW - timedelta(days=30), end=NOW - timedelta(days=1))
