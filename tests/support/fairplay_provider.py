"""A FairPlay deployment that we made ourselves: what Apple would give to an operator, on disk as the operator puts it there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.support.fairplay_client import Device

D_FUNCTION = "tests.support.fairplay_d:derive"


@dataclass(frozen=True)
class Provider:
    """Certificate, key and application secret key of a deployment."""

    certificate: bytes
    private_key: rsa.RSAPrivateKey
    application_secret_key: bytes

    def device(self, **fields: object) -> Device:
        """A device that plays what this provider gives."""
        return Device(self.certificate, self.application_secret_key, **fields)  # type: ignore[arg-type] # by name

    def put(self, folder: Path, *, passphrase: bytes | None = None) -> None:
        """Writes the files of a deployment."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "certificate.der").write_bytes(self.certificate)
        (folder / "private_key.pem").write_bytes(self.pem(passphrase))
        (folder / "ask").write_text(self.application_secret_key.hex() + "\n")
        (folder / "private_key.passphrase").unlink(missing_ok=True)
        if passphrase:
            (folder / "private_key.passphrase").write_bytes(passphrase + b"\n")

    def pem(self, passphrase: bytes | None = None) -> bytes:
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def new_provider(bits: int = 1024) -> Provider:
    """A deployment of its own."""
    key = rsa.generate_private_key(65537, bits)  # SPCs of version 1 have 128 bytes for it
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Not FairPlay")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return Provider(dated.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), key, secrets.token_bytes(16))


@cache
def the_provider() -> Provider:
    """One deployment for all tests that need no other."""
    return new_provider()
